"""A metanetwork with a state on every weight: :class:`GraphMetanet`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta.metanets.edge_block import edge_block
from skmeta.metanets.editing import EditingMetanet, masked_mean, mlp, shrink, skip_messages
from skmeta.metanets.inputs import WeightGraph
from skmeta.population import Parameters

_NETWORKS_AT_ONCE = 16


class GraphMetanet(EditingMetanet):
    """Bidirectional graph metanetwork, the one of the paper on learned editing [1]_.

    Neurons are nodes, weights are edges with states of their own; each layer passes
    messages in both directions and updates the states of neurons and weights (appendices
    A.2 and A.3.1). The three outputs of the edge MLP (message up, message down, new edge)
    share their hidden layer, whose first linear map is split into source, target and edge
    parts: a layer costs two products per weight.

    Parameters
    ----------
    *sizes : int
        ``n_inputs, n_outputs, n_node_features, n_context, n_steps`` of the base class.
    hidden_channels : int, default=64
        Width of the states.
    n_layers : int, default=3
        Rounds of messages.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".
    """

    def __init__(self, *sizes: int, hidden_channels: int = 64, n_layers: int = 3) -> None:
        super().__init__(*sizes, hidden_channels=hidden_channels)
        c = hidden_channels
        self.encode_edge = nn.Linear(1 + self.n_steps, c)
        self.rounds = nn.ModuleList(GraphRound(c) for _ in range(n_layers))
        self.decode_edge = nn.Linear(c, self.n_forms)
        shrink(self.decode_edge)

    def forward(self, graph: WeightGraph, lam: Tensor) -> Parameters:
        """Return the edit of each network; see the base class.

        A few networks at a time: larger tensors of edge states go back to the system when
        they are freed, and the page faults of the next ones cost as much as the products.
        """
        rows = torch.arange(len(graph), device=lam.device).split(_NETWORKS_AT_ONCE)
        if len(rows) == 1:
            return super().forward(graph, lam)
        first, *rest = (super(GraphMetanet, self).forward(graph.select(r), lam[r]) for r in rows)
        return first.map(lambda *tensors: torch.cat(tensors), *rest)

    def process(
        self, graph: WeightGraph, states: list[Tensor], context: Tensor, masks: list[Tensor]
    ) -> tuple[list[Tensor], Tensor, list[list[Tensor]]]:
        """Exchange messages between neurons and weights; see the base class."""
        states, edges, context = exchange(
            self.rounds, self.encode_edge, graph, states, context, masks
        )
        return states, context, [list(self.decode_edge(e).unbind(-1)) for e in edges]


def exchange(
    rounds: nn.ModuleList,
    encode_edge: nn.Linear,
    graph: WeightGraph,
    states: list[Tensor],
    context: Tensor,
    masks: list[Tensor],
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Run rounds of messages; return states of neurons and weights, and the context.

    A layer with fewer edge channels than ``encode_edge`` has inputs uses the first ones.
    """
    edges = []
    for channels in graph.edges:
        weight = encode_edge.weight[:, : len(channels)]
        edges.append(nn.functional.linear(torch.stack(channels, -1), weight, encode_edge.bias))
    edge_masks = [graph.edge_mask(i) for i in range(graph.stack.depth)]
    present = [None if mask.all() else mask for mask in edge_masks]
    for message_round in rounds:
        states, edges, context = message_round(graph, states, edges, context, masks, present)
    return states, edges, context


class GraphRound(nn.Module):
    """One layer: update weights, then neurons, then the context."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(c)
        self.source, self.target = nn.Linear(c, c, bias=False), nn.Linear(c, c)
        self.mix, self.out = nn.Linear(c, c, bias=False), nn.Linear(c, c, bias=False)
        self.skip_up, self.skip_down = (nn.Linear(c, c, bias=False) for _ in range(2))
        self.node = nn.Linear(3 * c, c)
        self.node_context = nn.Linear(2 * c, c, bias=False)
        self.node_out = nn.Linear(c, c)
        self.update_context = mlp(2 * c, c, c)

    def forward(
        self,
        graph: WeightGraph,
        states: list[Tensor],
        edges: list[Tensor],
        context: Tensor,
        masks: list[Tensor],
        edge_masks: list[Tensor | None],
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return new states of neurons and weights, and a new context."""
        normed = [self.norm(h) * m for h, m in zip(states, masks, strict=True)]
        sizes = [m.sum(1, keepdim=True) for m in masks]
        below, above = ([torch.zeros_like(h) for h in states] for _ in range(2))
        new_edges = []
        for i, edge in enumerate(edges):
            new_edge, to_target, to_source = edge_block(
                edge,
                self.source(normed[i]),
                self.target(normed[i + 1]),
                self.mix.weight,
                self.out.weight,
                edge_masks[i],
            )
            new_edges.append(new_edge)
            below[i + 1] = to_target / sizes[i]
            above[i] = to_source / sizes[i + 1]
        skip_up = [self.skip_up(h) for h in normed]
        skip_down = [self.skip_down(h) for h in normed]
        skip_messages(graph, skip_up, skip_down, below, above)
        new, pooled = [], []
        for h, x, *messages, mask in zip(states, normed, below, above, masks, strict=True):
            mean = masked_mean(x, mask)
            z = self.node(torch.cat([x, *messages], -1))
            z = z + self.node_context(torch.cat([context, mean], -1))[:, None]
            new.append((h + self.node_out(nn.functional.silu(z))) * mask)
            pooled.append(mean)
        summary = torch.stack(pooled, 1).mean(1)
        context = context + self.update_context(torch.cat([context, summary], -1))
        return new, new_edges, context
