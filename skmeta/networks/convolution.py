"""Convolutions as linear maps of patches: :class:`ConvolutionPlan`.

An image is held with its channels last and its positions as rows: a state of a convolutional
network is ``(n, n_samples * n_positions, channels)``. A convolution then is a linear map of the
patches around each position, and all that works on rows (activations, dropout, masks of
padded neurons) works on positions. For small networks this is faster than a grouped
convolution, which knows nothing of a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skmeta.networks.images import Convolution


@dataclass(frozen=True)
class ConvolutionPlan:
    """One convolution of a stack, on images of a known size.

    Parameters
    ----------
    convolution : Convolution
        Filters, strides and padding.
    size : (int, int)
        Height and width of the incoming images.
    """

    convolution: Convolution
    size: tuple[int, int]

    @cached_property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the outgoing images, in front of the pooling."""
        return self.convolution.output_size(self.size)

    @property
    def n_positions(self) -> int:
        """Positions of the outgoing images."""
        height, width = self.output_size
        return height * width

    def __call__(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolve a state with filters ``(n, out, in, kh, kw)``, differentiably.

        Returns
        -------
        Tensor of shape (n, n_samples * n_positions, out)
            Every position of the outgoing images, in front of the pooling.
        """
        return _StackedConvolution.apply(h, weight, bias, self)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return filters ``(n, out, in, kh, kw)`` as maps of patches ``(n, out, kh * kw * in)``."""
        return weight.permute(0, 1, 3, 4, 2).flatten(2)

    def filters(self, matrix: Tensor) -> Tensor:
        """Return maps of patches as filters, the inverse of :meth:`matrix`."""
        return matrix.unflatten(2, (*self.convolution.kernel, -1)).permute(0, 1, 4, 2, 3)

    def patches(self, h: Tensor) -> Tensor:
        """Return the patch around each position, ``(n, n_samples * n_positions, kh * kw * in)``.

        Rows that all networks share are unfolded once.
        """
        if len(h) > 1 and h.stride(0) == 0:
            return self.patches(h[:1]).expand(len(h), -1, -1)
        kernel, stride, (py, px), _ = self.convolution
        images = F.pad(h.unflatten(1, (-1, *self.size)), (0, 0, px, px, py, py))
        return _windows(images, kernel, stride, self.output_size)

    def patches_backward(self, g: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient of a state, given that of the outgoing positions.

        A block of ``stride`` incoming positions depends on a small patch of outgoing ones: the
        gradient is one linear map of these patches. Adding up overlapping patches would be
        several times slower.
        """
        blocks, pads, taps = zip(*map(self._adjoint, (0, 1)), strict=True)
        images = F.pad(g.unflatten(1, (-1, *self.output_size)), (0, 0, *pads[1], *pads[0]))
        patches = _windows(images, [len(tap) for tap in taps], (1, 1), blocks)
        # Positions outside the filter are zeros.
        filters = F.pad(weight.permute(0, 1, 3, 4, 2), (0, 0, 0, 1, 0, 1))
        rows, columns = (torch.tensor(tap, device=g.device) for tap in taps)
        # (n, out, dy, ry, dx, rx, in) -> (n, dy * dx * out, ry * rx * in)
        filters = filters[:, :, rows][:, :, :, :, columns]
        matrix = filters.permute(0, 2, 4, 1, 3, 5, 6).flatten(4).flatten(1, 3)
        # (n, n_samples, block y, block x, ry, rx, in)
        stride = self.convolution.stride
        parts = torch.bmm(patches, matrix).unflatten(2, (*stride, -1)).unflatten(1, (-1, *blocks))
        images = parts.transpose(3, 4).flatten(4, 5).flatten(2, 3)
        return images[:, :, : self.size[0], : self.size[1]].flatten(1, 3)

    def _adjoint(self, axis: int) -> tuple[int, tuple[int, int], list[list[int]]]:
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
        convolution, size = self.convolution, self.size[axis]
        k, s, p = convolution.kernel[axis], convolution.stride[axis], convolution.padding[axis]
        n_blocks, low, high = -(-size // s), -((k - 1 - p) // s), (p + s - 1) // s
        pad = -low, n_blocks + high - self.output_size[axis]
        taps = [[p + r - s * d for r in range(s)] for d in range(low, high + 1)]
        return n_blocks, pad, [[i if 0 <= i < k else k for i in row] for row in taps]

    def pool(self, h: Tensor) -> Tensor:
        """Return the mean over all positions if the convolution pools, else the state."""
        if not self.convolution.pooled:
            return h
        return h.unflatten(1, (-1, self.n_positions)).mean(2)

    def pool_backward(self, g: Tensor) -> Tensor:
        """Return the gradient of the state in front of the pooling."""
        if not self.convolution.pooled:
            return g
        n_positions = self.n_positions
        return (g / n_positions)[:, :, None].expand(-1, -1, n_positions, -1).flatten(1, 2)


class _StackedConvolution(torch.autograd.Function):
    """Autograd's own backward of overlapping views would be slow."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, plan: ConvolutionPlan) -> Tensor:
        ctx.plan = plan
        ctx.save_for_backward(h, weight)
        return torch.baddbmm(bias[:, None], plan.patches(h), plan.matrix(weight).transpose(1, 2))

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (g,), (h, weight), plan = gradients, ctx.saved_tensors, ctx.plan
        wants_h, wants_weight, wants_bias, _ = ctx.needs_input_grad
        dh = plan.patches_backward(g, weight) if wants_h else None
        # Patches are many times larger than the state: they are made again, not kept.
        dw = plan.filters(g.transpose(1, 2) @ plan.patches(h)) if wants_weight else None
        return dh, dw, g.sum(1) if wants_bias else None, None


def _windows(images: Tensor, kernel: Any, stride: Any, count: Any) -> Tensor:
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


def as_positions(X: Tensor, channels: int) -> Tensor:
    """Return flattened images ``(n, n_samples, channels * height * width)`` as positions."""
    return X.unflatten(2, (channels, -1)).transpose(2, 3).flatten(1, 2)
