"""Weights of samples: symmetric, positive, and nothing at first."""

import pytest
import torch

from skmeta.gradients import FisherSamples
from skmeta.metanets import SampleWeights
from skmeta.networks import Architecture
from skmeta.population import Population, Stack
from skmeta.reading import CurvatureReader
from skmeta.reading.sample_states import N_AMOUNTS, N_FEATURES, describe

EXACT = {"rtol": 1e-8, "atol": 1e-10}


def model(moved=True):
    torch.manual_seed(0)
    built = SampleWeights(N_FEATURES, N_AMOUNTS, hidden_channels=8).double()
    if moved:
        for parameter in built.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return built.requires_grad_(False)


def networks(*widths, n=3):
    architecture = Architecture.mlp(widths, activation="tanh")
    population = Population.initialize(architecture, n, random_state=0).to(dtype=torch.float64)
    return population, population.blocks[0][1]


def rows(n=20, n_inputs=4):
    return torch.randn(n, n_inputs, generator=torch.Generator().manual_seed(1)).double()


def test_untrained_it_is_the_standard_estimator():
    _, stack = networks(4, 6, 5, 2)
    samples = FisherSamples.of(stack, rows())
    weights, amounts = model(moved=False)(describe(samples, rows()))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 20))
    assert not amounts.any()
    found = CurvatureReader("sample-weights", 20, model(moved=False)).read(stack, rows())
    torch.testing.assert_close(found.flat, samples.diagonal().flat, **EXACT)


def test_weights_are_positive_and_sum_to_one():
    _, stack = networks(4, 6, 5, 2)
    weights, amounts = model()(describe(FisherSamples.of(stack, rows()), rows()))
    assert (weights > 0).all() and weights.std() > 1e-3
    torch.testing.assert_close(weights.sum(1), torch.ones(3).double())
    assert ((amounts >= 0) & (amounts <= 1)).all()


def test_neurons_may_be_permuted_together_and_not_apart():
    population, stack = networks(4, 6, 5, 2)
    generator = torch.Generator().manual_seed(0)
    moved = population.permuted(random_state=0)
    before, after = (
        model()(describe(FisherSamples.of(s, rows()), rows())) for s in (stack, moved.blocks[0][1])
    )
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    flat = stack.weights.flat.clone()
    apart = stack.with_weights(stack.weights.with_flat(flat))
    order = torch.randperm(6, generator=generator)
    apart.weights["0.weight"].copy_(apart.weights["0.weight"][:, order])
    weights, _ = model()(describe(FisherSamples.of(apart, rows()), rows()))
    assert (weights - before[0]).abs().max() > 1e-6


def test_samples_may_come_in_any_order():
    _, stack = networks(4, 6, 2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    first, second = (
        model()(describe(FisherSamples.of(stack, X), X)) for X in (rows(), rows()[order])
    )
    torch.testing.assert_close(first[0][:, order], second[0], **EXACT)
    torch.testing.assert_close(first[1], second[1], **EXACT)


def test_padding_and_other_networks_change_nothing():
    narrow, wide = networks(4, 3, 5, 2)[1], networks(4, 9, 7, 2)[1]
    together = Stack.merge([narrow, wide])
    alone, among = (
        model()(describe(FisherSamples.of(stack, rows()), rows())) for stack in (narrow, together)
    )
    for a, b in zip(alone, among, strict=True):
        torch.testing.assert_close(a, b[:3], **EXACT)


def test_any_number_of_samples_will_do():
    _, stack = networks(4, 6, 2)
    for n in (2, 3, 50):
        weights, _ = model()(describe(FisherSamples.of(stack, rows(n)), rows(n)))
        assert weights.shape == (3, n) and weights.isfinite().all()


def test_rows_that_are_all_alike_are_no_problem():
    _, stack = networks(4, 6, 2)
    X = torch.ones(10, 4).double()
    weights, _ = model()(describe(FisherSamples.of(stack, X), X))
    torch.testing.assert_close(weights, torch.full_like(weights, 0.1))


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="'n_layers' parameter of SampleWeights"):
        SampleWeights(3, 2, n_layers=0)
