"""Readers without scikit-learn's manners."""

import numpy as np
import pytest
import torch
from torch import nn

from skmeta import Population, WeightSpaceRegressor
from skmeta.learning import TrainingSettings
from skmeta.networks import Architecture
from skmeta.reading import Reader, train_reader

SPECS = [Architecture.mlp(widths) for widths in [(3, 4, 2), (3, 6, 2), (3, 5, 4, 2)]]
OPTIONS = {"hidden_channels": 4, "n_layers": 1}


@pytest.fixture(scope="module")
def networks():
    return Population.initialize(SPECS * 4, random_state=0)


def trained(networks, **options):
    reader = Reader.build(networks, "statistics", seed=0, **OPTIONS)
    targets = np.linspace(-1, 1, len(networks), dtype=np.float32)[:, None]
    settings = TrainingSettings.of(WeightSpaceRegressor(max_epochs=3, batch_size=4))
    net = train_reader(reader, networks, targets, settings, criterion=nn.MSELoss, **options)
    return reader, net


def test_a_reader_knows_the_kinds_of_its_networks(networks):
    reader = Reader.build(networks, "nfn-hnp", n_outputs=3, **OPTIONS)
    assert [spec.widths for spec in reader.templates] == [(3, 1, 2), (3, 1, 1, 2)]
    numbers = reader.read(networks)
    assert numbers.shape == (12, 3) and numbers.dtype == np.float64
    again = Reader.build(networks, "nfn-hnp", n_outputs=3, seed=0, **OPTIONS)
    np.testing.assert_array_equal(again.read(networks), numbers)
    other = Reader.build(networks, "nfn-hnp", n_outputs=3, seed=1, **OPTIONS)
    assert not np.allclose(other.read(networks), numbers)


def test_a_reading_is_computed_in_the_type_of_the_networks(networks):
    reader = Reader.build(networks, "statistics", **OPTIONS)
    precise = reader.read(networks.to(dtype=torch.float64))
    np.testing.assert_allclose(reader.read(networks), precise, rtol=1e-4, atol=1e-6)
    assert not np.array_equal(reader.read(networks), precise)
    assert next(reader.metanet.parameters()).dtype == torch.float32


def test_training_changes_the_reader_in_place(networks):
    reader, net = trained(networks)
    assert len(net.history) == 3
    untrained = Reader.build(networks, "statistics", seed=0, **OPTIONS)
    assert not np.allclose(reader.read(networks), untrained.read(networks))
    again, _ = trained(networks, seeds=(5, 0))  # nothing is augmented
    np.testing.assert_array_equal(again.read(networks), reader.read(networks))
    weighted, _ = trained(networks, weights=np.linspace(0.5, 1.5, len(networks)))
    assert not np.allclose(weighted.read(networks), reader.read(networks))


def test_readings_that_are_no_numbers_are_refused(networks):
    reader = Reader.build(networks, "graph", **OPTIONS)
    huge = [(p, s.with_params(s.params.map(lambda t: 1e25 * t))) for p, s in networks.blocks]
    with pytest.raises(ValueError, match=r"reading of network 0 \(and of 11 more\) is not finite"):
        reader.read(Population.from_blocks(huge))
