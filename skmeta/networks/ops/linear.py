"""Dense layers: :class:`Linear`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.networks.ops.base import Mix, Size
from skmeta.networks.slots import Slot


@dataclass(frozen=True)
class Linear(Mix):
    """Every neuron is a linear function of all neurons of the state before.

    Parameters
    ----------
    width : int
        Number of neurons.
    bias : bool, default=True
        Whether there is a constant term.
    """

    width: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_in_range("width", self.width, owner="Linear", low=1, kind="int")
        object.__setattr__(self, "width", int(self.width))  # numpy's ints do not go into JSON

    def slots(self, stage: int, width_in: int) -> tuple[Slot, ...]:
        """Return weight ``(width, width_in)`` and bias ``(width,)``."""
        weight = Slot(f"{stage}.weight", (stage + 1, stage), (self.width, width_in))
        bias = Slot(f"{stage}.bias", (stage + 1,), (self.width,))
        return (weight, bias) if self.bias else (weight,)

    def forward(self, h: Tensor, weight: Tensor, bias: Tensor | None, size: Size) -> Tensor:
        """Return ``h @ weight.T + bias``."""
        if torch.is_grad_enabled():
            return StackedLinear.apply(h, weight, bias)
        return _linear(h, weight, bias)

    def gradient(self, h: Tensor, g: Tensor, size: Size) -> Tensor:
        """Return ``g.T @ h``."""
        return weight_gradient(h, g)

    def pull(self, g: Tensor, weight: Tensor, size: Size, into: Tensor | None) -> Tensor:
        """Return ``g @ weight``."""
        return torch.bmm(g, weight) if into is None else into.baddbmm_(g, weight)

    def inputs(self, h: Tensor, size: Size) -> Tensor:
        """Return the states."""
        return h

    def as_weight(self, matrix: Tensor) -> Tensor:
        """Return the matrices."""
        return matrix

    def module(self, width_in: int) -> nn.Module:
        """Return an ``nn.Linear``."""
        return nn.Linear(width_in, self.width, bias=self.bias)


def _linear(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return torch.bmm(h, weight.transpose(1, 2))
    return torch.baddbmm(bias[:, None], h, weight.transpose(1, 2))


def weight_gradient(h: Tensor, g: Tensor) -> Tensor:
    """Return ``g.T @ h`` of each network.

    With few inputs the transposed product is up to six times faster.
    """
    if g.shape[2] > h.shape[2]:
        return torch.bmm(h.transpose(1, 2), g).transpose(1, 2)
    return torch.bmm(g.transpose(1, 2), h)


class StackedLinear(torch.autograd.Function):
    """``h @ weight.T + bias`` for every network of a stack.

    Autograd's own backward of ``baddbmm`` computes a transposed weight gradient, which is up
    to six times slower for narrow layers and must be copied afterwards.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Map ``(n, rows, width_in)`` to ``(n, rows, width_out)``."""
        ctx.save_for_backward(h, weight)
        return _linear(h, weight, bias)

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the gradients of input, weight and bias."""
        (g,) = gradients
        h, weight = ctx.saved_tensors
        wants_h, wants_weight, wants_bias = ctx.needs_input_grad
        dh = torch.bmm(g, weight) if wants_h else None
        dw = weight_gradient(h, g) if wants_weight else None
        return dh, dw, g.sum(1) if wants_bias else None
