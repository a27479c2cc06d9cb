"""What a metanetwork sees of a stack: :class:`WeightGraph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from skmeta.networks import ACTIVATIONS, NORMS
from skmeta.population import Stack
from skmeta.population.direction import Direction

MAX_DEPTH_CODE = 6


@dataclass(frozen=True, eq=False)
class WeightGraph:
    """Networks of one depth as graphs: neurons are nodes, weights are edges.

    Attributes
    ----------
    stack : Stack
        The networks.
    nodes : tuple of Tensor
        Extra features of the neurons of each state, ``(n, width, n_node_features)``.
    steps : tuple of Direction
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
    """

    stack: Stack
    nodes: tuple[Tensor, ...]
    steps: tuple[Direction, ...]
    context: Tensor
    reach: Tensor
    freedom: Tensor
    free: tuple[Tensor, ...]

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
        weights = stack.params.weight
        nothing, ones = weights[0].new_zeros(len(stack), 0), weights[0].new_ones(len(stack))
        free = tuple(w.new_ones(len(stack), *[1] * (w.ndim - 1)) for w in weights)
        bare = cls(stack, (), (), nothing, nothing, ones, free)
        nodes = [nothing.new_zeros(len(stack), stack.widths[0], 1)]
        for i, scale in enumerate(bare.weight_scales):
            fan_in = stack._ones_mask(i).sum(1)[:, None, None] * bare.filters(i).shape[3]
            nodes.append((scale * fan_in.sqrt()).log().expand(-1, stack.widths[i + 1], -1))
        return replace(bare, nodes=tuple(nodes))

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
            tuple(step.map(lambda t: t[rows]) for step in self.steps),
            self.context[rows],
            self.reach[rows],
            self.freedom[rows],
            tuple(t[rows] for t in self.free),
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
        nodes, steps, free = (
            zip(*(getattr(part, name) for part in parts), strict=True)
            for name in ("nodes", "steps", "free")
        )
        return WeightGraph(
            Stack.merge([part.stack for part in parts]),
            tuple(map(torch.cat, nodes)),
            tuple(map(Direction.concatenate, steps)),
            torch.cat([part.context for part in parts]),
            torch.cat([part.reach for part in parts]),
            torch.cat([part.freedom for part in parts]),
            tuple(map(torch.cat, free)),
        )

    def neuron_masks(self) -> list[Tensor]:
        """Ones at true neurons.

        Returns
        -------
        list of Tensor
            ``(n, width, 1)`` per state.
        """
        return [self.stack._ones_mask(i)[..., None] for i in range(self.stack.depth + 1)]

    @cached_property
    def weight_scales(self) -> list[Tensor]:
        """Root mean square of the weights of each layer, ``(n, 1, 1)``."""
        return [
            rms(self.filters(i), self.edge_mask(i)[..., None])[..., 0]
            for i in range(self.stack.depth)
        ]

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
        weight = self.stack.params.weight[index]
        return weight.flatten(3) if weight.ndim > 3 else weight[..., None]

    def edge_mask(self, index: int) -> Tensor:
        """Ones at true weights.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.

        Returns
        -------
        Tensor of shape (n, out, in)
            Zeros at padding.
        """
        return self.stack._ones_mask(index + 1)[:, :, None] * self.stack._ones_mask(index)[:, None]

    @cached_property
    def edges(self) -> list[list[Tensor]]:
        """Weights and steps of each layer with unit root mean square, ``(n, out, in)`` each.

        Each filter position of a convolution is a channel.
        """
        layers = []
        for index, scale in enumerate(self.weight_scales):
            channels = list((self.filters(index) / scale[..., None]).unbind(3))
            for step in self.steps:
                value = step.weight[index]
                channels.append(value / rms(value, self.edge_mask(index)))
            layers.append(channels)
        return layers

    def node_inputs(self) -> list[Tensor]:
        """All features of the neurons.

        Own features (bias, normalisation and their steps), structural codes (activation,
        normalisation, position counted from both ends; appendix A.3.1 of the paper on
        learned editing) and the extra features.

        Returns
        -------
        list of Tensor
            ``(n, width, n_features)`` per state.
        """
        masks = self.neuron_masks()
        inputs = []
        for state in range(self.stack.depth + 1):
            own = self._own_features(state)
            parts = [own, self._codes(state), self.nodes[state]]
            inputs.append(torch.cat(parts, -1) * masks[state])
        return inputs

    def _own_features(self, state: int) -> Tensor:
        stack, mask = self.stack, self.neuron_masks()[state]
        if state == 0:
            return mask.new_zeros(*mask.shape[:2], N_OWN_FEATURES + len(self.steps))
        i = state - 1
        scale = self.weight_scales[i][:, 0]  # (n, 1)
        weight = self.filters(i) / self.weight_scales[i][..., None]
        fan_in = (self.edge_mask(i).sum(2) * weight.shape[3]).clamp_min(1)
        columns = [
            stack.params.bias[i] / scale,
            stack.params.scale[i] - 1,
            stack.params.shift[i],
            stack.buffers.mean[i] / scale,
            stack.buffers.var[i].clamp_min(1e-6).log(),
            weight.sum((2, 3)) / fan_in.sqrt(),
            (weight.square().sum((2, 3)) / fan_in).clamp_min(1e-6).log(),
        ]
        for step in self.steps:
            columns.append(step.bias[i] / rms(step.bias[i], mask[..., 0]))
        return torch.stack(columns, -1)

    def _codes(self, state: int) -> Tensor:
        key = ("codes", state)
        if key not in self.stack._cache:
            rows = [structure_code(a, state) for a in self.stack.architectures]
            self.stack._cache[key] = torch.tensor(rows)
        codes = self.stack._cache[key].to(self.context)
        return codes[:, None].expand(-1, self.stack.widths[state], -1)


N_OWN_FEATURES = 7
N_CODES = len(ACTIVATIONS) + len(NORMS) + 2 * MAX_DEPTH_CODE + 3


def n_node_inputs(n_extra: int, n_steps: int) -> int:
    """Return the number of columns of :meth:`WeightGraph.node_inputs`."""
    return N_OWN_FEATURES + n_steps + N_CODES + n_extra


def structure_code(architecture, state: int) -> list[float]:
    """One-hot codes of a state: activation, normalisation, distance to input and output."""
    depth = architecture.depth
    layer = architecture.layers[state - 1] if state else None
    activation = [float(layer is not None and layer.activation == a) for a in ACTIVATIONS]
    norm = [float(layer is not None and layer.norm == n) for n in NORMS]
    from_input, from_output = ([0.0] * MAX_DEPTH_CODE for _ in range(2))
    from_input[min(state, MAX_DEPTH_CODE - 1)] = 1.0
    from_output[min(depth - state, MAX_DEPTH_CODE - 1)] = 1.0
    flags = [
        float(layer is not None and layer.norm_after),
        float(layer is not None and layer.skip_before),
        float(bool(layer and layer.skips)),
    ]
    return [*activation, *norm, *from_input, *from_output, *flags]


def rms(values: Tensor, mask: Tensor) -> Tensor:
    """Root mean square over the true entries of each network, broadcastable, at least 1e-8."""
    axes = tuple(range(1, values.ndim))
    count = mask.expand_as(values).sum(axes, keepdim=True).clamp_min(1)
    total = (values.square() * mask).sum(axes, keepdim=True)
    # The slope of the root at zero is infinite.
    return (total / count).clamp_min(1e-16).sqrt()
