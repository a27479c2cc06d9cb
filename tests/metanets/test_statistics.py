"""Weight statistics against numpy, and their independence from padding and company."""

import numpy as np
import pytest
import torch

from skmeta.metanets import Metanet, StatNN, statistic_names, weight_statistics
from skmeta.networks import Architecture, Layer
from skmeta.population import Population, Stack

ARCHITECTURES = [
    Architecture.mlp((5, 8, 3)),
    Architecture.mlp((5, 6, 3)),
    Architecture(5, [Layer(7, "relu", bias=False), Layer(2)]),
]


@pytest.fixture
def population():
    return Population.initialize(ARCHITECTURES, random_state=0).to(dtype=torch.float64)


def by_numpy(record):
    out = []
    for layer, weight, bias in zip(
        record.architecture.layers, record.tensors["weight"], record.tensors["bias"], strict=True
    ):
        for values, there in ((weight, True), (bias, layer.bias)):
            values = values.numpy().ravel()
            quantiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
            numbers = [values.mean(), values.var(), *quantiles]
            out += numbers if there else [np.nan] * 7
    return out


def test_against_numpy_with_padding(population):
    ((positions, stack),) = population.depth_blocks()
    assert (stack.state_mask(1) == 0).any()
    expected = [by_numpy(record) for record in population.records()]
    table = weight_statistics(stack).numpy()
    np.testing.assert_allclose(table, np.array(expected)[positions], atol=1e-14)
    assert np.isnan(table).any()


def test_padding_does_not_count(population):
    for _, stack in population.blocks:
        wide, narrow = weight_statistics(stack.padded([9, 11, 7])), weight_statistics(stack)
        torch.testing.assert_close(wide, narrow, rtol=0, atol=1e-15, equal_nan=True)


def test_filter_positions_are_weights(population):
    stack = population.blocks[0][1]
    weight = stack.params.weight
    as_filters = (weight[0].reshape(len(stack), 8, 5, 1, 1), weight[1])
    conv = Stack(stack.architectures, stack.params._replace(weight=as_filters), stack.buffers)
    assert torch.equal(weight_statistics(conv), weight_statistics(stack))


def test_layers_are_aligned_to_both_ends():
    names = np.array(statistic_names(3))
    shallow = Population.initialize(Architecture.mlp((5, 4, 2)), random_state=0).blocks[0][1]
    table = weight_statistics(shallow, 3)[0].numpy()
    assert set(names[np.isnan(table)]) == {n for n in names if n.startswith("hidden_2")}
    output = table[[n.startswith("output_weight") for n in names]]
    values = shallow.params.weight[1][0].numpy()
    assert output[0] == pytest.approx(values.mean()) and output[-1] == values.max()
    output = [name.startswith("output") for name in statistic_names(2)]
    assert torch.equal(weight_statistics(shallow, 1), weight_statistics(shallow)[:, output])


def test_the_network_is_invariant_to_permutations_and_sees_what_is_no_symmetry(population):
    ((_, stack),) = population.depth_blocks()
    reader = Metanet.reader("statistics", [stack], 2).double()

    def metanet(stack):
        return reader(reader.inputs(stack))

    ((_, permuted),) = population.permuted(0).depth_blocks()
    ((_, rescaled),) = population.rescaled(0).depth_blocks()
    out = metanet(stack)
    assert out.shape == (3, 2)
    torch.testing.assert_close(metanet(permuted), out, rtol=0, atol=1e-10)
    assert (metanet(rescaled) - out).abs().max() > 1e-3


def test_statistics_are_standardised_and_those_of_some_networks_selected(population):
    stack = population.depth_blocks()[0][1]
    inputs = StatNN.inputs(stack)
    trunk = StatNN([inputs]).double()
    standard = (inputs.table - trunk.mean) / trunk.spread
    complete = standard[:, 14:].numpy()  # the output layer, which all networks have in full
    varied = np.ptp(complete, axis=0) > 0
    assert varied.sum() == 14
    np.testing.assert_allclose(complete.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(complete.std(0), 1, rtol=1e-5)
    few = torch.tensor([2, 0])
    assert torch.equal(trunk.pool(inputs.select(few)), trunk.pool(inputs)[few])
    assert trunk.pool(inputs).shape == (3, 16)
