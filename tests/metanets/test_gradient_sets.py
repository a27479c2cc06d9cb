"""Networks over sets of gradients: symmetries, padding, pieces."""

import pytest
import torch

from skmeta.gradients import FisherSamples
from skmeta.metanets import (
    GradientSet,
    GradMetaNet,
    GradMetaNetPlusPlus,
    PerNetwork,
    PerWeight,
)
from skmeta.networks import Architecture
from skmeta.population import Population, Stack
from skmeta.reading.gradient_sets import gradient_set

EXACT = {"rtol": 1e-8, "atol": 1e-10}
KINDS = {"sums": GradMetaNet, "attention": GradMetaNetPlusPlus}


def networks(*widths, n=3):
    architecture = Architecture.mlp(widths, activation="tanh")
    return Population.initialize(architecture, n, random_state=0).to(dtype=torch.float64)


def rows(n=7):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1)).double()


def model(kind):
    torch.manual_seed(0)
    trunk = KINDS[kind](2, hidden_channels=8).double()
    heads = PerWeight(8).double(), PerNetwork(8, 3).double()
    return lambda gradients: [head(trunk(gradients), gradients.stack) for head in heads]


def gradients_of(stack, X=None):
    return gradient_set(FisherSamples.of(stack, rows() if X is None else X))


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_may_be_permuted_together_and_not_apart(kind):
    population = networks(4, 6, 5, 2)
    [(_, stack)] = population.blocks
    weights, numbers = model(kind)(gradients_of(stack))
    # Networks that hold the answers are permuted as those that were asked about.
    holding = population.map(lambda s: s.holding(weights)).permuted(random_state=0)
    [(_, moved)] = population.permuted(random_state=0).blocks
    again, same = model(kind)(gradients_of(moved))
    torch.testing.assert_close(again.flat, holding.blocks[0][1].weights.flat, **EXACT)
    torch.testing.assert_close(same, numbers, **EXACT)
    gradients = gradients_of(stack)
    features = gradients.features.clone()
    features[:, 0, 4:10] = features[:, 0, 4:10].flip(1)  # of one sample only
    apart, _ = model(kind)(GradientSet(stack, features))
    assert (apart.flat - weights.flat).abs().max() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_samples_may_come_in_any_order(kind):
    [(_, stack)] = networks(4, 6, 2).blocks
    first, second = (model(kind)(gradients_of(stack, X)) for X in (rows(), rows().flip(0)))
    torch.testing.assert_close(first[0].flat, second[0].flat, **EXACT)
    torch.testing.assert_close(first[1], second[1], **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_other_networks_change_nothing(kind):
    narrow, wide = (networks(4, a, b, 2).blocks[0][1] for a, b in ((3, 5), (9, 7)))
    together = Stack.merge([narrow, wide])
    alone, among = (model(kind)(gradients_of(stack)) for stack in (narrow, together))
    for slot, values in alone[0].items():
        own = among[0][slot][:3][tuple(slice(n) for n in values.shape)]
        torch.testing.assert_close(own, values, **EXACT)
    torch.testing.assert_close(among[1][:3], alone[1], **EXACT)
    present = together.present().flat
    assert not (among[0].flat * (1 - present)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_change_nothing(kind, monkeypatch):
    [(_, stack)] = networks(4, 6, 2).blocks
    whole = model(kind)(gradients_of(stack))
    monkeypatch.setattr("skmeta.metanets.gradient_sets.at_once", lambda *_: 2)
    torch.testing.assert_close(model(kind)(gradients_of(stack))[0].flat, whole[0].flat, **EXACT)


def test_features_are_states_and_gradients():
    [(_, stack)] = networks(4, 6, 2).blocks
    samples = FisherSamples.of(stack, rows())
    gradients = gradient_set(samples)
    assert gradients.features.shape == (3, 7, 12, 2)
    for part, stage in ((slice(0, 4), 0), (slice(4, 10), 1)):
        h = samples.factors[0].outer[stage].h
        torch.testing.assert_close(gradients.features[:, :, part, 0], h)
    for part, stage in ((slice(4, 10), 0), (slice(10, 12), 1)):
        delta = samples.factors[0].outer[stage].delta
        torch.testing.assert_close(gradients.features[:, :, part, 1], delta)
    three = networks(4, 6, 3).blocks[0][1]  # three vectors at the outputs, each like a sample
    assert gradient_set(FisherSamples.of(three, rows())).features.shape == (3, 21, 13, 2)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="'n_set_layers' parameter of GradMetaNet"):
        GradMetaNet(2, n_set_layers=0)
    with pytest.raises(ValueError, match="'n_layers' parameter of GradMetaNetPlusPlus"):
        GradMetaNetPlusPlus(2, n_layers=0)
