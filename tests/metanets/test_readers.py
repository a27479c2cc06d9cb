"""Metanetworks that read networks: invariant where they must be, and nowhere else."""

import functools

import pytest
import torch

from skmeta.metanets import TRUNKS, Metanet, Quasi, QuasiScaling
from skmeta.networks import Architecture, Layer
from skmeta.population import Buffers, Parameters, Population, Stack, run_stack
from tests.metanets.features import draw_features, draw_permutations, move
from tests.population.cases import ARCHITECTURES, NAMES, trained_looking

TOLERANCE = 1e-10
NAMES_OF_READERS = [name for name in TRUNKS if name != "statistics"]
PERMUTATION_ONLY = [name for name in NAMES_OF_READERS if name != "monomial"]
RELU = [
    Architecture.mlp((5, 8, 8, 2)),
    Architecture.mlp((5, 4, 7, 2)),
    Architecture(5, [Layer(6, "leaky_relu"), Layer(6, "relu", bias=False), Layer(2)]),
    Architecture.mlp((5, 6, 2)),
]
CONV = ((2, 4, 3, 2), ((3, 3), (2, 1), ()))


def population_of(architectures, n_each=3):
    records = [trained_looking(a, i) for i in range(n_each) for a in architectures]
    return Population.from_records(records).to(dtype=torch.float64)


def stacks_of(population):
    return [stack for _, stack in population.depth_blocks()]


def read(metanet, stack):
    return metanet(metanet.inputs(stack))


def in_order(metanet, population):
    """Read networks depth by depth, and put the numbers into the order of the population."""
    out = torch.empty(len(population), 2, dtype=torch.float64)
    for positions, stack in population.depth_blocks():
        out[positions] = read(metanet, stack)
    return out


def conv_stack(seed=0, permutations=None, batch=4):
    """Return networks whose weights have filter positions."""
    sizes, kernels = CONV
    features = draw_features(sizes, kernels, batch=batch, channels=1, seed=seed)
    if permutations is not None:
        features = move(*features, permutations)
    weights, biases = ([t[:, 0] for t in tensors] for tensors in features)
    ones, zeros = [torch.ones_like(b) for b in biases], [torch.zeros_like(b) for b in biases]
    params = Parameters(*map(tuple, (weights, biases, ones, zeros)))
    architectures = (Architecture.mlp(sizes),) * batch
    return Stack(architectures, params, Buffers(tuple(zeros), tuple(ones)))


