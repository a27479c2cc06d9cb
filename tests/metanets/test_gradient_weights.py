"""How much samples and neurons count: symmetric, positive, and all alike at first."""

import pytest
import torch

from skmeta.gradients import FisherSamples
from skmeta.metanets import GradientWeights
from skmeta.networks import Architecture
from skmeta.population import Population, Stack
from skmeta.reading import CurvatureReader
from skmeta.reading.gradient_sets import N_RELATIVE, relative_gradient_set
from skmeta.reading.sample_states import N_AMOUNTS, amounts_of
from tests.population import cases

EXACT = {"rtol": 1e-8, "atol": 1e-10}
KINDS = ["gradmetanet", "gradmetanet++"]


def reader(kind, moved=True):
    torch.manual_seed(0)
    model = GradientWeights(kind, N_RELATIVE, N_AMOUNTS, hidden_channels=8).double()
    if moved:
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return CurvatureReader(kind, 7, model.requires_grad_(False))


def networks(*widths, n=3):
    architecture = Architecture.mlp(widths, activation="sigmoid")
    return Population.initialize(architecture, n, random_state=0).to(dtype=torch.float64)


def rows(n=7, n_inputs=4):
    return torch.randn(n, n_inputs, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "architecture", [a for _, a in cases.CASES if a.output in ("logits", "values")]
)
def test_untrained_it_is_the_standard_estimator(kind, architecture):
    record = cases.trained_looking(architecture, 0)
    stack = Stack.from_records([record]).to(dtype=torch.float64)
    X = rows(n_inputs=architecture.n_inputs)
    found = reader(kind, moved=False).read(stack, X)
    torch.testing.assert_close(found.flat, FisherSamples.of(stack, X).diagonal().flat, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_outputs", [2, 3])
def test_neurons_may_be_permuted_together_and_not_apart(kind, n_outputs):
    population = networks(4, 6, 5, n_outputs)
    [(_, stack)] = population.blocks
    found = reader(kind).read(stack, rows())
    assert (found.flat >= 0).all() and found.flat.isfinite().all()
    holding = population.map(lambda s: s.holding(found)).permuted(random_state=0)
    [(_, moved)] = population.permuted(random_state=0).blocks
    again = reader(kind).read(moved, rows())
    torch.testing.assert_close(again.flat, holding.blocks[0][1].weights.flat, **EXACT)
    # The same neurons with other partners are another network, and not the same permuted.
    apart = stack.with_weights(stack.weights.with_flat(stack.weights.flat.clone()))
    order = torch.tensor([1, 2, 3, 4, 5, 0])
    apart.weights["1.weight"].copy_(apart.weights["1.weight"][:, :, order])
    other = reader(kind).read(apart, rows())
    sums = (w["0.weight"].sum((1, 2)) for w in (other, found))
    assert (next(sums) - next(sums)).abs().max() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_samples_may_come_in_any_order(kind):
    [(_, stack)] = networks(4, 6, 3).blocks
    first, second = (reader(kind).read(stack, X) for X in (rows(), rows().flip(0)))
    torch.testing.assert_close(first.flat, second.flat, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_other_networks_change_nothing(kind):
    narrow, wide = (networks(4, a, b, 2).blocks[0][1] for a, b in ((3, 5), (9, 7)))
    together = Stack.merge([narrow, wide])
    alone, among = (reader(kind).read(stack, rows()) for stack in (narrow, together))
    for slot, values in alone.items():
        own = among[slot][:3][tuple(slice(n) for n in values.shape)]
        torch.testing.assert_close(own, values, **EXACT)
    assert not (among.flat * (1 - together.present().flat)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_counts_is_positive_and_weights_sum_to_one(kind):
    [(_, stack)] = networks(4, 6, 5, 2).blocks
    samples = FisherSamples.of(stack, rows())
    sets = relative_gradient_set(samples)
    assert sets.features.shape == (3, 7, 17, N_RELATIVE)
    weights, states, gradients, shrunk = reader(kind).model(sets, amounts_of(samples))
    torch.testing.assert_close(weights.sum(1), torch.ones(3).double())
    assert (states > 0).all() and states.std() > 1e-3
    assert (gradients > 0).all() and gradients.std() > 1e-3
    assert ((shrunk >= 0) & (shrunk <= 1)).all()


def test_what_counts_is_multiplied_with_squares():
    [(_, stack)] = networks(4, 6, 3).blocks
    samples = FisherSamples.of(stack, rows())
    generator = torch.Generator().manual_seed(0)
    states = torch.rand(3, 7, 13, generator=generator).double()
    gradients = torch.rand(3, 3, 7, 13, generator=generator).double()
    found, expected = samples.counting(states, gradients).diagonal(), 0
    for k, factors in enumerate(samples.factors):
        squares = factors.per_sample()["1.weight"].square()
        squares = squares * states[:, :, None, 4:10] * gradients[:, k, :, 10:, None]
        expected = expected + squares.mean(1)
    torch.testing.assert_close(found["1.weight"], expected, **EXACT)


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="'trunk' parameter of GradientWeights"):
        GradientWeights("sums", 6, 2)
    with pytest.raises(ValueError, match="'n_layers' parameter of GradientWeights"):
        GradientWeights("gradmetanet", 6, 2, n_layers=0)
