"""Metanetworks that edit respect the symmetries of weight space, and no more than these."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmeta.datasets import Cells, Task
from skmeta.editing.features import FEATURES, FeatureBuilder
from skmeta.metanets import EDITING_TRUNKS, Metanet
from skmeta.metanets.quasi import scale_neurons
from skmeta.networks import Record
from skmeta.networks.architecture import ACTIVATIONS, NORMS, Architecture, Layer
from skmeta.population import Population
from skmeta.population.symmetries import (
    HOMOGENEOUS,
    ODD,
    apply_permutations,
    random_permutations,
)
from skmeta.requirements import EqualizedOdds
from skmeta.requirements.resolve import Plan
from tests.population.cases import ARCHITECTURES, CASES, trained_looking

TOLERANCE = 1e-10
ANY_DEPTH = ("graph", "neuron")
LAM = 0.1


@functools.cache
def builder(features):
    rng = np.random.default_rng(0)
    y, s = np.tile([0, 0, 1, 1], 24), np.tile([0, 1, 0, 1], 24)
    X = rng.normal(size=(96, 5)) + y[:, None] * 0.5 + s[:, None] * 0.3
    task = Task(X, y, sensitive_features=s)
    X = torch.from_numpy(X)
    if features == "weights":
        X = X[:0]
    return FeatureBuilder(features, Plan(EqualizedOdds(), None, LAM, 0.0), X, Cells.of(task))


@functools.cache
def metanet(name, features, architectures):
    """Build a metanetwork for the given architectures, or for any if it takes any."""
    if name in ANY_DEPTH:
        architectures = (ARCHITECTURES[1],)
    population = Population.from_records([trained_looking(a) for a in architectures])
    graphs = [
        builder(features).build(stack).graph
        for _, stack in population.to(dtype=torch.float64).depth_blocks()
    ]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Metanet.editor(name, graphs, hidden_channels=8, n_layers=2)
    return net.double().requires_grad_(False)


def may_edit(name, architecture):
    """Whether the trunk takes networks with such layers: all but "monomial" do."""
    if name != "monomial":
        return True
    hidden = {layer.activation for layer in architecture.layers[:-1]}
    plain = all(layer.norm == "none" and not layer.skips for layer in architecture.layers)
    return plain and (hidden <= set(HOMOGENEOUS) or hidden <= set(ODD))


# "gradients" have all that other features have; their channels differ.
TRIPLES = [
    pytest.param(name, architecture, features, id=f"{name}, {case}, {features}")
    for name in EDITING_TRUNKS
    for case, architecture in CASES
    for features in (FEATURES if name in ANY_DEPTH else ("weights", "gradients"))
    if may_edit(name, architecture)
]


def stack_of(records):
    (block,) = Population.from_records(records).to(dtype=torch.float64).depth_blocks()
    order = np.argsort(block[0])
    return block[1].select(order)


def edits(name, features, stack, lam=LAM, built_for=None):
    graph = builder(features).build(stack).graph
    built_for = tuple(dict.fromkeys(built_for or stack.architectures))
    params = metanet(name, features, built_for)(
        graph, torch.full((len(stack),), lam, dtype=torch.float64)
    )
    edit = stack.with_params(params)
    return list(edit.records())


def difference(first: Record, second: Record) -> float:
    gaps = [
        float((a - b).abs().max())
        for field in ("weight", "bias", "scale", "shift")
        for a, b in zip(first.tensors[field], second.tensors[field], strict=True)
    ]
    return max(gaps)


def check_equivariance(name, features, architecture, seed=0):
    record = trained_looking(architecture, seed)
    permutations = random_permutations(architecture, torch.Generator().manual_seed(seed + 1))
    moved = apply_permutations(record, permutations)
    (edit,) = edits(name, features, stack_of([record]))
    (edit_of_moved,) = edits(name, features, stack_of([moved]))
    assert difference(apply_permutations(edit, permutations), edit_of_moved) < TOLERANCE
    assert difference(edit, Record.blank(architecture, torch.float64)) > 1e-4


@pytest.mark.parametrize(("name", "architecture", "features"), TRIPLES)
def test_coupled_permutations_permute_the_edit(name, architecture, features):
    check_equivariance(name, features, architecture)


@st.composite
def architectures(draw, plain=False):
    """Draw layers of all kinds, or those that scalings of neurons leave as they are."""
    widths = draw(st.lists(st.integers(2, 7), min_size=0, max_size=3))
    layers, states = [], [5]
    for width in [*widths, 2]:
        last = len(layers) == len(widths)
        activation = draw(st.sampled_from(HOMOGENEOUS if plain else ACTIVATIONS))
        sources = [i for i, size in enumerate(states) if size <= width and not plain]
        layers.append(
            Layer(
                width,
                "identity" if last else activation,
                "none" if last or plain else draw(st.sampled_from(NORMS)),
                norm_after=draw(st.booleans()),
                skips=tuple(draw(st.sets(st.sampled_from(sources)))) if sources else (),
                skip_before=draw(st.booleans()),
            )
        )
        states.append(width)
    return Architecture(5, layers)


@pytest.mark.parametrize("name", EDITING_TRUNKS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 99))
def test_drawn_architectures(name, data, seed):
    architecture = data.draw(architectures(plain=name == "monomial"))
    record = trained_looking(architecture, seed)
    permutations = random_permutations(architecture, torch.Generator().manual_seed(seed))
    (edit,) = edits(name, "gradients", stack_of([record]))
    (moved,) = edits(name, "gradients", stack_of([apply_permutations(record, permutations)]))
    size = difference(edit, Record.blank(architecture, torch.float64))
    assert difference(apply_permutations(edit, permutations), moved) < TOLERANCE * max(1, size)


@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_an_uncoupled_permutation_is_noticed(name):
    record = trained_looking(Architecture.mlp((5, 8, 8, 2)))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    # Rows of the first layer move, the columns of the second do not: another function.
    half = [torch.arange(5), order, torch.arange(8), torch.arange(2)]
    tensors = {f: list(v) for f, v in record.tensors.items()}
    for field in tensors:
        tensors[field][0] = tensors[field][0][order]
    broken = Record(record.architecture, tensors)
    (edit,) = edits(name, "weights", stack_of([record]))
    (other,) = edits(name, "weights", stack_of([broken]))
    assert difference(edit, other) > 1e-5
    assert difference(apply_permutations(edit, half), other) > 1e-5


@pytest.mark.parametrize("name", EDITING_TRUNKS)
@pytest.mark.parametrize("state", [0, 2], ids=["inputs", "outputs"])
def test_inputs_and_outputs_are_told_apart(name, state):
    record = trained_looking(Architecture.mlp((5, 8, 2)))
    permutations = [torch.arange(w) for w in (5, 8, 2)]
    permutations[state] = permutations[state].flip(0)
    (edit,) = edits(name, "weights", stack_of([record]))
    (moved,) = edits(name, "weights", stack_of([apply_permutations(record, permutations)]))
    assert difference(apply_permutations(edit, permutations), moved) > 1e-5


@pytest.mark.parametrize(("name", "architecture", "features"), TRIPLES)
def test_padding_changes_nothing(name, architecture, features):
    stack = stack_of([trained_looking(architecture)])
    inner = [width + 3 for width in stack.widths[1:-1]]
    padded = stack.padded([stack.widths[0], *inner, stack.widths[-1]])
    (edit,) = edits(name, features, stack)
    graph = builder(features).build(padded).graph
    params = metanet(name, features, (architecture,))(
        graph, torch.full((1,), LAM, dtype=torch.float64)
    )
    assert difference(edit, next(padded.with_params(params).records())) < TOLERANCE
    outside = params.map(lambda edit, mask: edit * (1 - mask), padded.trainable())
    assert all(not t.any() for t in outside.tensors())


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_the_other_networks_of_a_batch_change_nothing(name, features):
    of_depth = [a for a in ARCHITECTURES if a.depth == 3 and may_edit(name, a)]
    if name == "monomial":
        of_depth = [Architecture.mlp((5, *w, 2)) for w in ((6, 6), (4, 7), (8, 3), (6, 6))]
    assert len(of_depth) > 3
    records = [trained_looking(a, i) for i, a in enumerate(of_depth)]
    together = edits(name, features, stack_of(records))
    for record, edit in zip(records, together, strict=True):
        (alone,) = edits(name, features, stack_of([record]), built_for=of_depth)
        assert difference(alone, edit) < TOLERANCE


@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_many_networks_are_edited_like_few(name):
    records = [trained_looking(Architecture.mlp((5, 6, 2)), i) for i in range(35)]
    together = edits(name, "weights", stack_of(records))
    for i in (0, 15, 16, 34):
        (alone,) = edits(name, "weights", stack_of([records[i]]))
        assert difference(alone, together[i]) < TOLERANCE


@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_lam_reaches_the_edit(name):
    stack = stack_of([trained_looking(Architecture.mlp((5, 8, 2)))])
    low, high = (edits(name, "weights", stack, lam)[0] for lam in (0.02, 0.5))
    assert difference(low, high) > 1e-6


@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_absent_parameters_are_not_edited(name):
    layers = [Layer(6, "relu", bias=False), Layer(4, "relu", "batch", affine=False), Layer(2)]
    if name == "monomial":
        layers[1] = Layer(4, "relu")
    stack = stack_of([trained_looking(Architecture(5, layers))])
    (edit,) = edits(name, "gradients", stack)
    assert not edit.tensors["bias"][0].any()
    assert not edit.tensors["scale"][1].any()
    assert not edit.tensors["scale"][0].any()
    assert edit.tensors["bias"][1].any()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_scaled_neurons_scale_the_edit_behind_monomial_alone(name, activation):
    """Positive factors for ReLU, changes of sign for tanh."""
    stack = stack_of([trained_looking(Architecture.mlp((5, 8, 6, 2), activation=activation), 1)])
    draw = functools.partial(torch.rand, generator=torch.Generator().manual_seed(0))
    ones = [torch.ones(1, width, dtype=torch.float64) for width in (5, 2)]
    free = [draw(1, width, dtype=torch.float64) for width in (8, 6)]
    hidden = [2 * x + 0.5 if activation == "relu" else (x > 0.5) * 2.0 - 1 for x in free]

    def scaled(params):
        factors = [ones[0], *hidden, ones[1]]
        weight, bias = scale_neurons(params.weight, params.bias, factors)
        return params._replace(weight=tuple(weight), bias=tuple(bias))

    moved = stack.with_params(scaled(stack.params))
    net = metanet(name, "weights", stack.architectures)
    first, second = (
        net(builder("weights").build(s).graph, torch.full((1,), LAM, dtype=torch.float64))
        for s in (stack, moved)
    )
    pairs = zip(scaled(first).tensors(), second.tensors(), strict=True)
    gap = max(float((a - b).abs().max()) for a, b in pairs)
    assert (gap < TOLERANCE) == (name == "monomial")


@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_a_mean_of_edits_moves_with_the_neurons_and_all_parameters_learn(name):
    architecture = Architecture.mlp((5, 8, 6, 2))
    record = trained_looking(architecture)
    permutations = random_permutations(architecture, torch.Generator().manual_seed(1))
    stacks = [stack_of([r]) for r in (record, apply_permutations(record, permutations))]
    graphs = [builder("gradients").build(stack).graph for stack in stacks]
    torch.manual_seed(0)
    net = Metanet.editor(name, graphs[:1], n_edits=3, hidden_channels=8, n_layers=2).double()
    lam = torch.full((1,), LAM, dtype=torch.float64)
    params = [net(graph, lam) for graph in graphs]
    edit, moved = (
        next(stack.with_params(p.map(torch.detach)).records())
        for stack, p in zip(stacks, params, strict=True)
    )
    assert difference(apply_permutations(edit, permutations), moved) < TOLERANCE
    sum(t.square().sum() for t in params[0].tensors()).backward()
    for parameter_name, parameter in net.named_parameters():
        if ".skip_" not in parameter_name:  # there are no skip connections
            assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name


def test_a_mean_of_equal_edits_is_one_of_them():
    graph = builder("gradients").build(stack_of([trained_looking(ARCHITECTURES[1])])).graph
    lam = torch.full((1,), LAM, dtype=torch.float64)
    for name in ("graph", "neuron"):
        one = metanet(name, "gradients", (ARCHITECTURES[1],))
        several = Metanet.editor(name, [graph], n_edits=2, hidden_channels=8, n_layers=2).double()
        state = {}
        for key, value in several.state_dict().items():
            known = one.state_dict()[key]
            if key.startswith("head.forms.") and name == "neuron":
                known = known.unflatten(0, (-1, 1, 16)).repeat_interleave(2, 1).flatten(0, 2)
            elif value.shape != known.shape:
                known = torch.cat([known, known])
            state[key] = known
        several.load_state_dict(state)
        for a, b in zip(one(graph, lam).tensors(), several(graph, lam).tensors(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE)


def test_statistics_cannot_edit():
    graph = builder("weights").build(stack_of([trained_looking(ARCHITECTURES[1])])).graph
    with pytest.raises(ValueError, match="trunk with states of neurons. StatNN has none"):
        Metanet.editor("statistics", [graph])
