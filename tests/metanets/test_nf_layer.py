"""NF-layers: the papers' equations, all of the equivariant linear maps, and nothing else."""

import itertools
from math import prod

import pytest
import torch

from skmeta.metanets import InvariantPool, IOEncoding, MonomialLayer, NFLayer
from skmeta.metanets.matrix_maps import broadcast_product, broadcast_product_reference, line_sums
from tests.metanets.features import CASES, draw_features, draw_permutations, gap, move, pad

TOLERANCE = 1e-10
SYMMETRIES = ["np", "hnp", "pointwise"]
NAMES = list(CASES)


def layer_for(name, symmetry, channels=(2, 3)):
    sizes, kernels = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NFLayer(sizes, *channels, symmetry, kernels=kernels).double()


def free_states(symmetry, sizes):
    return range(1, len(sizes) - 1) if symmetry == "hnp" else range(len(sizes))


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("name", NAMES)
def test_coupled_permutations_permute_the_features(name, symmetry):
    sizes, kernels = CASES[name]
    layer, features = layer_for(name, symmetry), draw_features(sizes, kernels)
    for seed in range(3):
        permutations = draw_permutations(sizes, free_states(symmetry, sizes), seed)
        out = move(*layer(*features), permutations)
        assert gap(layer(*move(*features, permutations)), out) < TOLERANCE


@pytest.mark.parametrize("symmetry", ["np", "hnp"])
@pytest.mark.parametrize("name", ["two layers", "four layers", "conv"])
def test_an_uncoupled_permutation_is_noticed(name, symmetry):
    sizes, kernels = CASES[name]
    layer, (weights, biases) = layer_for(name, symmetry), draw_features(sizes, kernels)
    half = [weights[0].flip(2), *weights[1:]]
    moved, _ = layer(half, biases)
    difference = moved[0].flip(2) - layer(weights, biases)[0][0]
    assert float(difference.detach().abs().max()) > 1e-3


def test_inputs_and_outputs_are_told_apart_under_hnp_alone():
    sizes, _ = CASES["three layers"]
    features = draw_features(sizes)
    for state in (0, 3):
        permutations = draw_permutations(sizes, ())
        permutations[state] = permutations[state].flip(0)
        for symmetry, told_apart in (("np", False), ("hnp", True)):
            layer = layer_for("three layers", symmetry)
            out = move(*layer(*features), permutations)
            assert (gap(layer(*move(*features, permutations)), out) > 1e-3) == told_apart


def np_reference(layer, weights, biases):
    """Equation 3 of paper 002, entry by entry, for one network."""
    depth, c = len(weights), layer.map.from_all.in_features // (2 * len(weights))
    d = layer.map.from_all.out_features // (2 * depth)
    products, from_state, from_all = layer.map.products, layer.map.from_state, layer.map.from_all

    def a(target, source):  # positions 2 (i - 1) for W(i), 2 (i - 1) + 1 for v(i)
        return from_all.weight[target * d : (target + 1) * d, source * c : (source + 1) * c]

    def at(state, target, source):
        # What is known about a neuron, in order: W into it, v, W out of it.
        known = [k for k in ("into", "bias", "out") if state > 0 or k == "out"]
        known = [k for k in known if state < depth or k != "out"]
        t, s = known.index(target), known.index(source)
        return from_state[str(state)].weight[t * d : (t + 1) * d, s * c : (s + 1) * c]

    Y = [torch.empty(d, *w.shape[1:], dtype=w.dtype) for w in weights]
    z = [torch.empty(d, *v.shape[1:], dtype=v.dtype) for v in biases]
    totals = [t for w, v in zip(weights, biases, strict=True) for t in (w.mean((1, 2)), v.mean(1))]
    for i in range(1, depth + 1):
        W, v = weights[i - 1], biases[i - 1]
        for j in range(W.shape[1]):
            both = sum(a(2 * i - 1, s) @ total for s, total in enumerate(totals))
            both = both + from_all.bias[(2 * i - 1) * d : 2 * i * d]
            both = both + at(i, "bias", "into") @ W[:, j].mean(1) + at(i, "bias", "bias") @ v[:, j]
            if i < depth:
                both = both + at(i, "bias", "out") @ weights[i][:, :, j].mean(1)
            z[i - 1][:, j] = both
        for j, k in itertools.product(*map(range, W.shape[1:])):
            y = sum(a(2 * i - 2, s) @ total for s, total in enumerate(totals))
            y = y + from_all.bias[(2 * i - 2) * d : (2 * i - 1) * d]
            y = y + at(i, "into", "into") @ W[:, j].mean(1) + at(i, "into", "bias") @ v[:, j]
            y = y + at(i - 1, "out", "out") @ W[:, :, k].mean(1)
            if i < depth:
                y = y + at(i, "into", "out") @ weights[i][:, :, j].mean(1)
            if i > 1:
                y = y + at(i - 1, "out", "into") @ weights[i - 2][:, k].mean(1)
                y = y + at(i - 1, "out", "bias") @ biases[i - 2][:, k]
            Y[i - 1][:, j, k] = y + products[str(2 * i - 2)] @ W[:, j, k]
    return Y, z


