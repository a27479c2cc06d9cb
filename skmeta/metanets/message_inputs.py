"""What networks that pass messages see of neurons and weights: :class:`MessageInputs`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skmeta.metanets.codes import N_CODES, structure_codes
from skmeta.metanets.inputs import WeightGraph, root_mean
from skmeta.metanets.neurons import Neurons

N_OWN_FEATURES = 7


def n_node_inputs(graph: WeightGraph) -> int:
    """Return the number of columns of ``MessageInputs.nodes``."""
    return N_OWN_FEATURES + len(graph.steps) + N_CODES + graph.nodes[0].shape[-1]


@dataclass(frozen=True, eq=False)
class MessageInputs:
    """Features of neurons and weights.

    Attributes
    ----------
    nodes : Tensor of shape (n, all neurons, n_features)
        Own features (bias, normalisation and their steps, moments of the incoming weights),
        structural codes and the graph's extra features.
    edges : list of Tensor
        Weights and steps of each layer with unit root mean square, ``(n, out, in, channels)``;
        each filter position of a convolution is a channel.
    """

    nodes: Tensor
    edges: list[Tensor]

    @classmethod
    def of(cls, graph: WeightGraph) -> MessageInputs:
        """Return the features of networks."""
        stack, neurons = graph.stack, Neurons.of(graph.stack)
        edges, sums, squares = [], [], []
        for i in range(stack.depth):
            weight, scale = graph.filters(i), graph.weight_scales[:, i]
            n_weights = neurons.counts[:, i] * neurons.counts[:, i + 1]
            channels = weight / scale[:, None, None, None]
            fan_in = neurons.counts[:, i, None] * weight.shape[3]
            sums.append(channels.sum((2, 3)) / fan_in.sqrt())
            squares.append(channels.square().sum((2, 3)) / fan_in)
            if graph.steps:
                steps = torch.stack([step.weight[i] for step in graph.steps], -1)
                size = root_mean(steps.square().sum((1, 2)), n_weights[:, None])
                channels = torch.cat([channels, steps / size[:, None, None]], -1)
            edges.append(channels)
        params, buffers = stack.params, stack.buffers
        bias, scale, shift, mean, var = (
            torch.cat(field, 1)
            for field in (params.bias, params.scale, params.shift, buffers.mean, buffers.var)
        )
        unit = neurons.spread_layers(graph.weight_scales)
        own = torch.stack(
            [
                bias / unit,
                scale - 1,
                shift,
                mean / unit,
                var.clamp_min(1e-6).log(),
                torch.cat(sums, 1),
                torch.cat(squares, 1).clamp_min(1e-6).log(),
                *_unit_biases(graph, neurons),
            ],
            -1,
        )
        own = torch.nn.functional.pad(own, (0, 0, neurons.widths[0], 0))
        codes = neurons.spread(structure_codes(stack))
        nodes = torch.cat([own, codes, torch.cat(graph.nodes, 1)], -1)
        return cls(neurons.hide(nodes), edges)


def _unit_biases(graph: WeightGraph, neurons: Neurons) -> list[Tensor]:
    """Biases of the steps, ``(n, all neurons behind the inputs)``, with unit rms in each layer."""
    units = []
    for step in graph.steps:
        bias = torch.cat(step.bias, 1)
        squares = torch.nn.functional.pad(bias.square()[..., None], (0, 0, neurons.widths[0], 0))
        size = root_mean(neurons.means(squares)[:, 1:, 0], torch.ones_like(bias[:, :1]))
        units.append(bias / neurons.spread_layers(size))
    return units
