"""Permuted and rescaled networks compute the same; tied neurons matter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmeta.networks import ACTIVATIONS, Architecture
from skmeta.population import Population, apply_permutations, random_permutations
from skmeta.population.symmetries import tied_neurons
from tests.stages import layer

from .cases import CASES, NAMES, mixed_population, trained_looking

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
BY_NAME = dict(CASES)
UNMOVED = {
    "permuted": {"linear"},
    "rescaled": {
        *("linear", "sigmoid, softplus", "norm without affine"),
        # One layer of the chain adds a skip connection in front of its normalisation.
        "skips before the activation",
    },
}


@pytest.mark.parametrize("change", ["permuted", "rescaled"])
@pytest.mark.parametrize("name, architecture", CASES)
def test_same_outputs_as_float32(name, architecture, change):
    population = Population.from_records([trained_looking(architecture, s) for s in range(5)])
    changed = getattr(population, change)(0)
    torch.testing.assert_close(changed.forward(X), population.forward(X), rtol=0, atol=1e-5)
    pairs = zip(tensors(changed), tensors(population), strict=True)
    moved = any(not torch.equal(new, old) for new, old in pairs)
    assert moved == (name not in UNMOVED[change])


def tensors(population):
    return [t for r in population.records() for field in r.tensors.values() for t in field]


def first_weight(population):
    return population.records()[0].tensors["0.weight"]


def test_mixed_population_and_seeds():
    population = mixed_population().to(dtype=torch.float64)
    for change in ("permuted", "rescaled"):
        a, b, c = (getattr(population, change)(seed) for seed in (0, 0, 1))
        assert torch.equal(first_weight(a[1:]), first_weight(b[1:]))
        assert not torch.equal(first_weight(a[1:]), first_weight(c[1:]))
        torch.testing.assert_close(
            a.forward(X.double()), population.forward(X.double()), rtol=0, atol=1e-12
        )


def test_most_neurons_of_plain_networks_are_rescaled():
    for name in ("plain relu", "batch norm", "layer norm", "skips behind the activation"):
        record = trained_looking(BY_NAME[name])
        before = Population.from_records([record])
        after = before.rescaled(0).records()[0]
        last = f"{record.architecture.depth - 1}.weight"
        ratio = after.tensors[last] / record.tensors[last]
        assert (ratio != 1).all() and (ratio >= 0.499).all() and (ratio <= 2.001).all()


@pytest.mark.parametrize(
    "name", ["skips behind the activation", "skips before the activation", "padded skips"]
)
def test_an_uncoupled_permutation_changes_the_outputs(name):
    record = trained_looking(BY_NAME[name])
    permutations = [torch.arange(width) for width in record.architecture.widths]
    permutations[1] = permutations[1].flip(0)
    before = Population.from_records([record]).forward(X)
    after = Population.from_records([apply_permutations(record, permutations)]).forward(X)
    assert (after - before).abs().max() > 1e-2


def test_tied_neurons():
    assert {states: tuple(i.tolist()) for states, i in tied_neurons(BY_NAME["padded chain"])} == {
        (1, 2, 3): (0, 1, 2, 3, 4, 5),
        (2, 3): (6, 7),
        (3,): (8, 9),
    }
    # Tied to the input: five of eight neurons of the first state stay.
    pinned = BY_NAME["padded skip from the input"]
    assert {states: i.tolist() for states, i in tied_neurons(pinned)} == {(1, 2): [5, 6, 7]}
    assert [s for s, _ in tied_neurons(BY_NAME["skip into the output"])] == [(2,)]


def test_permutations_keep_input_and_output():
    generator = torch.Generator().manual_seed(0)
    permutations = random_permutations(BY_NAME["plain relu"], generator)
    assert [p.tolist() for p in (permutations[0], permutations[2])] == [[0, 1, 2, 3, 4], [0, 1]]
    assert sorted(permutations[1].tolist()) == list(range(8)) != permutations[1].tolist()


def test_an_edit_can_be_permuted_like_its_network():
    record, edit = (trained_looking(BY_NAME["everything"], seed) for seed in (0, 1))
    permutations = random_permutations(record.architecture, torch.Generator().manual_seed(3))
    total = {name: value + edit.tensors[name] for name, value in record.tensors.items()}
    first = apply_permutations(type(record)(record.architecture, total), permutations)
    parts = [apply_permutations(r, permutations).tensors for r in (record, edit)]
    for name, value in first.tensors.items():
        assert torch.equal(value, parts[0][name] + parts[1][name])


@st.composite
def architectures(draw):
    depth, widths, layers = draw(st.integers(1, 4)), [5], []
    for index in range(depth):
        last = index == depth - 1
        width = 2 if last else draw(st.integers(1, 9))
        sources = [i for i, w in enumerate(widths) if w <= width]
        layers.append(
            layer(
                width,
                draw(st.sampled_from(list(ACTIVATIONS))),
                draw(st.sampled_from(["none", "batch", "layer"])),
                norm_after=draw(st.booleans()),
                skips=tuple(draw(st.sets(st.sampled_from(sources)))) if sources else (),
                skip_before=draw(st.booleans()),
                bias=draw(st.booleans()),
                affine=draw(st.booleans()),
                # A layer norm of one neuron divides rounding errors by sqrt(eps).
                eps=1e-2,
            )
        )
        widths.append(width)
    return Architecture(5, layers)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(architectures(), st.integers(0, 5))
def test_any_architecture(architecture, seed):
    population = Population.from_records([trained_looking(architecture, seed)])
    population = population.to(dtype=torch.float64)
    rows = X.double()
    expected = population.forward(rows)
    (module,) = population.to_networks()
    torch.testing.assert_close(module(rows)[None], expected, rtol=0, atol=1e-10)
    for changed in (population.permuted(seed), population.rescaled(seed)):
        torch.testing.assert_close(changed.forward(rows), expected, rtol=0, atol=1e-10)


def test_table_is_large_enough():
    assert len(NAMES) == len(set(NAMES)) >= 12