@pytest.mark.parametrize("name", ["one layer", "two layers", "four layers"])
def test_np_is_equation_3(name):
    sizes, _ = CASES[name]
    layer, (weights, biases) = layer_for(name, "np"), draw_features(sizes)
    out = layer(weights, biases)
    for b in range(2):
        slow = np_reference(layer, [w[b] for w in weights], [v[b] for v in biases])
        assert gap(([w[b] for w in out[0]], [v[b] for v in out[1]]), slow) < TOLERANCE


def np_count(depth):
    return 4 * depth**2 + 10 * depth - 4


def orbits(sizes, free):
    """Count pairs of entries of a weight space up to permutations of the free states."""
    depth = len(sizes) - 1
    entries = [
        (i, j, k)
        for i in range(1, depth + 1)
        for j in range(sizes[i])
        for k in [None, *range(sizes[i - 1])]
    ]

    def code(first, second):
        # Two pairs are in one orbit if states agree, indices on fixed states agree, and
        # on free states the same indices coincide.
        where = [[(i, j), (i - 1, k)] if k is not None else [(i, j)] for i, j, k in (first, second)]
        seen, out = {}, []
        for state, index in [*where[0], (None, len(where[0])), *where[1]]:
            if state in free:
                index = seen.setdefault((state, index), len(seen))
            out.append((state, index))
        return tuple(out)

    return len({code(a, b) for a in entries for b in entries})


@pytest.mark.parametrize("symmetry", ["np", "hnp"])
@pytest.mark.parametrize("name", ["one layer", "two layers", "three layers", "four layers"])
def test_the_layer_spans_all_equivariant_linear_maps(name, symmetry):
    """As many parameters as orbits (appendices B.2.1 and C.1), linearly independent."""
    sizes, _ = CASES[name]
    layer = layer_for(name, symmetry, (1, 1))
    parameters = [p for key, p in layer.named_parameters() if key != "map.from_all.bias"]
    count = sum(p.numel() for p in parameters)
    assert count == orbits(sizes, set(free_states(symmetry, sizes)))
    if symmetry == "np":
        assert count == np_count(len(sizes) - 1)
    # The layer is linear in its parameters: one column for each.
    features, columns = draw_features(sizes, batch=40, channels=1), []
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        for p in parameters:
            for entry in p.view(-1):
                entry.fill_(1.0)
                columns.append(torch.cat([t.flatten() for ts in layer(*features) for t in ts]))
                entry.fill_(0.0)
    assert torch.linalg.matrix_rank(torch.stack(columns)) == count


@pytest.mark.parametrize("channels", [(1, 1), (2, 5)])
@pytest.mark.parametrize("name", NAMES)
def test_number_of_parameters(name, channels):
    sizes, kernels = CASES[name]
    depth, pairs = len(sizes) - 1, prod(channels)
    f = [prod(kernel) for kernel in kernels or [()] * depth]

    def count(symmetry):
        return sum(p.numel() for p in layer_for(name, symmetry, channels).parameters())

    pointwise = sum(x**2 for x in f) + depth
    assert count("pointwise") == pairs * pointwise + channels[1] * (sum(f) + depth)
    # Each neuron: all that is known about it, squared; all means, squared; each entry.
    known = [f[0], *(f[i - 1] + 1 + f[i] for i in range(1, depth)), f[-1] + 1]
    every = sum(f) + depth
    expected = every**2 + sum(k**2 for k in known) + sum(x**2 for x in f)
    assert count("np") == pairs * expected + channels[1] * every
    if kernels is None:
        assert expected == np_count(depth)
    # Table 1: O((L + n_0 + n_L)^2), by the widths of what is folded.
    if depth > 2:
        first, last = sizes[0] * f[0], sizes[-1] * f[-1]
        inner = f[1:-1]
        every = first + last + sum(inner) + (depth - 1) + sizes[-1]
        ends = [first, *inner, last]
        known = [ends[i] + 1 + ends[i + 1] for i in range(depth - 1)]
        expected = every**2 + sum(k**2 for k in known) + sum(x**2 for x in inner)
        assert count("hnp") == pairs * expected + channels[1] * every


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("name", ["two layers", "four layers", "conv"])
def test_padding_and_neighbours_change_nothing(name, symmetry):
    sizes, kernels = CASES[name]
    layer = layer_for(name, symmetry)
    small, large = draw_features(sizes, kernels), None
    extra = [2 + s if s in free_states(symmetry, sizes) else 0 for s in range(len(sizes))]
    large = draw_features([n + e for n, e in zip(sizes, extra, strict=True)], kernels, seed=1)
    both = [
        [torch.cat(pair) for pair in zip(ts, us, strict=True)]
        for ts, us in zip(pad(*small, extra), large, strict=True)
    ]
    masks = [
        torch.cat([torch.cat([torch.ones(3, n), torch.zeros(3, e)], 1), torch.ones(3, n + e)])
        if e
        else None
        for n, e in zip(sizes, extra, strict=True)
    ]
    masks = [None if m is None else m.double() for m in masks]
    out = layer(*both, masks)
    assert gap([[t[:3] for t in ts] for ts in out], pad(*layer(*small), extra)) < TOLERANCE
    assert gap([[t[3:] for t in ts] for ts in out], layer(*large)) < TOLERANCE


