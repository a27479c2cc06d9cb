"""A metanetwork works on a few networks at a time."""

import pytest
import torch

from skmeta.metanets import EDITING_TRUNKS, Metanet
from skmeta.networks import Architecture
from skmeta.population import Population, mapping


@pytest.mark.parametrize("name", EDITING_TRUNKS)
def test_pieces_change_nothing(name, monkeypatch):
    population = Population.initialize(Architecture.mlp((5, 6, 2)), 5, random_state=0)
    ((_, stack),) = population.to(dtype=torch.float64).depth_blocks()
    torch.manual_seed(0)
    reader = Metanet.reader(name, [stack], hidden_channels=4, n_layers=1).double()
    graph = reader.inputs(stack)
    editor = Metanet.editor(name, [graph], hidden_channels=4, n_layers=1).double()
    lam = torch.linspace(0.1, 0.5, 5, dtype=torch.float64)
    whole = [reader(graph), editor(graph, lam).flat]
    monkeypatch.setattr(mapping, "_ON_CPU", 2 * reader.numbers(stack))
    assert mapping.at_once(reader.numbers(stack)) == 2
    for a, b in zip(whole, [reader(graph), editor(graph, lam).flat], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
