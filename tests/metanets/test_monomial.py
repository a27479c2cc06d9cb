"""Layers and pooling under scalings and signs of hidden neurons."""

import pytest
import torch

from skmeta.metanets import InvariantPool, IOEncoding, MonomialLayer
from skmeta.metanets.monomial import path_norms
from tests.metanets.features import CASES, draw_features, draw_permutations, gap, move, pad, scale

TOLERANCE = 1e-10
NAMES = list(CASES)
BETWEEN = {"scale": torch.relu, "sign": torch.tanh}


def stack_for(name, group, n_layers=2):
    sizes, kernels = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [
            MonomialLayer(sizes, 2, 2, group, kernels=kernels).double() for _ in range(n_layers)
        ]

    def run(weights, biases, masks=None):
        for layer in layers:
            out = layer(weights, biases, masks)
            weights, biases = ([BETWEEN[group](t) for t in tensors] for tensors in out)
        return weights, biases

    return run


def draw_factors(sizes, group, seed=0):
    g = torch.Generator().manual_seed(seed)
    factors = [torch.ones(n, dtype=torch.float64) for n in sizes]
    for state in range(1, len(sizes) - 1):
        u = torch.rand(sizes[state], dtype=torch.float64, generator=g)
        factors[state] = (u < 0.5).double() * 2 - 1 if group == "sign" else 10 ** (2 * u - 1)
    return factors


@pytest.mark.parametrize("group", BETWEEN)
@pytest.mark.parametrize("name", NAMES)
def test_permutations_and_factors_move_through(name, group):
    sizes, kernels = CASES[name]
    run, features = stack_for(name, group), draw_features(sizes, kernels)
    for seed in range(3):
        permutations = draw_permutations(sizes, range(1, len(sizes) - 1), seed)
        factors = draw_factors(sizes, group, seed)

        def act(tensors, factors=factors, permutations=permutations):
            return move(*scale(*tensors, factors), permutations)

        # Features grow with the factors, so the gap is a relative one.
        expected = act(run(*features))
        size = max(float(t.detach().abs().max()) for ts in expected for t in ts)
        assert gap(run(*act(features)), expected) < TOLERANCE * max(1.0, size)


@pytest.mark.parametrize("group", BETWEEN)
def test_factors_that_are_not_coupled_are_noticed(group):
    sizes, _ = CASES["three layers"]
    weights, biases = draw_features(sizes)
    run, factors = stack_for("three layers", group), draw_factors(sizes, group)
    factors[2:] = [torch.ones_like(f) for f in factors[2:]]
    uncoupled = scale(weights, biases, factors)
    # The columns of the second layer stay as they were: another function.
    uncoupled[0][1] = weights[1]
    assert gap(run(*uncoupled), scale(*run(weights, biases), factors)) > 1e-3


@pytest.mark.parametrize("group, other", [("scale", "sign"), ("sign", "scale")])
def test_the_other_factors_do_not_pass(group, other):
    sizes, _ = CASES["three layers"]
    run, factors = stack_for("three layers", group), draw_factors(sizes, other)
    features = draw_features(sizes)
    assert gap(run(*scale(*features, factors)), scale(*run(*features), factors)) > 1e-3


@pytest.mark.parametrize("group", BETWEEN)
@pytest.mark.parametrize("name", NAMES)
def test_pooling_is_invariant(name, group):
    sizes, kernels = CASES[name]
    pool = InvariantPool(sizes, "monomial", kernels=kernels, group=group)
    features = draw_features(sizes, kernels)
    permutations = draw_permutations(sizes, range(1, len(sizes) - 1))
    moved = move(*scale(*features, draw_factors(sizes, group)), permutations)
    pooled = pool(*features)
    assert pooled.shape == (3, 2 * pool.n_features)
    torch.testing.assert_close(pool(*moved), pooled, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("symmetry", ["np", "hnp"])
@pytest.mark.parametrize("name", NAMES)
def test_pooling_of_paper_002(name, symmetry):
    sizes, kernels = CASES[name]
    pool, features = InvariantPool(sizes, symmetry, kernels=kernels), draw_features(sizes, kernels)
    depth = len(sizes) - 1
    if kernels is None:
        # P has 2 L numbers; P-tilde 2 L + n_0 + 2 n_L, of which three follow from the others.
        expected = {"np": 2 * depth, "hnp": 2 * depth - 3 + sizes[0] + 2 * sizes[-1]}
        assert pool.n_features == expected[symmetry] or depth == 1
    free = range(1, depth) if symmetry == "hnp" else range(depth + 1)
    moved = move(*features, draw_permutations(sizes, free))
    torch.testing.assert_close(pool(*moved), pool(*features), rtol=0, atol=TOLERANCE)
    outputs = draw_permutations(sizes, ())
    outputs[-1] = outputs[-1].flip(0)
    changed = float((pool(*move(*features, outputs)) - pool(*features)).abs().max())
    assert changed < TOLERANCE if symmetry == "np" else changed > 1e-3


@pytest.mark.parametrize("symmetry", ["np", "hnp", "monomial"])
@pytest.mark.parametrize("name", ["three layers", "conv"])
def test_pooling_ignores_padding(name, symmetry):
    sizes, kernels = CASES[name]
    features = draw_features(sizes, kernels)
    extra = [2 if 0 < s < len(sizes) - 1 else 0 for s in range(len(sizes))]
    ones = [
        torch.cat([torch.ones(3, n), torch.zeros(3, e)], 1).double()
        for n, e in zip(sizes, extra, strict=True)
    ]
    pool = InvariantPool(sizes, symmetry, kernels=kernels)
    pooled = pool(*pad(*features, extra), ones)
    torch.testing.assert_close(pooled, pool(*features), rtol=0, atol=TOLERANCE)


def test_path_norms_scale_with_their_neurons():
    for name in NAMES:
        sizes, kernels = CASES[name]
        weights, biases = draw_features(sizes, kernels, channels=1)
        factors = draw_factors(sizes, "scale")
        first, second = (
            path_norms([w[:, 0] for w in ws], [b[:, 0] for b in bs])
            for ws, bs in ((weights, biases), scale(weights, biases, factors))
        )
        for a, b, factor in zip(first, second, factors, strict=True):
            torch.testing.assert_close(a * factor, b, rtol=1e-10, atol=0)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_encoding_tells_ends_apart(kind):
    sizes, _ = CASES["three layers"]
    encode, features = IOEncoding(sizes[0], sizes[-1], kind), draw_features(sizes)
    weights, biases = encode(*features)
    assert [w.shape[1] for w in weights] == [15, 2, 15]
    assert [b.shape[1] for b in biases] == [2, 2, 15]
    codes = weights[0][0, 2:, 0]  # (codes, inputs)
    assert float((codes[:, 0] - codes[:, 1]).detach().abs().max()) > 0.1
    torch.testing.assert_close(weights[2][0, 2:, :, 0], biases[2][0, 2:], rtol=0, atol=0)
    assert torch.equal(weights[0][:, :2], features[0][0])
