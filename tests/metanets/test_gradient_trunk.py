"""Sets of gradients behind every head and in front of every trunk over weights."""

from functools import partial

import pytest
import torch

from skmeta.gradients import FisherSamples
from skmeta.metanets import NFN, Edit, GradientTrunk, GraphTrunk, Metanet, NeuronTrunk, Read, StatNN
from skmeta.metanets.inputs import WeightGraph
from skmeta.networks import Architecture
from skmeta.population import Population, Stack
from skmeta.reading.gradient_sets import gradient_graph

EXACT = {"rtol": 1e-8, "atol": 1e-10}
WEIGHTS = {
    "alone": None,
    "graph": GraphTrunk,
    "neuron": NeuronTrunk,
    "nfn": partial(NFN, symmetry="hnp", n_layers=2),
}
both = pytest.mark.parametrize("gradients", ["gradmetanet", "gradmetanet++"])
every = pytest.mark.parametrize("weights", WEIGHTS)


def networks(*widths, n=3):
    architecture = Architecture.mlp(widths, activation="tanh")
    return Population.initialize(architecture, n, random_state=0).to(dtype=torch.float64)


def graph_of(stack, flipped=False):
    X = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)).double()
    return gradient_graph(FisherSamples.of(stack, X.flip(0) if flipped else X))


def heads(gradients, weights, graph):
    """Functions that read and edit."""
    torch.manual_seed(0)
    options = {"gradients": gradients, "weights": WEIGHTS[weights], "hidden_channels": 8}
    trunk = GradientTrunk([graph], **options)
    reader = Metanet(trunk, Read(trunk, 3)).double()
    trunk = GradientTrunk([graph], n_given=Edit.n_given(graph), **options)
    editor = Metanet(trunk, Edit(trunk, 0)).double()
    for parameter in editor.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)

    def edit(graph):
        lam = torch.ones(len(graph), dtype=torch.float64)
        return editor(graph, lam).map(torch.detach)

    return (lambda g: reader(g).detach()), edit


@every
@both
def test_neurons_may_be_permuted_together_and_not_apart(gradients, weights):
    population = networks(4, 6, 5, 2)
    [(_, stack)] = population.blocks
    read, edit = heads(gradients, weights, graph_of(stack))
    numbers, found = read(graph_of(stack)), edit(graph_of(stack))
    assert found.flat.abs().max() > 1e-4
    holding = population.map(lambda s: s.holding(found)).permuted(random_state=0)
    [(_, moved)] = population.permuted(random_state=0).blocks
    torch.testing.assert_close(read(graph_of(moved)), numbers, **EXACT)
    again = edit(graph_of(moved))
    torch.testing.assert_close(again.flat, holding.blocks[0][1].weights.flat, **EXACT)
    apart = graph_of(stack)
    apart.gradients[:, 0, 4:10] = apart.gradients[:, 0, 4:10].flip(1)
    assert (read(apart) - numbers).abs().max() > 1e-7


@every
@both
def test_samples_may_come_in_any_order_and_are_looked_at(gradients, weights):
    [(_, stack)] = networks(4, 6, 2).blocks
    read, edit = heads(gradients, weights, graph_of(stack))
    for see in (read, lambda g: edit(g).flat):
        torch.testing.assert_close(see(graph_of(stack)), see(graph_of(stack, True)), **EXACT)
        other = graph_of(stack)
        other.gradients[:, 1:] = other.gradients[:, :1]
        assert (see(other) - see(graph_of(stack))).abs().max() > 1e-7


@every
@both
def test_padding_and_other_networks_change_nothing(gradients, weights):
    narrow, wide = (networks(4, a, b, 2).blocks[0][1] for a, b in ((3, 5), (9, 7)))
    together = graph_of(Stack.merge([narrow, wide]))
    read, edit = heads(gradients, weights, together)
    torch.testing.assert_close(read(together)[:3], read(graph_of(narrow)), **EXACT)
    some = together.select(torch.arange(3))
    torch.testing.assert_close(read(some), read(graph_of(narrow)), **EXACT)
    alone, among = edit(graph_of(narrow)), edit(together)
    for slot, values in alone.items():
        own = among[slot][:3][tuple(slice(n) for n in values.shape)]
        torch.testing.assert_close(own, values, **EXACT)


def test_a_graph_without_gradients_is_refused():
    [(_, stack)] = networks(4, 6, 2).blocks
    with pytest.raises(ValueError, match="gradients of samples. Got a graph without any"):
        GradientTrunk([WeightGraph.of(stack)])
    for weights in ("graph", StatNN):
        with pytest.raises(TypeError, match="'weights' parameter of GradientTrunk"):
            GradientTrunk([graph_of(stack)], weights=weights)
    with pytest.raises(ValueError, match="'graphs' parameter of GradientTrunk"):
        GradientTrunk([])
    wide = GradientTrunk([graph_of(stack)], weights=partial(GraphTrunk, hidden_channels=24))
    assert wide.channels == 24
    with pytest.raises(ValueError, match="'gradients' parameter of GradientTrunk"):
        GradientTrunk([graph_of(stack)], gradients="sums")
