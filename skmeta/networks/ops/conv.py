"""Two-dimensional convolutions: :class:`Conv`.

An image is held with its channels last and its positions as rows. A convolution then is a linear
map of the patches around each position, and all that works on rows (activations, dropout, masks
of padded neurons) works on positions. For small networks this is faster than a grouped
convolution, which knows nothing of a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skmeta._checks import check_in_range, shown
from skmeta.networks.ops.base import Mix, Size
from skmeta.networks.ops.linear import weight_gradient
from skmeta.networks.slots import Slot

Pair = int | tuple[int, int]


def as_pair(name: str, value: Pair, low: int, owner: str) -> tuple[int, int]:
    """Return an int, or two of them, as two."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(type(v) is not int or v < low for v in pair):
        raise ValueError(
            f"The '{name}' of a {owner} must be an int of at least {low} or a pair of them. Got "
            f"{shown(value)}."
        )
    return pair


@dataclass(frozen=True)
class Conv(Mix):
    """Every channel is a linear function of the patch around each position.

    Parameters
    ----------
    width : int
        Number of channels.
    kernel : int or (int, int)
        Height and width of the filters.
    stride : int or (int, int), default=1
        Step of the filters.
    padding : int or (int, int), default=0
        Zeros around the image, on either side.
    bias : bool, default=True
        Whether there is a constant term.
    """

    width: int
    kernel: Pair
    stride: Pair = 1
    padding: Pair = 0
    bias: bool = True

    def __post_init__(self) -> None:
        check_in_range("width", self.width, owner="Conv", low=1, kind="int")
        object.__setattr__(self, "width", int(self.width))
        for name, low in (("kernel", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, as_pair(name, getattr(self, name), low, "Conv"))

    @property
    def windows(self) -> Windows:
        """How the filters move."""
        return Windows(self.kernel, self.stride, self.padding)  # type: ignore[arg-type]

    def output_size(self, size: Size) -> Size:
        """Return height and width of the outgoing images."""
        assert size is not None
        return self.windows.count(size)

    def slots(self, stage: int, width_in: int) -> tuple[Slot, ...]:
        """Return weight ``(width, width_in, height, width)`` and bias ``(width,)``."""
        axes, shape = (stage + 1, stage, None, None), (self.width, width_in, *self.windows.kernel)
        weight = Slot(f"{stage}.weight", axes, shape)
        bias = Slot(f"{stage}.bias", (stage + 1,), (self.width,))
        return (weight, bias) if self.bias else (weight,)

    def forward(self, h: Tensor, weight: Tensor, bias: Tensor | None, size: Size) -> Tensor:
        """Convolve a state with filters ``(n, width, width_in, kh, kw)``."""
        if torch.is_grad_enabled():
            return _StackedConvolution.apply(h, weight, bias, self, size)
        return self._forward(h, weight, bias, size)

    def _forward(self, h: Tensor, weight: Tensor, bias: Tensor | None, size: Size) -> Tensor:
        matrix = weight.permute(0, 1, 3, 4, 2).flatten(2).transpose(1, 2)
        patches = self.inputs(h, size)
        if bias is None:
            return torch.bmm(patches, matrix)
        return torch.baddbmm(bias[:, None], patches, matrix)

    def gradient(self, h: Tensor, g: Tensor, size: Size) -> Tensor:
        """Return the gradient of the filters."""
        # Patches are many times larger than the state: they are made again, not kept.
        return self.as_weight(weight_gradient(self.inputs(h, size), g))

    def pull(self, g: Tensor, weight: Tensor, size: Size, into: Tensor | None) -> Tensor:
        """Return the gradient of a state, given that of the outgoing positions."""
        assert size is not None
        pulled = self.windows.pull(g, weight, size)
        return pulled if into is None else into.add_(pulled)

    def inputs(self, h: Tensor, size: Size) -> Tensor:
        """Return the patch around each outgoing position, ``(n, rows, kh * kw * width_in)``."""
        assert size is not None
        return self.windows.patches(h, size)

    def as_weight(self, matrix: Tensor) -> Tensor:
        """Return maps of patches as filters."""
        return matrix.unflatten(-1, (*self.windows.kernel, -1)).movedim(-1, -3)

    def module(self, width_in: int) -> nn.Module:
        """Return an ``nn.Conv2d``."""
        return nn.Conv2d(
            width_in, self.width, self.kernel, self.stride, self.padding, bias=self.bias
        )


@dataclass(frozen=True)
class Windows:
    """How a window moves over an image: pairs of (vertical, horizontal) numbers."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def count(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return how many places it has along each axis."""
        height, width = (
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(size, self.kernel, self.stride, self.padding, strict=True)
        )
        return height, width

    def patches(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """Return what each window shows, ``(n, rows, kh * kw * channels)``.

        Rows that all networks share are unfolded once.
        """
        if len(h) > 1 and h.stride(0) == 0:
            return self.patches(h[:1], size).expand(len(h), -1, -1)
        py, px = self.padding
        images = F.pad(h.unflatten(1, (-1, *size)), (0, 0, px, px, py, py))
        return _unfold(images, self.kernel, self.stride, self.count(size))

    def pull(self, g: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the gradient of a state through filters ``(n, out, in, kh, kw)``.

        A block of ``stride`` incoming positions depends on a small patch of outgoing ones: the
        gradient is one linear map of these patches. Adding up overlapping patches would be
        several times slower.
        """
        blocks, pads, taps = zip(*(self._adjoint(size[a], a) for a in (0, 1)), strict=True)
        images = F.pad(g.unflatten(1, (-1, *self.count(size))), (0, 0, *pads[1], *pads[0]))
        patches = _unfold(images, [len(tap) for tap in taps], (1, 1), blocks)
        # Positions outside the filter are zeros.
        filters = F.pad(weight.permute(0, 1, 3, 4, 2), (0, 0, 0, 1, 0, 1))
        rows, columns = (torch.tensor(tap, device=g.device) for tap in taps)
        # (n, out, dy, ry, dx, rx, in) -> (n, dy * dx * out, ry * rx * in)
        filters = filters[:, :, rows][:, :, :, :, columns]
        matrix = filters.permute(0, 2, 4, 1, 3, 5, 6).flatten(4).flatten(1, 3)
        # (n, n_samples, block y, block x, ry, rx, in)
        parts = torch.bmm(patches, matrix).unflatten(2, (*self.stride, -1))
        images = parts.unflatten(1, (-1, *blocks)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
        return images[:, :, : size[0], : size[1]].flatten(1, 3)

    def _adjoint(self, size: int, axis: int) -> tuple[int, tuple[int, int], list[list[int]]]:
        """Return, along an axis, how incoming positions depend on outgoing ones.

        With stride s and padding p, incoming position ``s * block + r`` takes part in the
        outgoing position ``block + d`` by the filter's position ``p + r - s * d``.

        Returns
        -------
        n_blocks : int
            Blocks of s incoming positions.
        pad : (int, int)
            What the outgoing positions must be padded with.
        taps : list of list of int
            Position in the filter for every d and r; the filter's size where there is none.
        """
        k, s, p = self.kernel[axis], self.stride[axis], self.padding[axis]
        n_out = (size + 2 * p - k) // s + 1
        n_blocks, low, high = -(-size // s), -((k - 1 - p) // s), (p + s - 1) // s
        taps = [[p + r - s * d for r in range(s)] for d in range(low, high + 1)]
        pad = -low, n_blocks + high - n_out
        return n_blocks, pad, [[i if 0 <= i < k else k for i in row] for row in taps]


def _unfold(images: Tensor, kernel: Any, stride: Any, count: Any) -> Tensor:
    """Return windows of images ``(n, n_samples, height, width, channels)`` as rows."""
    images = images.contiguous()
    n, n_samples, _, _, channels = images.shape
    per_network, per_sample, per_row, per_column, _ = images.stride()
    # What lies in one row of a window lies side by side in memory.
    view = images.as_strided(
        (n, n_samples, *count, *kernel, channels),
        (
            *(per_network, per_sample, stride[0] * per_row, stride[1] * per_column),
            *(per_row, per_column, 1),
        ),
    )
    return view.flatten(4).flatten(1, 3)


class _StackedConvolution(torch.autograd.Function):
    """Autograd's own backward of overlapping views would be slow."""

    @staticmethod
    def forward(
        ctx: Any, h: Tensor, weight: Tensor, bias: Tensor | None, conv: Conv, size: Size
    ) -> Tensor:
        ctx.conv, ctx.size = conv, size
        ctx.save_for_backward(h, weight)
        return conv._forward(h, weight, bias, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (h, weight), conv, size = gradients, ctx.saved_tensors, ctx.conv, ctx.size
        wants_h, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        dh = conv.pull(g, weight, size, None) if wants_h else None
        dw = conv.gradient(h, g, size) if wants_weight else None
        return dh, dw, g.sum(1) if wants_bias else None, None, None


def as_positions(X: Tensor, channels: int) -> Tensor:
    """Return flattened images ``(n, n_samples, channels * height * width)`` as positions."""
    return X.unflatten(2, (channels, -1)).transpose(2, 3).flatten(1, 2)