def build(name, stacks, quasi=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        metanet = Metanet.reader(name, stacks, 2, hidden_channels=4, n_layers=2)
        if quasi:
            metanet = Quasi(metanet, stacks)
            with torch.no_grad():
                metanet.scaling.alpha.fill_(0.5)
    return metanet.double().requires_grad_(False)


@functools.cache
def reader(name, quasi=False):
    return build(name, stacks_of(population_of(RELU)), quasi)


@pytest.mark.parametrize("quasi", [False, True], ids=["plain", "quasi"])
@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_permutations_of_hidden_neurons_change_nothing(name, quasi):
    population, metanet = population_of(RELU), reader(name, quasi)
    out = in_order(metanet, population)
    torch.testing.assert_close(
        in_order(metanet, population.permuted(0)), out, rtol=0, atol=TOLERANCE
    )
    assert float(out.std(0).min()) > 1e-6


@pytest.mark.parametrize("name", PERMUTATION_ONLY)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_all_kinds_of_layers(name, architecture):
    population = population_of([architecture])
    metanet = build(name, stacks_of(population))
    out, moved = (in_order(metanet, p) for p in (population, population.permuted(1)))
    torch.testing.assert_close(moved, out, rtol=0, atol=TOLERANCE)
    assert float(out.std(0).min()) > 1e-6


@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_rescaled_networks_read_alike_under_monomial_alone(name):
    population, metanet = population_of(RELU), reader(name)
    gap = in_order(metanet, population.rescaled(0)) - in_order(metanet, population)
    assert (float(gap.abs().max()) < TOLERANCE) == (name == "monomial")


def test_signs_of_networks_with_tanh():
    population = population_of([Architecture.mlp((5, 8, 8, 2), activation="tanh")])
    ((_, stack),) = population.depth_blocks()
    signs = torch.ones(8, dtype=torch.float64)
    signs[::2] = -1
    first, second, third = stack.params.weight
    weight = (first * signs[:, None], second / signs, third)
    flipped = stack.params._replace(
        weight=weight, bias=(stack.params.bias[0] * signs, *stack.params.bias[1:])
    )
    flipped = stack.with_params(flipped)
    X = torch.randn(1, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(run_stack(flipped, X[0]), run_stack(stack, X[0]))
    metanet = build("monomial", [stack])
    torch.testing.assert_close(read(metanet, flipped), read(metanet, stack), rtol=0, atol=TOLERANCE)
    other = build("nfn-hnp", [stack])
    assert float((read(other, flipped) - read(other, stack)).abs().max()) > 1e-4


@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_an_uncoupled_permutation_is_noticed(name):
    stack = stacks_of(population_of(RELU[:1]))[0]
    params = stack.params
    broken = stack.with_params(
        params._replace(weight=(params.weight[0].flip(1), *params.weight[1:]))
    )
    metanet = build(name, [stack])
    gap = float((read(metanet, broken) - read(metanet, stack)).abs().max())
    # Pointwise layers and monomial matrices never look at two weights of a neuron at once; the
    # biases of the first layer do so in the latter.
    assert gap < TOLERANCE if name == "nfn-pointwise" else gap > 1e-6


@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_the_scale_of_a_function_is_seen(name):
    stack = stacks_of(population_of(RELU[:1]))[0]
    double = [list(field) for field in (stack.params.weight, stack.params.bias)]
    for field in double:
        field[-1] = 2 * field[-1]
    weight, bias = map(tuple, double)
    louder = stack.with_params(stack.params._replace(weight=weight, bias=bias))
    metanet = build(name, [stack])
    assert float((read(metanet, louder) - read(metanet, stack)).abs().min()) > 1e-5


@pytest.mark.parametrize("state", [0, -1], ids=["inputs", "outputs"])
@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_inputs_and_outputs_are_told_apart(name, state):
    stack = stacks_of(population_of(RELU[:1]))[0]
    params = stack.params
    weight, bias = list(params.weight), list(params.bias)
    weight[state] = weight[state].flip(2 if state == 0 else 1)
    if state:
        bias[state] = bias[state].flip(1)
    moved = stack.with_params(params._replace(weight=tuple(weight), bias=tuple(bias)))
    metanet = build(name, [stack])
    assert float((read(metanet, moved) - read(metanet, stack)).abs().max()) > 1e-6


@pytest.mark.parametrize("quasi", [False, True], ids=["plain", "quasi"])
@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_padding_and_other_networks_change_nothing(name, quasi):
    metanet = reader(name, quasi)
    for stack in stacks_of(population_of(RELU)):
        out = read(metanet, stack)
        wider = [n + 3 for n in stack.widths[1:-1]]
        padded = stack.padded([stack.widths[0], *wider, stack.widths[-1]])
        torch.testing.assert_close(read(metanet, padded), out, rtol=0, atol=TOLERANCE)
        for row in range(0, len(stack), 2):
            (alone,) = Population.from_records([list(stack.records())[row]]).depth_blocks()
            torch.testing.assert_close(read(metanet, alone[1])[0], out[row], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["nfn-np", "nfn-pointwise", "graph", "neuron"])
def test_networks_of_other_inputs_and_outputs_in_one_population(name):
    architectures = [Architecture.mlp((5, 6, 2)), Architecture.mlp((3, 4, 4))]
    population = population_of(architectures)
    metanet = build(name, stacks_of(population))
    out = in_order(metanet, population)
    for i in (0, 1):
        alone = in_order(metanet, population[i : i + 1])
        torch.testing.assert_close(alone[0], out[i], rtol=0, atol=TOLERANCE)


def test_learned_codes_are_learned():
    stacks = stacks_of(population_of(RELU).to(dtype=torch.float32))
    metanet = Metanet.reader("nfn-np", stacks, encoding="learned")
    sum(read(metanet, stack).square().sum() for stack in stacks).backward()
    codes = [p for name, p in metanet.named_parameters() if ".encode_ends." in name]
    assert len(codes) == 2 * len(stacks)
    assert all(float(p.grad.abs().min()) > 0 for p in codes)


@pytest.mark.parametrize("name", ["nfn-hnp", "monomial"])
def test_mixed_inputs_are_refused_by_layers_with_parameters_for_each(name):
    population = population_of([Architecture.mlp((5, 6, 2)), Architecture.mlp((3, 4, 2))])
    with pytest.raises(ValueError, match="with 5 inputs and 2 outputs. Got .*(3, 2).*'np'"):
        Metanet.reader(name, stacks_of(population))


def test_networks_that_a_reader_was_not_built_for():
    stacks = stacks_of(population_of(RELU[:1]))
    deeper = stacks_of(population_of([Architecture.mlp((5, 4, 4, 4, 2))]))[0]
    wider = stacks_of(population_of([Architecture.mlp((6, 4, 4, 2))]))[0]
    with pytest.raises(ValueError, match="dense-dense-dense. Got dense-dense-dense-dense"):
        read(Metanet.reader("nfn-hnp", stacks), deeper.to(dtype=torch.float32))
    for name in NAMES_OF_READERS:
        with pytest.raises(ValueError, match="5 inputs.* Got .*6"):
            read(Metanet.reader(name, stacks), wider.to(dtype=torch.float32))
    with pytest.raises(ValueError, match="symmetry='monomial' reads .* \\['gelu'\\].*'hnp'"):
        Metanet.reader(
            "monomial", stacks_of(population_of([Architecture(5, [Layer(4, "gelu"), Layer(2)])]))
        )
    readers = [functools.partial(Metanet.reader, name) for name in ("graph", "nfn-np")]
    for build_with in (*readers, QuasiScaling):
        for wrong in (population_of(RELU), stacks[0], []):
            with pytest.raises(TypeError, match="depth_blocks"):
                build_with(wrong)


@pytest.mark.parametrize(
    "layers",
    [
        [Layer(4, "tanh"), Layer(2)],
        [Layer(4, "relu", norm="batch"), Layer(2)],
        [Layer(5, "relu", skips=(0,)), Layer(2)],
        [Layer(2, "relu"), Layer(2, skips=(1,))],
    ],
    ids=["activation", "normalisation", "skip", "skip to the outputs"],
)
def test_a_monomial_reader_refuses_networks_that_cannot_be_rescaled(layers):
    stacks = stacks_of(population_of([Architecture.mlp((5, 4, 2))]))
    [other] = stacks_of(population_of([Architecture(5, layers)]))
    with pytest.raises(ValueError, match="symmetry='monomial' reads .* Got"):
        read(Metanet.reader("monomial", stacks), other.to(dtype=torch.float32))
    with pytest.raises(ValueError, match="symmetry='monomial' reads .* Got"):
        Metanet.reader("monomial", [*stacks, other])


def test_normalisation_that_a_reader_would_not_see():
    plain = stacks_of(population_of([Architecture.mlp((5, 4, 2))]))
    [other] = stacks_of(population_of([Architecture(5, [Layer(4, norm="batch"), Layer(2)])]))
    with pytest.raises(ValueError, match="built for networks without normalisation"):
        read(Metanet.reader("nfn-hnp", plain), other.to(dtype=torch.float32))
    assert (
        read(Metanet.reader("nfn-hnp", [other]), plain[0].to(dtype=torch.float32)).isfinite().all()
    )


@pytest.mark.parametrize("quasi", [False, True], ids=["plain", "quasi"])
@pytest.mark.parametrize("name", ["nfn-np", "nfn-pointwise", "graph", "neuron"])
def test_images_of_several_kinds_in_any_order(name, quasi):
    """Stacks of one layout of weights share what reads them, whatever their images."""
    kinds = [Architecture.cnn((c, 8, 8), (4, 3), 2, stride=s) for c, s in ((3, 1), (1, 1), (1, 2))]
    stacks = stacks_of(population_of(kinds))
    assert len(stacks) == 3
    for order in (stacks, stacks[::-1]):
        metanet = build(name, order, quasi)
        assert all(read(metanet, stack).isfinite().all() for stack in order)


@pytest.mark.parametrize("quasi", [False, True], ids=["plain", "quasi"])
@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_convolutions(name, quasi):
    permutations = draw_permutations(CONV[0], (1, 2))
    stack, moved = conv_stack(), conv_stack(permutations=permutations)
    metanet = build(name, [stack], quasi)
    out = read(metanet, stack)
    torch.testing.assert_close(read(metanet, moved), out, rtol=0, atol=TOLERANCE)
    # Filter positions are no neurons.
    weight = (stack.params.weight[0].flip(3), *stack.params.weight[1:])
    flipped = stack.with_params(stack.params._replace(weight=weight))
    assert float((read(metanet, flipped) - out).abs().max()) > 1e-6


@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_a_reader_rebuilt_from_blank_networks_loads_what_was_learned(name):
    stacks = stacks_of(population_of(RELU))
    metanet = build(name, stacks)
    blank = [s.with_params(s.params.map(torch.zeros_like)) for s in stacks]
    again = build(name, blank)
    again.load_state_dict(metanet.state_dict())
    for stack in stacks:
        torch.testing.assert_close(read(again, stack), read(metanet, stack), rtol=0, atol=0)


def test_quasi_scaling_keeps_functions():
    population = population_of(RELU)
    X = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scaling = reader("graph", True).scaling
    for copy in (population, population.permuted(0), population.rescaled(0)):
        for (_, stack), (_, original) in zip(
            copy.depth_blocks(), population.depth_blocks(), strict=True
        ):
            scaled = scaling(stack)
            change = (scaled.params.weight[0] - stack.params.weight[0]).abs().max()
            assert float(change) > 1e-3
            torch.testing.assert_close(run_stack(scaled, X), run_stack(original, X))
    # Factors are no function of what the network computes.
    (_, first), (_, second) = (p.depth_blocks()[0] for p in (population, population.rescaled(0)))
    gap = scaling.factors(first)[1] - scaling.factors(second)[1]
    assert float(gap.abs().max()) > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_quasi_scaling_keeps_functions_of_all_kinds_of_layers(architecture):
    stacks = stacks_of(population_of([architecture]))
    scaling = QuasiScaling(stacks).double()
    with torch.no_grad():
        scaling.alpha.fill_(0.5)
        X = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(run_stack(scaling(stacks[0]), X), run_stack(stacks[0], X))


def test_quasi_changes_readers_that_see_scales_and_no_others():
    stacks = stacks_of(population_of(RELU))
    for name in NAMES_OF_READERS:
        plain, quasi = reader(name), reader(name, True)
        gap = max(float((read(plain, s) - read(quasi, s)).abs().max()) for s in stacks)
        assert gap < TOLERANCE if name == "monomial" else gap > 1e-5


@pytest.mark.parametrize("name", ["nfn-hnp", "nfn-np", "graph"])
def test_quasi_adds_few_parameters(name):
    plain, quasi = reader(name), reader(name, True)
    count = [sum(p.numel() for p in metanet.parameters()) for metanet in (plain, quasi)]
    assert count[0] < count[1] <= 1.05 * count[0]


def test_quasi_starts_small_and_learns():
    stacks = stacks_of(population_of(RELU).to(dtype=torch.float32))
    metanet = Quasi(Metanet.reader("nfn-hnp", stacks), stacks)
    assert metanet.scaling.alpha.item() == pytest.approx(0.01)
    sum(read(metanet, stack).square().sum() for stack in stacks).backward()
    missing = [name for name, p in metanet.named_parameters() if p.grad is None]
    assert not missing and float(metanet.scaling.alpha.grad.abs()) > 0


@pytest.mark.parametrize("quasi", [False, True], ids=["plain", "quasi"])
@pytest.mark.parametrize("name", TRUNKS)
def test_networks_of_zeros_have_finite_gradients(name, quasi):
    [stack] = stacks_of(population_of(RELU[:1]))
    weight = (stack.params.weight[0] * 0, *stack.params.weight[1:])
    dead = (
        stack.with_params(stack.params._replace(weight=weight)),
        stack.with_params(stack.params.map(torch.zeros_like)),
    )
    metanet = build(name, [stack], quasi).requires_grad_()
    for zeros in dead:
        read(metanet, zeros).square().sum().backward()
    for parameter in metanet.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES_OF_READERS)
def test_gradients_reach_all_parameters_and_are_finite(name):
    skips = Architecture(5, [Layer(6, "relu"), Layer(6, "relu", skips=(1,)), Layer(2)])
    architectures = RELU if name == "monomial" else [*RELU, skips]
    stacks = stacks_of(population_of(architectures).to(dtype=torch.float32))
    zeros = [s.with_params(s.params.map(torch.zeros_like)) for s in stacks]
    metanet = Metanet.reader(name, stacks)
    sum(read(metanet, stack).square().sum() for stack in [*stacks, *zeros]).backward()
    for parameter in metanet.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