@pytest.mark.parametrize("added", [0, 1, 2])
@pytest.mark.parametrize("chunk", [1, 400, 1 << 21])
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (5, 1, 1, 3), (2, 3, 4, 1)])
def test_the_fast_product_and_its_gradients(monkeypatch, chunk, shape, added):
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", chunk)
    g = torch.Generator().manual_seed(0)
    b, c, n, m = shape

    def draw(*size):
        return torch.randn(*size, dtype=torch.float64, generator=g).requires_grad_()

    x, matrix, lines = draw(*shape), draw(2, c), [draw(b, 2, n), draw(b, 2, m)][:added]
    args, weights = [x, matrix, *lines], draw(b, 2, n, m).detach()
    line_weights = [draw(b, c, n).detach(), draw(b, c, m).detach()]
    kept, row_sums, column_sums = line_sums(x)
    fast = broadcast_product(kept, matrix, *lines)
    slow = broadcast_product_reference(x, matrix, *lines)
    gradients = []
    for y, sums in ((fast, (row_sums, column_sums)), (slow, (x.sum(-1), x.sum(-2)))):
        total = (y * weights).sum()
        total = total + sum((s * w).sum() for s, w in zip(sums, line_weights, strict=True))
        gradients.append(torch.autograd.grad(total, args))
    for first, second in zip([fast, *gradients[0]], [slow, *gradients[1]], strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=TOLERANCE)


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="The 'symmetry' parameter of NFLayer .* Did you mean"):
        NFLayer((2, 3, 2), 1, 1, "hmp")
    with pytest.raises(ValueError, match="one kernel per layer"):
        NFLayer((2, 3, 2), 1, 1, kernels=[(3, 3)])
    for kind in (NFLayer, MonomialLayer):
        with pytest.raises(ValueError, match=f"'in_channels' parameter of {kind.__name__}"):
            kind((2, 3, 2), 0, 1)
    for kind in (NFLayer, MonomialLayer, InvariantPool):
        options = {} if kind is InvariantPool else {"in_channels": 1, "out_channels": 1}
        with pytest.raises(ValueError, match="'sizes' parameter"):
            kind((2, -3, 2), **options)
        with pytest.raises(ValueError, match="at least one layer"):
            kind((2,), **options)
    with pytest.raises(ValueError, match="'group' parameter of InvariantPool"):
        InvariantPool((2, 3, 2), "monomial", group="relu")
    with pytest.raises(ValueError, match="'n_inputs' parameter of IOEncoding"):
        IOEncoding(0, 2)


@pytest.mark.parametrize("symmetry", [*SYMMETRIES, "monomial", "pool"])
def test_features_of_other_networks_are_refused(symmetry):
    sizes = (2, 4, 3)
    weights, biases = draw_features(sizes)
    if symmetry == "pool":
        layer = InvariantPool(sizes, "hnp")
    elif symmetry == "monomial":
        layer = MonomialLayer(sizes, 2, 1).double()
    else:
        layer = NFLayer(sizes, 2, 1, symmetry).double()
    layer(weights, biases)
    wrong = {
        "a layer less": (weights[:1], biases[:1]),
        "a bias less": (weights, biases[:1]),
        "transposed": ([w.transpose(2, 3) for w in weights], biases),
        "no channels": ([w[:, 0] for w in weights], [b[:, 0] for b in biases]),
        "other batches": ([weights[0][:1], weights[1]], biases),
        "filters": ([w[..., None, None] for w in weights], biases),
        "other neurons": ([weights[0], weights[1][..., :2]], biases),
    }
    if symmetry != "pool":
        wrong["other channels"] = ([w[:, :1] for w in weights], [b[:, :1] for b in biases])
    if symmetry in ("hnp", "monomial", "pool"):
        wrong["other inputs"] = ([weights[0][..., :1], weights[1]], biases)
    for features in wrong.values():
        with pytest.raises(ValueError, match="takes weights .* of 2 layer.* Got weights of shapes"):
            layer(*features)


def test_codes_for_more_inputs_than_there_are():
    weights, biases = draw_features((2, 4, 3))
    for encode in (IOEncoding(1, 3), IOEncoding(2, 1)):
        with pytest.raises(ValueError, match="of at most .* inputs and .* outputs. Got"):
            encode(weights, biases)
