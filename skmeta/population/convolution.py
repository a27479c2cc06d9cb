"""Convolutions as linear maps of patches: :class:`ConvolutionPlan`.

An image is held with its channels last and its positions as rows: a state of a convolutional
network is ``(n, n_samples * n_positions, channels)``. A convolution then is a linear map of the
patches around each position, and all that works on rows (activations, dropout, masks of
padded neurons) works on positions. For small networks this is faster than a grouped
convolution, which knows nothing of a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skmeta.population.architecture import Convolution


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

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the outgoing images, in front of the pooling."""
        return self.convolution.output_size(self.size)

    @property
    def n_positions(self) -> int:
        """Positions of the outgoing images."""
        height, width = self.output_size
        return height * width

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
        if h.stride(0) == 0:
            return _Unfold.apply(h[:1], self).expand(len(h), -1, -1)
        return _Unfold.apply(h, self)

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

    def unfold(self, h: Tensor) -> Tensor:
        """See :meth:`patches`; without a gradient."""
        (_, (sy, sx), (py, px), _), (height, width) = self.convolution, self.output_size
        images = h.unflatten(1, (-1, *self.size))
        images = F.pad(images, (0, 0, px, px, py, py)).contiguous()
        n, n_samples, _, _, channels = images.shape
        per_network, per_sample, per_row, per_column, _ = images.stride()
        # What lies in one row of a patch lies side by side in memory.
        view = images.as_strided(
            (n, n_samples, height, width, *self.convolution.kernel, channels),
            (per_network, per_sample, sy * per_row, sx * per_column, per_row, per_column, 1),
        )
        return view.reshape(n, n_samples * height * width, -1)

    def fold(self, patches: Tensor) -> Tensor:
        """Add patches up where they overlap: the adjoint of :meth:`unfold`."""
        ((ky, kx), (sy, sx), (py, px), _), (height, width) = self.convolution, self.output_size
        parts = patches.unflatten(1, (-1, height, width)).unflatten(-1, (ky, kx, -1))
        n, n_samples, channels = len(patches), parts.shape[1], parts.shape[-1]
        rows, columns = self.size[0] + 2 * py, self.size[1] + 2 * px
        images = patches.new_zeros(n, n_samples, rows, columns, channels)
        for y in range(ky):
            for x in range(kx):
                ends = y + sy * height, x + sx * width
                images[:, :, y : ends[0] : sy, x : ends[1] : sx] += parts[..., y, x, :]
        images = images[:, :, py : rows - py, px : columns - px]
        return images.flatten(1, 3)


class _Unfold(torch.autograd.Function):
    """Patches of images; autograd's own backward of overlapping views is slow."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, plan: ConvolutionPlan) -> Tensor:
        ctx.plan = plan
        return plan.unfold(h)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Fold.apply(gradients[0], ctx.plan), None


class _Fold(torch.autograd.Function):
    """The adjoint, so that gradients have gradients."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, plan: ConvolutionPlan) -> Tensor:
        ctx.plan = plan
        return plan.fold(patches)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Unfold.apply(gradients[0], ctx.plan), None


def as_positions(X: Tensor, channels: int) -> Tensor:
    """Return flattened images ``(n, n_samples, channels * height * width)`` as positions."""
    return X.unflatten(2, (channels, -1)).transpose(2, 3).flatten(1, 2)
