"""A trunk with a state on every weight: :class:`GraphTrunk`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from skmeta.metanets.edge_block import edge_block
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.messages import MessageTrunk, Round
from skmeta.metanets.neurons import Neurons


class GraphTrunk(MessageTrunk):
    """Bidirectional graph metanetwork, the one of the paper on learned editing [1]_.

    Neurons are nodes, weights are edges with states of their own; each layer passes
    messages in both directions and updates the states of neurons and weights (appendices
    A.2 and A.3.1). The three outputs of the edge MLP (message up, message down, new edge)
    share their hidden layer, whose first linear map is split into source, target and edge
    parts: a layer costs two products per weight.

    Parameters
    ----------
    graphs : sequence of WeightGraph
        Networks to expect, one graph per depth.
    n_given : int, default=0
        Numbers that go with each network.
    hidden_channels : int, default=16
        Width of the states.
    n_layers : int, default=3
        Rounds of messages.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import GraphTrunk
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> graphs = [GraphTrunk.inputs(stack) for _, stack in population.depth_blocks()]
    >>> GraphTrunk(graphs).pool(graphs[0]).shape
    torch.Size([4, 64])
    """

    has_edges: bool = True

    def __init__(
        self,
        graphs: Sequence[WeightGraph],
        *,
        n_given: int = 0,
        hidden_channels: int = 16,
        n_layers: int = 3,
    ) -> None:
        super().__init__(
            graphs, n_given=n_given, hidden_channels=hidden_channels, n_layers=n_layers
        )
        self.encode_edge = nn.Linear(self.n_edges, hidden_channels)
        self.rounds = nn.ModuleList(GraphRound(hidden_channels) for _ in range(n_layers))

    def first_edges(self, edges: list[Tensor], neurons: Neurons) -> list[Tensor]:
        """Return encoded weights.

        A layer with fewer channels than ``encode_edge`` has inputs uses the first ones.
        """
        weight, bias = self.encode_edge.weight, self.encode_edge.bias
        return [nn.functional.linear(e, weight[:, : e.shape[3]], bias) for e in edges]


class GraphRound(Round):
    """One layer: update weights, then neurons, then the context.

    Parameters
    ----------
    channels : int
        Width of the states.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)
        c = channels
        self.source, self.target = nn.Linear(c, c, bias=False), nn.Linear(c, c)
        self.mix, self.out = nn.Linear(c, c, bias=False), nn.Linear(c, c, bias=False)

    def messages(
        self, neurons: Neurons, states: Tensor, edges: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Update the states of all weights, and average their hidden layer at both ends."""
        sources, targets = neurons.split(self.source(states)), neurons.split(self.target(states))
        sizes = neurons.counts[..., None, None].unbind(1)
        below, above, new = [], [], []
        for i, edge in enumerate(edges):
            mask = neurons.edge_mask(i)
            args = edge, sources[i], targets[i + 1], self.mix.weight, self.out.weight, mask
            edge, to_target, to_source = edge_block(*args)
            new.append(edge)
            below.append(to_target / sizes[i])
            above.append(to_source / sizes[i + 1])
        return below, above, new
