"""Reading metanetworks that pass messages: :class:`GraphReader` and :class:`NeuronReader`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets import graph as graph_messages
from skmeta.metanets import neuron as neuron_messages
from skmeta.metanets.editing import encode_neurons, masked_mean, mlp
from skmeta.metanets.inputs import WeightGraph, n_node_inputs
from skmeta.metanets.reading import ReadingMetanet
from skmeta.metanets.stack_channels import kernels_of
from skmeta.population import Stack

_NETWORKS_AT_ONCE = 16


class MessageReader(ReadingMetanet):
    """Base of readers that exchange messages along the weights and pool the neurons' states.

    The rounds are those of the editing metanetworks. One set of parameters reads networks
    of all depths; each filter position of a convolution is a channel of its weight.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth.
    n_outputs : int, default=1
        Numbers per network.
    hidden_channels : int, default=16
        Width of the states.
    n_layers : int, default=3
        Rounds of messages.
    head_channels : int, default=128
        Width of the head.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        n_outputs: int = 1,
        *,
        hidden_channels: int = 16,
        n_layers: int = 3,
        head_channels: int = 128,
    ) -> None:
        super().__init__(stacks, n_outputs, head_channels=head_channels)
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner=type(self).__name__, low=1, kind="int")
        c = hidden_channels
        self.n_edges = max(prod(kernel) for stack in stacks for kernel in kernels_of(stack))
        self.ends = tuple(max(stack.widths[end] for stack in stacks) for end in (0, -1))
        self.encode = mlp(n_node_inputs(1, 0), c, c)
        self.input_code = nn.Parameter(0.3 * torch.randn(self.ends[0], c))
        self.output_code = nn.Parameter(0.3 * torch.randn(self.ends[1], c))
        self.context = nn.Parameter(torch.zeros(c))
        self.rounds = nn.ModuleList(self.make_round(c) for _ in range(n_layers))
        self.project = nn.Linear(4 * c, head_channels)

    @abstractmethod
    def make_round(self, channels: int) -> nn.Module:
        """Build one round of messages.

        Parameters
        ----------
        channels : int
            Width of the states.

        Returns
        -------
        Module
            The round.
        """

    @abstractmethod
    def exchange(
        self, graph: WeightGraph, states: list[Tensor], context: Tensor, masks: list[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Exchange messages in all rounds.

        Parameters
        ----------
        graph : WeightGraph
            The networks.
        states : list of Tensor
            Encoded neurons, ``(n, width, c)`` per state.
        context : Tensor of shape (n, c)
            Encoded context.
        masks : list of Tensor
            Ones at true neurons, ``(n, width, 1)`` per state.

        Returns
        -------
        states : list of Tensor
            New ones of the same shapes.
        context : Tensor of shape (n, c)
            The new one.
        """

    def features(self, stack: Stack) -> Tensor:
        """Return ``(B, head_channels)`` features of the networks."""
        self._check(stack)
        # Larger tensors of states go back to the system when they are freed, and the page
        # faults of the next ones cost as much as the products.
        parts = torch.arange(len(stack)).split(_NETWORKS_AT_ONCE)
        return torch.cat([self._features(stack.select(rows)) for rows in parts])

    def _features(self, stack: Stack) -> Tensor:
        graph = WeightGraph.of(stack)
        masks = graph.neuron_masks()
        states = encode_neurons(graph, self.encode, self.input_code, self.output_code)
        context = self.context.expand(len(stack), -1)
        states, context = self.exchange(graph, states, context, masks)
        means = [masked_mean(h, m) for h, m in zip(states, masks, strict=True)]
        hidden = torch.stack(means[1:-1] or means, 1).mean(1)
        pooled = torch.cat([means[0], hidden, means[-1], context], 1)
        return torch.relu(self.project(pooled))

    def _check(self, stack: Stack) -> None:
        n_edges = max(map(prod, kernels_of(stack)))
        ends = (stack.widths[0], stack.widths[-1])
        if n_edges > self.n_edges or any(a > b for a, b in zip(ends, self.ends, strict=True)):
            raise ValueError(
                f"{type(self).__name__} was built for networks with at most {self.ends[0]} inputs, "
                f"{self.ends[1]} outputs and {self.n_edges} filter positions. Got {ends[0]}, "
                f"{ends[1]} and {n_edges}. Build or fit it with such networks."
            )


class GraphReader(MessageReader):
    """Reader with states on neurons and weights, as :class:`GraphMetanet`.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth.
    n_outputs : int, default=1
        Numbers per network.
    hidden_channels : int, default=16
        Width of the states.
    n_layers : int, default=3
        Rounds of messages.
    head_channels : int, default=128
        Width of the head.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import GraphReader
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> GraphReader(stacks, n_outputs=2)(stacks[0]).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        n_outputs: int = 1,
        *,
        hidden_channels: int = 16,
        n_layers: int = 3,
        head_channels: int = 128,
    ) -> None:
        super().__init__(
            stacks,
            n_outputs,
            hidden_channels=hidden_channels,
            n_layers=n_layers,
            head_channels=head_channels,
        )
        self.encode_edge = nn.Linear(self.n_edges, hidden_channels)

    def make_round(self, channels: int) -> nn.Module:
        """Return one round of messages."""
        return graph_messages.GraphRound(channels)

    def exchange(
        self, graph: WeightGraph, states: list[Tensor], context: Tensor, masks: list[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Exchange messages between neurons and weights."""
        states, _, context = graph_messages.exchange(
            self.rounds, self.encode_edge, graph, states, context, masks
        )
        return states, context


class NeuronReader(MessageReader):
    """Reader with states on neurons only, as :class:`NeuronMetanet`.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth.
    n_outputs : int, default=1
        Numbers per network.
    hidden_channels : int, default=16
        Width of the states.
    n_layers : int, default=3
        Rounds of messages.
    head_channels : int, default=128
        Width of the head.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import NeuronReader
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> NeuronReader(stacks)(stacks[0]).shape
    torch.Size([4, 1])
    """

    def make_round(self, channels: int) -> nn.Module:
        """Return one round of messages."""
        return neuron_messages.NeuronRound(channels, channels, self.n_edges)

    def exchange(
        self, graph: WeightGraph, states: list[Tensor], context: Tensor, masks: list[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Exchange messages through the weights."""
        return neuron_messages.exchange(self.rounds, graph, states, context, masks)
