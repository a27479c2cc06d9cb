"""Networks as rows of numbers and back."""

import numpy as np
import pytest
import torch

from skmeta.networks import Architecture
from skmeta.population import Population, from_rows, to_rows
from tests.stages import layer

from .cases import CASES


@pytest.mark.parametrize("architecture", [a for _, a in CASES], ids=[name for name, _ in CASES])
def test_rows_hold_all_that_a_network_computes_with(architecture):
    population = Population.initialize(architecture, 4, random_state=0)
    rows = to_rows(population)
    back = from_rows(rows, architecture)
    X = np.random.default_rng(0).normal(size=(7, 5))
    assert torch.equal(back.forward(X), population.forward(X))
    assert np.array_equal(to_rows(back), rows)


def test_order_of_the_numbers():
    architecture = Architecture.mlp((2, 3, 1))
    population = Population.initialize(architecture, 2, random_state=0)
    tensors = population.records()[1].tensors
    expected = [tensors[f"{i}.{name}"].flatten() for i in range(2) for name in ("weight", "bias")]
    assert np.array_equal(to_rows(population)[1], torch.cat(expected).numpy())


def test_buffers_come_back():
    architecture = Architecture(3, [layer(4, "relu", "batch"), layer(2)])
    rows = np.random.default_rng(0).uniform(1, 2, size=(3, 3 * 4 + 4 + 4 * 4 + 4 * 2 + 2))
    tensors = from_rows(rows, architecture).records()[2].tensors
    assert np.allclose(tensors["0.var"], rows[2, 12 + 4 * 4 : 12 + 5 * 4])
    assert "1.var" not in tensors


def test_rows_are_in_the_order_of_the_networks():
    dropouts = (0.0, 0.1)
    architectures = [Architecture(3, [layer(4, "relu", dropout=d), layer(2)]) for d in dropouts * 3]
    population = Population.initialize(architectures, random_state=0)
    shuffled = population[[3, 0, 5, 1]]
    assert np.array_equal(to_rows(shuffled), to_rows(population)[[3, 0, 5, 1]])


def test_a_copy_of_read_only_memory():
    rows = np.zeros((2, 3), dtype=np.float32)
    rows.flags.writeable = False
    population = from_rows(rows, Architecture(3, [layer(1, bias=False)]))
    population.blocks[0][1].weights["0.weight"].add_(1.0)
    assert not rows.any()


def test_errors():
    mixed = Population.initialize([Architecture.mlp((2, 3, 1)), Architecture.mlp((2, 4, 1))])
    with pytest.raises(ValueError, match="one architecture.*Got 2 architectures"):
        to_rows(mixed)
    with pytest.raises(ValueError, match=r"must have 13 numbers.*shape \(2, 12\)"):
        from_rows(np.zeros((2, 12)), Architecture.mlp((2, 3, 1)))
