"""Normalisation and activation in training, for all networks of a layer: :class:`Elementwise`.

Narrow layers spend as much time here as in their matrix products. One autograd node for the
whole layer writes the runs of equal networks straight into their rows: nothing is cut apart
and put together again, and every pass over the data is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skmeta.population import Stack
from skmeta.population.stack import runs_of

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Activation:
    """Kernels that write in place of allocating; ``backward`` reads the output or the input."""

    forward: Callable[[Tensor, Tensor], Any]
    backward: Callable[[Tensor, Tensor, Tensor], Any]
    reads_output: bool = True


_ACTIVATIONS = {
    "identity": _Activation(
        lambda z, out: None if z is out else out.copy_(z), lambda g, _, out: out.copy_(g)
    ),
    "relu": _Activation(
        lambda z, out: torch.clamp_min(z, 0.0, out=out),
        lambda g, h, out: _aten.threshold_backward(g, h, 0.0, grad_input=out),
    ),
    "leaky_relu": _Activation(
        lambda z, out: _aten.leaky_relu(z, 0.01, out=out),
        lambda g, h, out: _aten.leaky_relu_backward(g, h, 0.01, True, grad_input=out),
    ),
    "tanh": _Activation(
        lambda z, out: torch.tanh(z, out=out),
        lambda g, h, out: _aten.tanh_backward(g, h, grad_input=out),
    ),
    "sigmoid": _Activation(
        lambda z, out: torch.sigmoid(z, out=out),
        lambda g, h, out: _aten.sigmoid_backward(g, h, grad_input=out),
    ),
    "gelu": _Activation(
        lambda z, out: _aten.gelu(z, out=out),
        lambda g, z, out: _aten.gelu_backward(g, z, grad_input=out),
        reads_output=False,
    ),
}
_NOT_ZERO_AT_ZERO = ("sigmoid",)


class LayerPlan:
    """Which networks of a layer share a normalisation, and which an activation.

    Parameters
    ----------
    stack : Stack
        The networks.
    index : int
        The layer.

    Attributes
    ----------
    supported : bool
        Whether :class:`Elementwise` can do it; the general code does the rest.
    """

    def __init__(self, stack: Stack, index: int) -> None:
        layers = [a.layers[index] for a in stack.architectures]
        self.supported = not any(
            layer.norm_after or (layer.skip_before and layer.skips) for layer in layers
        ) and {layer.activation for layer in layers} <= set(_ACTIVATIONS)
        norms = runs_of([(x.norm, x.eps if x.norm != "none" else 0.0) for x in layers])
        activations = runs_of([(layer.activation,) for layer in layers])
        self.norms = [(slice(start, stop), *key) for start, stop, key in norms if key[0] != "none"]
        self.activations = [_ACTIVATIONS.get(key[0]) for _, _, key in activations]
        self.sizes = [stop - start for start, stop, _ in activations]
        self.in_place = all(a is not None and a.reads_output for a in self.activations)
        self.mask = stack.state_mask(index + 1)
        self.refill = [
            slice(start, stop)
            for start, stop, key in activations
            if key[0] in _NOT_ZERO_AT_ZERO and self.mask is not None
        ]

    @property
    def trivial(self) -> bool:
        """Whether there is nothing to do."""
        return not self.norms and self.activations == [_ACTIVATIONS["identity"]]


class Elementwise(torch.autograd.Function):
    """Normalise and activate the outputs of a linear layer.

    Overwrites its input, which no other node needs, and leaves the batch statistics in the
    plan. Padded neurons stay zero; their gradients need not: the parameters behind them are
    zero, and the trainer drops their gradients.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, scale: Tensor, shift: Tensor, plan: LayerPlan) -> Tensor:
        """Map ``(n, n_samples, width)`` to the same shape."""
        saved, plan.statistics = [], []
        for rows, norm, eps in plan.norms:
            dim, part = (1 if norm == "batch" else 2), z[rows]
            mask = plan.mask[rows, None] if dim == 2 and plan.mask is not None else None
            count = part.shape[dim] if mask is None else mask.sum(2, keepdim=True)
            mean = part.sum(dim, keepdim=True).div_(count)
            normal = part - mean
            if mask is not None:
                normal.mul_(mask)
            var = normal.square().sum(dim, keepdim=True).div_(count)
            inverse = torch.rsqrt(var + eps)
            torch.addcmul(shift[rows, None], normal.mul_(inverse), scale[rows, None], out=part)
            saved += [normal, inverse]
            if dim == 1:
                plan.statistics.append((rows, mean, var))
        out = z if plan.in_place else torch.empty_like(z)
        for activation, part, result in zip(
            plan.activations, z.split(plan.sizes), out.split(plan.sizes), strict=True
        ):
            activation.forward(part, result)
        for rows in plan.refill:
            out[rows].mul_(plan.mask[rows, None])
        if plan.in_place:
            ctx.mark_dirty(z)
        ctx.plan = plan
        ctx.save_for_backward(z, out, scale, *saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, scale and shift."""
        plan, (z, out, scale, *saved) = ctx.plan, ctx.saved_tensors
        dz = torch.empty_like(z)
        tensors = (gradients[0], z, out, dz)
        for activation, g, before, after, result in zip(
            plan.activations, *(t.split(plan.sizes) for t in tensors), strict=True
        ):
            activation.backward(g, after if activation.reads_output else before, result)
        if not plan.norms:
            return dz, None, None, None
        dscale, dshift = torch.zeros_like(scale), torch.zeros_like(scale)
        for (rows, norm, _), normal, inverse in zip(
            plan.norms, saved[::2], saved[1::2], strict=True
        ):
            part, gain = dz[rows], scale[rows, None]
            dshift[rows] = part.sum(1)
            dscale[rows] = (part * normal).sum(1)
            # Take out what lies along the constant and along the normalised values themselves.
            if norm == "batch":
                constant, along = dshift[rows, None], dscale[rows, None]
                part.sub_(constant / part.shape[1]).addcmul_(normal, along / -part.shape[1])
                part.mul_(gain * inverse)
                continue
            part.mul_(gain)
            mask = None if plan.mask is None else plan.mask[rows, None]
            count = part.shape[2] if mask is None else mask.sum(2, keepdim=True)
            constant = part.sum(2, keepdim=True).div_(count)
            along = (part * normal).sum(2, keepdim=True).div_(count).neg_()
            part.sub_(constant).addcmul_(normal, along).mul_(inverse)
        return dz, dscale, dshift, None
