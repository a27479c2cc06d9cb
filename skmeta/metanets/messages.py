"""Trunks that pass messages along weights: :class:`MessageTrunk`, and a :class:`Round` of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.message_inputs import MessageInputs, n_node_inputs
from skmeta.metanets.neurons import Neurons
from skmeta.metanets.stack_channels import kernels_of
from skmeta.metanets.trunk import Encoded, Trunk, mlp
from skmeta.population import Stack

_KIND = "any"


class MessageTrunk(Trunk):
    """Base of trunks that exchange messages along the weights, in both directions.

    One set of parameters looks at networks of all depths; inputs and outputs have learned codes,
    so that they are told apart (appendix A.3.1 of the paper on learned editing [1]_).

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
    """

    rounds: nn.ModuleList

    def __init__(
        self,
        graphs: Sequence[WeightGraph],
        *,
        n_given: int = 0,
        hidden_channels: int = 16,
        n_layers: int = 3,
    ) -> None:
        super().__init__(hidden_channels, n_layers)
        c, stacks = hidden_channels, [graph.stack for graph in graphs]
        self.pooled = {_KIND: 4 * c}
        self.n_positions = max(prod(kernel) for stack in stacks for kernel in kernels_of(stack))
        self.n_edges = self.n_positions + len(graphs[0].steps)
        self.ends = tuple(max(stack.widths[end] for stack in stacks) for end in (0, -1))
        self.encode_nodes = mlp(n_node_inputs(graphs[0]), c, c)
        self.input_code = nn.Parameter(0.3 * torch.randn(self.ends[0], c))
        self.output_code = nn.Parameter(0.3 * torch.randn(self.ends[1], c))
        self.context = None if n_given else nn.Parameter(torch.zeros(c))
        if n_given:
            self.encode_context = mlp(n_given, c, c)

    @abstractmethod
    def first_edges(self, edges: list[Tensor], neurons: Neurons) -> list[Any]:
        """Return what the rounds take of the weights.

        Parameters
        ----------
        edges : list of Tensor
            Features ``(n, out, in, channels)`` per layer.
        neurons : Neurons
            Of the networks.

        Returns
        -------
        list
            One entry per layer.
        """

    @staticmethod
    def inputs(stack: Stack) -> WeightGraph:
        """Return the graph of networks."""
        return WeightGraph.of(stack)

    def kind(self, inputs: WeightGraph) -> str:
        """Return the one kind there is."""
        stack = inputs.stack
        n_positions = max(map(prod, kernels_of(stack)))
        ends = (stack.widths[0], stack.widths[-1])
        fits = all(a <= b for a, b in zip(ends, self.ends, strict=True))
        if n_positions > self.n_positions or not fits:
            raise ValueError(
                f"{type(self).__name__} was built for networks with at most {self.ends[0]} inputs, "
                f"{self.ends[1]} outputs and {self.n_positions} filter positions. Got {ends[0]}, "
                f"{ends[1]} and {n_positions}. Build or fit it with such networks."
            )
        return _KIND

    def pool(self, inputs: WeightGraph) -> Tensor:
        """Return means of the states of inputs, hidden neurons and outputs, and the context."""
        encoded = self.encode(inputs, inputs.context)
        means = Neurons.of(inputs.stack).means(encoded.neurons)
        hidden = means[:, 1:-1] if means.shape[1] > 2 else means
        return torch.cat([means[:, 0], hidden.mean(1), means[:, -1], encoded.context], 1)

    def encode(self, graph: WeightGraph, given: Tensor) -> Encoded:
        """Exchange messages in all rounds."""
        self.kind(graph)
        neurons, inputs = Neurons.of(graph.stack), MessageInputs.of(graph)
        n_in, *hidden, n_out = neurons.widths
        codes = [self.input_code[:n_in], self.output_code[:n_out]]
        codes.insert(1, codes[0].new_zeros(sum(hidden), self.channels))
        states = neurons.hide(self.encode_nodes(inputs.nodes) + torch.cat(codes))
        if self.context is not None:
            context = self.context.expand(len(graph), -1)
        else:
            context = self.encode_context(given)
        edges = self.first_edges(inputs.edges, neurons)
        for message_round in self.rounds:
            states, context, edges = message_round(graph.stack, neurons, states, context, edges)
        return Encoded(states, context, edges if self.has_edges else None)


class Round(nn.Module):
    """One round of messages; then neurons and the network's context are updated.

    Parameters
    ----------
    channels : int
        Width of the states.
    message_channels : int
        Width of a message.
    """

    def __init__(self, channels: int, message_channels: int) -> None:
        super().__init__()
        c, m = channels, message_channels
        self.norm = nn.LayerNorm(c)
        self.skip_up, self.skip_down = (nn.Linear(c, m, bias=False) for _ in range(2))
        self.node = nn.Linear(c + 2 * m, c)
        self.node_context = nn.Linear(2 * c, c, bias=False)
        self.node_out = nn.Linear(c, c)
        self.update_context = mlp(2 * c, c, c)

    @abstractmethod
    def messages(
        self, neurons: Neurons, states: Tensor, edges: list[Any]
    ) -> tuple[list[Tensor], list[Tensor], list[Any]]:
        """Send messages along the weights.

        Parameters
        ----------
        neurons : Neurons
            Of the networks.
        states : Tensor of shape (n, all neurons, c)
            Normalised states.
        edges : list
            What there is of the weights, one entry per layer.

        Returns
        -------
        below : list of Tensor
            What arrives from below, ``(n, width, m)`` for each state but the first.
        above : list of Tensor
            What arrives from above, for each state but the last.
        edges : list
            The new ones.
        """

    def forward(
        self,
        stack: Stack,
        neurons: Neurons,
        states: Tensor,
        context: Tensor,
        edges: list[Any],
    ) -> tuple[Tensor, Tensor, list[Any]]:
        """Return new states, a new context and new edges."""
        normed = neurons.hide(self.norm(states))
        below, above, edges = self.messages(neurons, normed, edges)
        for messages, end, place in ((below, 0, 0), (above, -1, len(above))):
            n, _, m = messages[0].shape
            messages.insert(place, normed.new_zeros(n, neurons.widths[end], m))
        if stack.skip_sources:
            upward, downward = self.skip_up(normed), self.skip_down(normed)
            _add_skips(stack, neurons, upward, downward, below, above)
        means = neurons.means(normed)
        whole = context[:, None].expand(-1, means.shape[1], -1)
        z = self.node(torch.cat([normed, torch.cat(below, 1), torch.cat(above, 1)], -1))
        z = z + neurons.spread(self.node_context(torch.cat([whole, means], -1)))
        states = neurons.hide(states + self.node_out(nn.functional.silu(z)))
        context = context + self.update_context(torch.cat([context, means.mean(1)], -1))
        return states, context, edges


def _add_skips(
    stack: Stack,
    neurons: Neurons,
    upward: Tensor,
    downward: Tensor,
    below: list[Tensor],
    above: list[Tensor],
) -> None:
    """Add messages along skip connections, which tie neuron i of two states, in place.

    ``upward`` is what neurons send to later states, ``downward`` what they send back.
    """
    up, down = neurons.split(upward), neurons.split(downward)
    masks = None if neurons.mask is None else neurons.split(neurons.mask)
    for index in range(stack.depth):
        target = index + 1
        for before in (False, True):
            for source, rows in stack.skips(index, before=before):
                to_target = _fit_width(up[source], below[target])
                to_source = _fit_width(down[target], above[source])
                if rows is not None:
                    gate = up[0].new_zeros(len(stack), 1, 1).index_fill(0, rows, 1.0)
                    to_target, to_source = to_target * gate, to_source * gate
                if masks is not None:
                    # Padding sends nothing, and neurons beyond the source's receive nothing.
                    to_source = to_source * masks[source]
                below[target] = below[target] + to_target
                above[source] = above[source] + to_source


def _fit_width(values: Tensor, like: Tensor) -> Tensor:
    """Pad or cut the neurons of ``(n, width, c)`` to those of another state."""
    return nn.functional.pad(values, (0, 0, 0, like.shape[1] - values.shape[1]))
