"""Networks of a stack as weight-space features: :class:`StackChannels`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta.metanets.inputs import WeightGraph, root_mean
from skmeta.metanets.layout import Masks
from skmeta.metanets.neurons import Neurons
from skmeta.population import Stack


def masks_of(stack: Stack) -> Masks | None:
    """Masks of all states of a stack; None if nothing is padded."""
    masks = [stack.state_mask(i) for i in range(stack.depth + 1)]
    return None if all(mask is None for mask in masks) else masks


def kernels_of(stack: Stack) -> tuple[tuple[int, ...], ...]:
    """Filter shape of each layer, ``()`` for a dense one."""
    return tuple(tuple(w.shape[3:]) for w in stack.params.weight)


def key_of(stack: Stack) -> str:
    """Return a name for depth and filter shapes, for instance ``3x3-3x3-dense``."""
    return "-".join("x".join(map(str, kernel)) or "dense" for kernel in kernels_of(stack))


def by_key(stacks: Sequence[Stack]) -> dict[str, list[int]]:
    """Return the positions of stacks whose weights have the same layout, by :func:`key_of`.

    They differ in images or strides, which weights do not show.
    """
    groups: dict[str, list[int]] = {}
    for number, stack in enumerate(stacks):
        groups.setdefault(key_of(stack), []).append(number)
    return groups


def key_among(parts: nn.ModuleDict, stack: Stack, owner: str) -> str:
    """Return the name of the part of a metanetwork for the depth and filter shapes of a stack."""
    key = key_of(stack)
    if key not in parts:
        raise ValueError(
            f"{owner} knows networks with layers {', '.join(parts)}. Got {key} (one word per "
            "layer). Build or fit it with networks of every kind, or use 'graph' or 'neuron' "
            "without quasi, which read any depth."
        )
    return key


def is_normalised(stacks: Sequence[Stack]) -> bool:
    """Whether any network of some stacks has a normalisation."""
    layers = (x for stack in stacks for a in stack.architectures for x in a.layers)
    return any(layer.norm != "none" for layer in layers)


class Standardize(nn.Module):
    """Subtract the mean and divide by the standard deviation that features start with.

    Pooled features of fresh layers hardly differ between networks beside what they have in
    common; a head would learn slowly from them.

    Parameters
    ----------
    features : Tensor of shape (B, c)
        Features of training networks.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        spread = features.std(0, correction=0)
        self.register_buffer("mean", features.mean(0))
        # What does not vary stays as small as it is.
        self.register_buffer("spread", torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Return standardised features."""
        return (features - self.mean) / self.spread


class StackChannels(nn.Module):
    """Weights and biases of a stack as features, standardised layer by layer.

    Networks that were begun or trained differently differ in scale by orders of magnitude. So
    every layer of a network is divided by its root mean square, whose logarithm is a channel
    of its own.

    Parameters
    ----------
    stack : Stack
        Networks of one depth whose statistics are used; kept in buffers.
    normalised : bool
        Whether a bias has the scale, shift, mean and log variance of its neuron's
        normalisation as further channels.
    relative : bool, default=True
        As above. If False, all that is done is to divide by the root mean square over all
        networks, which keeps the equivariance under scalings.
    """

    weight_mean: Tensor
    weight_spread: Tensor
    bias_mean: Tensor
    bias_spread: Tensor

    def __init__(self, stack: Stack, normalised: bool, *, relative: bool = True) -> None:
        super().__init__()
        self.normalised, self.relative = normalised, relative
        ones = [stack._ones_mask(i) for i in range(stack.depth + 1)]
        pairs = zip(ones, ones[1:], strict=False)
        masks = {"weight": [b[:, :, None] * a[:, None] for a, b in pairs], "bias": ones[1:]}
        for name, values in zip(masks, self._raw(stack), strict=True):
            moments = [_moments(x, m, relative) for x, m in zip(values, masks[name], strict=True)]
            for moment, tensors in zip(("mean", "spread"), zip(*moments, strict=True), strict=True):
                table = torch.stack(tensors).to(torch.float32)  # (L, channels)
                self.register_buffer(f"{name}_{moment}", table)

    def forward(self, stack: Stack) -> tuple[list[Tensor], list[Tensor]]:
        """Return ``(B, 1, n_out, n_in, *kernel)`` and ``(B, c, n_out)``; padding is not zero."""
        weights, biases = self._raw(stack)
        for i in range(stack.depth):
            weights[i] = (weights[i] - self.weight_mean[i]) / self.weight_spread[i]
            mean, spread = self.bias_mean[i], self.bias_spread[i]
            biases[i] = (biases[i] - mean[:, None]) / spread[:, None]
        return weights, biases

    def _raw(self, stack: Stack) -> tuple[list[Tensor], list[Tensor]]:
        params, buffers = stack.params, stack.buffers
        weights, biases = [], []
        for i, (weight, bias) in enumerate(zip(params.weight, params.bias, strict=True)):
            rows = [bias]
            if self.relative:
                scale = _layer_scale(stack, i)
                weight = weight / scale.view(-1, *[1] * (weight.ndim - 1))
                rows = [bias / scale[:, None], scale.log()[:, None].expand_as(bias)]
            if self.normalised:
                log_var = buffers.var[i].clamp_min(1e-6).log()
                rows += [params.scale[i] - 1, params.shift[i], buffers.mean[i], log_var]
            weights.append(weight[:, None])
            biases.append(torch.stack(rows, 1))
        return weights, biases


def with_graph_channels(
    graph: WeightGraph, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Append the steps of a graph, with unit root mean square, and its features of neurons.

    Those of the inputs, which have no biases, go to the first weights.

    Parameters
    ----------
    graph : WeightGraph
        The networks.
    weights, biases : sequence of Tensor
        ``(B, c, n_out, n_in, *kernel)`` and ``(B, c, n_out)`` per layer.
    """
    neurons, nodes = Neurons.of(graph.stack), [x.transpose(1, 2) for x in graph.nodes]
    weights, biases = list(weights), list(biases)
    for i in range(graph.stack.depth):
        n_in, n_out = neurons.counts[:, i], neurons.counts[:, i + 1]
        for step in graph.steps:
            for values, t, count in ((weights, step.weight[i], n_in), (biases, step.bias[i], 1)):
                size = root_mean(t.flatten(1).square().sum(1), n_out * count)
                unit = (t / size.view(-1, *[1] * (t.ndim - 1)))[:, None]
                values[i] = torch.cat([values[i], unit], 1)
        biases[i] = torch.cat([biases[i], nodes[i + 1]], 1)
    first = nodes[0][:, :, None]
    first = first.view(*first.shape, *[1] * (weights[0].ndim - 4))
    weights[0] = torch.cat([weights[0], first.expand(-1, -1, *weights[0].shape[2:])], 1)
    return weights, biases


def _layer_scale(stack: Stack, index: int) -> Tensor:
    """Root mean square of the weights and biases of a layer, ``(B,)``, at least 1e-8."""
    weight, bias = stack.params.weight[index], stack.params.bias[index]
    n_in, n_out = (stack._ones_mask(i).sum(1) for i in (index, index + 1))
    total = weight.flatten(1).square().sum(1) + bias.square().sum(1)
    # The slope of the root at zero is infinite.
    return (total / (n_out * (n_in * weight[0, 0, 0].numel() + 1))).clamp_min(1e-16).sqrt()


def _moments(x: Tensor, mask: Tensor, centred: bool) -> tuple[Tensor, Tensor]:
    """Mean (zero if not centred) and root mean square around it, per channel, over true entries."""
    mask = mask.flatten(1)[:, None, :, None].double()
    x = x.double().reshape(*x.shape[:2], mask.shape[2], -1)
    count = mask.sum() * x.shape[3]
    mean = (x * mask).sum((0, 2, 3), keepdim=True) / count * centred
    spread = (((x - mean) * mask).square().sum((0, 2, 3)) / count).sqrt()
    mean = mean.flatten()
    # A channel that is the same everywhere stays so.
    return mean, torch.where(spread > 1e-6 * mean.abs(), spread, 1.0)
