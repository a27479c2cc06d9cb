"""What a metanetwork sees of a stack: :class:`WeightGraph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from skmeta.metanets.codes import activation_shares
from skmeta.metanets.neurons import Neurons
from skmeta.population import Stack, Weights


@dataclass(frozen=True, eq=False)
class WeightGraph:
    """Networks of one depth as graphs: neurons are nodes, weights are edges.

    Attributes
    ----------
    stack : Stack
        The networks.
    nodes : tuple of Tensor
        Extra features of the neurons of each state, ``(n, width, n_node_features)``.
    steps : tuple of Weights
        Directions in weight space that the edit may follow, for instance scaled gradients.
    context : Tensor of shape (n, n_context)
        Features of the networks as a whole.
    reach : Tensor of shape (n, n_steps)
        For each step its strength per unit of lam: the multiple that a quadratic model of
        divergence + lam * violation asks for is ``lam * reach``; infinite for a step that
        is to be taken whole, whatever lam.
    freedom : Tensor of shape (n,)
        How large an edit may be beside the steps: 1, or less where little is needed.
    free : tuple of Tensor
        Per layer zeros at the weights that must stay as they are, ones at others; they broadcast
        against the weights ``(n, out, in)``.
    gradients : Tensor of shape (n, n_samples, all neurons, n_features), optional
        Gradients of samples, as features of neurons; see :class:`GradientSet`.
    """

    stack: Stack
    nodes: tuple[Tensor, ...]
    steps: tuple[Weights, ...]
    context: Tensor
    reach: Tensor
    freedom: Tensor
    free: tuple[Tensor, ...]
    gradients: Tensor | None = None

    @classmethod
    def bare(cls, stack: Stack) -> WeightGraph:
        """Return the graph of networks without anything beside their weights.

        Parameters
        ----------
        stack : Stack
            The networks.

        Returns
        -------
        WeightGraph
            Without steps, context and extra features of neurons.
        """
        weights, flat = stack.weights.of_field("weight"), stack.weights.flat
        nothing, ones = flat.new_zeros(len(stack), 0), flat.new_ones(len(stack))
        nodes = tuple(nothing.new_zeros(len(stack), width, 0) for width in stack.widths)
        free = tuple(w.new_ones(len(stack), *[1] * (w.ndim - 1)) for w in weights)
        return cls(stack, nodes, (), nothing, nothing, ones, free)

    @classmethod
    def of(cls, stack: Stack) -> WeightGraph:
        """Return the graph of networks with one extra feature per neuron: its layer's scale.

        That is the log of the root mean square of the layer's weights times the root of
        their number per neuron; all other features are relative to it.

        Parameters
        ----------
        stack : Stack
            The networks.

        Returns
        -------
        WeightGraph
            Without steps and context.
        """
        graph, counts = cls.bare(stack), Neurons.of(stack).counts
        n_positions = [graph.filters(i).shape[3] for i in range(stack.depth)]
        fan_in = counts[:, :-1] * counts.new_tensor(n_positions)
        logs = (graph.weight_scales * fan_in.sqrt()).log()
        states = torch.nn.functional.pad(logs, (1, 0))[..., None, None].unbind(1)
        scales = (x.expand(-1, w, -1) for x, w in zip(states, stack.widths, strict=True))
        return replace(graph, nodes=tuple(scales))

    def __len__(self) -> int:
        return len(self.stack)

    def select(self, rows: Tensor) -> WeightGraph:
        """Return the graphs of some networks.

        Parameters
        ----------
        rows : Tensor of int
            Their positions.

        Returns
        -------
        WeightGraph
            These networks, in that order.
        """
        return WeightGraph(
            self.stack.select(rows),
            tuple(t[rows] for t in self.nodes),
            tuple(step.select(rows) for step in self.steps),
            self.context[rows],
            self.reach[rows],
            self.freedom[rows],
            tuple(t[rows] for t in self.free),
            None if self.gradients is None else self.gradients[rows],
        )

    @staticmethod
    def merge(parts: Sequence[WeightGraph]) -> WeightGraph:
        """Join the graphs of consecutive networks of a stack.

        Parameters
        ----------
        parts : sequence of WeightGraph
            One or more.

        Returns
        -------
        WeightGraph
            Of all networks, in order.
        """
        if len(parts) == 1:
            return parts[0]
        if parts[0].gradients is not None:
            raise ValueError("Graphs with gradients of samples are not merged: they are padded.")
        nodes, steps, free = (
            zip(*(getattr(part, name) for part in parts), strict=True)
            for name in ("nodes", "steps", "free")
        )
        stack = Stack.merge([part.stack for part in parts])
        layout = stack.weights.layout
        return WeightGraph(
            stack,
            tuple(map(torch.cat, nodes)),
            tuple(Weights.cat([s.moved(layout, absent=False) for s in step]) for step in steps),
            torch.cat([part.context for part in parts]),
            torch.cat([part.reach for part in parts]),
            torch.cat([part.freedom for part in parts]),
            tuple(map(torch.cat, free)),
        )

    @property
    def activation_shares(self) -> Tensor:
        """Share of each network's hidden layers with each activation, ``(n, n_activations)``."""
        return activation_shares(self.stack)

    @cached_property
    def weight_scales(self) -> Tensor:
        """Root mean square of the weights of each layer, ``(n, n_layers)``."""
        counts = Neurons.of(self.stack).counts
        filters = [self.filters(i) for i in range(self.stack.depth)]
        totals = torch.stack([f.square().sum((1, 2, 3)) for f in filters], 1)
        n_positions = counts.new_tensor([f.shape[3] for f in filters])
        return root_mean(totals, counts[:, :-1] * counts[:, 1:] * n_positions)

    def filters(self, index: int) -> Tensor:
        """Weights of a layer, filter positions at the end.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.

        Returns
        -------
        Tensor of shape (n, out, in, positions)
            A linear layer has one position.
        """
        weight = self.stack.weights[f"{index}.weight"]
        return weight.flatten(3) if weight.ndim > 3 else weight[..., None]


def rms(values: Tensor, mask: Tensor) -> Tensor:
    """Root mean square over the true entries of each network, broadcastable, at least 1e-8."""
    axes = tuple(range(1, values.ndim))
    count = mask.expand_as(values).sum(axes, keepdim=True).clamp_min(1)
    return root_mean((values.square() * mask).sum(axes, keepdim=True), count)


def root_mean(totals: Tensor, counts: Tensor) -> Tensor:
    """Root of a mean of squares, at least 1e-8."""
    # The slope of the root at zero is infinite.
    return (totals / counts).clamp_min(1e-16).sqrt()
