"""Both metanetworks respect the symmetries of weight space, and no more than these."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmeta.datasets import Cells, Task
from skmeta.editing.features import FEATURES, FeatureBuilder
from skmeta.metanets import METANETS
from skmeta.networks import Record
from skmeta.networks.architecture import ACTIVATIONS, NORMS, Architecture, Layer
from skmeta.population import Population
from skmeta.population.symmetries import apply_permutations, random_permutations
from skmeta.requirements import EqualizedOdds
from skmeta.requirements.resolve import Plan
from tests.population.cases import ARCHITECTURES, NAMES, trained_looking

TOLERANCE = 1e-10
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
def metanet(name, features):
    (record,) = [trained_looking(ARCHITECTURES[1])]
    graph = builder(features).build(stack_of([record])).graph
    sizes = (5, 2, graph.nodes[0].shape[-1], graph.context.shape[-1], len(graph.steps))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = METANETS[name](*sizes, hidden_channels=12, n_layers=2)
    return net.double().requires_grad_(False)


def stack_of(records):
    (block,) = Population.from_records(records).to(dtype=torch.float64).depth_blocks()
    order = np.argsort(block[0])
    return block[1].select(order)


def edits(name, features, stack, lam=LAM):
    graph = builder(features).build(stack).graph
    params = metanet(name, features)(graph, torch.full((len(stack),), lam, dtype=torch.float64))
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


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", METANETS)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_coupled_permutations_permute_the_edit(name, features, architecture):
    check_equivariance(name, features, architecture)


@st.composite
def architectures(draw):
    widths = draw(st.lists(st.integers(2, 7), min_size=0, max_size=3))
    layers, states = [], [5]
    for width in [*widths, 2]:
        last = len(layers) == len(widths)
        sources = [i for i, size in enumerate(states) if size <= width]
        layers.append(
            Layer(
                width,
                "identity" if last else draw(st.sampled_from(ACTIVATIONS)),
                "none" if last else draw(st.sampled_from(NORMS)),
                norm_after=draw(st.booleans()),
                skips=tuple(draw(st.sets(st.sampled_from(sources)))) if sources else (),
                skip_before=draw(st.booleans()),
            )
        )
        states.append(width)
    return Architecture(5, layers)


@pytest.mark.parametrize("name", METANETS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(architecture=architectures(), seed=st.integers(0, 99))
def test_drawn_architectures(name, architecture, seed):
    record = trained_looking(architecture, seed)
    permutations = random_permutations(architecture, torch.Generator().manual_seed(seed))
    (edit,) = edits(name, "gradients", stack_of([record]))
    (moved,) = edits(name, "gradients", stack_of([apply_permutations(record, permutations)]))
    size = difference(edit, Record.blank(architecture, torch.float64))
    assert difference(apply_permutations(edit, permutations), moved) < TOLERANCE * max(1, size)


@pytest.mark.parametrize("name", METANETS)
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


@pytest.mark.parametrize("name", METANETS)
@pytest.mark.parametrize("state", [0, 2], ids=["inputs", "outputs"])
def test_inputs_and_outputs_are_told_apart(name, state):
    record = trained_looking(Architecture.mlp((5, 8, 2)))
    permutations = [torch.arange(w) for w in (5, 8, 2)]
    permutations[state] = permutations[state].flip(0)
    (edit,) = edits(name, "weights", stack_of([record]))
    (moved,) = edits(name, "weights", stack_of([apply_permutations(record, permutations)]))
    assert difference(apply_permutations(edit, permutations), moved) > 1e-5


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", METANETS)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_padding_changes_nothing(name, features, architecture):
    stack = stack_of([trained_looking(architecture)])
    inner = [width + 3 for width in stack.widths[1:-1]]
    padded = stack.padded([stack.widths[0], *inner, stack.widths[-1]])
    (edit,) = edits(name, features, stack)
    graph = builder(features).build(padded).graph
    params = metanet(name, features)(graph, torch.full((1,), LAM, dtype=torch.float64))
    assert difference(edit, next(padded.with_params(params).records())) < TOLERANCE
    outside = params.map(lambda edit, mask: edit * (1 - mask), padded.trainable())
    assert all(not t.any() for t in outside.tensors())


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", METANETS)
def test_the_other_networks_of_a_batch_change_nothing(name, features):
    of_depth = [a for a in ARCHITECTURES if a.depth == 3]
    assert len(of_depth) > 3
    records = [trained_looking(a, i) for i, a in enumerate(of_depth)]
    together = edits(name, features, stack_of(records))
    for record, edit in zip(records, together, strict=True):
        (alone,) = edits(name, features, stack_of([record]))
        assert difference(alone, edit) < TOLERANCE


@pytest.mark.parametrize("name", METANETS)
def test_many_networks_are_edited_like_few(name):
    records = [trained_looking(Architecture.mlp((5, 6, 2)), i) for i in range(35)]
    together = edits(name, "weights", stack_of(records))
    for i in (0, 15, 16, 34):
        (alone,) = edits(name, "weights", stack_of([records[i]]))
        assert difference(alone, together[i]) < TOLERANCE


@pytest.mark.parametrize("name", METANETS)
def test_lam_reaches_the_edit(name):
    stack = stack_of([trained_looking(Architecture.mlp((5, 8, 2)))])
    low, high = (edits(name, "weights", stack, lam)[0] for lam in (0.02, 0.5))
    assert difference(low, high) > 1e-6


def test_absent_parameters_are_not_edited():
    layers = [Layer(6, "relu", bias=False), Layer(4, "relu", "batch", affine=False), Layer(2)]
    stack = stack_of([trained_looking(Architecture(5, layers))])
    for name in METANETS:
        (edit,) = edits(name, "gradients", stack)
        assert not edit.tensors["bias"][0].any()
        assert not edit.tensors["scale"][1].any()
        assert not edit.tensors["scale"][0].any()
        assert edit.tensors["bias"][1].any()
