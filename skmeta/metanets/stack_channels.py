"""Networks of a stack as weight-space features: :class:`StackChannels`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta.metanets.layout import Masks
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


def by_key(stacks: Sequence[Stack]) -> dict[str, Stack]:
    """Join stacks whose weights have the same layout, by :func:`key_of`.

    They differ in images or strides, which weights do not show; what comes back is to be
    looked at and not to be run.
    """
    groups: dict[str, list[Stack]] = {}
    for stack in stacks:
        groups.setdefault(key_of(stack), []).append(stack)
    return {key: Stack.merge(group) for key, group in groups.items()}


def part_for(parts: nn.ModuleDict, stack: Stack, owner: str) -> nn.Module:
    """Return the part of a metanetwork for the depth and filter shapes of a stack."""
    key = key_of(stack)
    if key not in parts:
        raise ValueError(
            f"{owner} knows networks with layers {', '.join(parts)}. Got {key} (one word per "
            "layer). Build or fit it with networks of every kind, or use 'graph' or 'neuron' "
            "without quasi, which read any depth."
        )
    return parts[key]


def is_normalised(stacks: Sequence[Stack]) -> bool:
    """Whether any network of some stacks has a normalisation."""
    layers = (x for stack in stacks for a in stack.architectures for x in a.layers)
    return any(layer.norm != "none" for layer in layers)


class StackChannels(nn.Module):
    """Weights and biases of a stack as features, standardised layer by layer.

    Parameters
    ----------
    stack : Stack
        Networks of one depth whose statistics are used; kept in buffers.
    normalised : bool
        Whether a bias has the scale, shift, mean and log variance of its neuron's
        normalisation as further channels.
    centred : bool, default=True
        Subtract the mean and divide by the standard deviation; else, divide by the root mean
        square, which keeps the equivariance under scalings.
    """

    weight_mean: Tensor
    weight_spread: Tensor
    bias_mean: Tensor
    bias_spread: Tensor

    def __init__(self, stack: Stack, normalised: bool, *, centred: bool = True) -> None:
        super().__init__()
        self.normalised = normalised
        ones = [stack._ones_mask(i) for i in range(stack.depth + 1)]
        pairs = zip(ones, ones[1:], strict=False)
        masks = {"weight": [b[:, :, None] * a[:, None] for a, b in pairs], "bias": ones[1:]}
        for name, values in zip(masks, self._raw(stack), strict=True):
            moments = [_moments(x, m, centred) for x, m in zip(values, masks[name], strict=True)]
            for moment, tensors in zip(("mean", "spread"), zip(*moments, strict=True), strict=True):
                table = torch.stack(tensors).to(torch.get_default_dtype())  # (L, channels)
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
        weights = [w[:, None] for w in params.weight]
        if not self.normalised:
            return weights, [b[:, None] for b in params.bias]
        biases = []
        for i, bias in enumerate(params.bias):
            log_var = buffers.var[i].clamp_min(1e-6).log()
            rows = [bias, params.scale[i] - 1, params.shift[i], buffers.mean[i], log_var]
            biases.append(torch.stack(rows, 1))
        return weights, biases


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
