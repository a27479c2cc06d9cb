"""Pooling of images: :class:`Pool`."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta.networks.ops.base import AutogradOp, Run, Size, Values
from skmeta.networks.ops.conv import Pair, Windows, as_pair

POOLS = ("mean", "max")


@dataclass(frozen=True)
class Pool(AutogradOp):
    """The mean over all positions, or the maximum over windows.

    Parameters
    ----------
    kind : {"mean", "max"}
        A mean leaves rows of channels, a maximum smaller images.
    kernel : int or (int, int), optional
        Height and width of the windows of a maximum.
    stride : int or (int, int), optional
        Step of the windows, their size by default.
    padding : int or (int, int), default=0
        Positions around the image that are smaller than all others.
    """

    kind: str
    kernel: Pair | None = None
    stride: Pair | None = None
    padding: Pair = 0

    def __post_init__(self) -> None:
        check_option("kind", self.kind, POOLS, owner="Pool")
        if (self.kind == "max") != (self.kernel is not None):
            raise ValueError(
                "The 'kernel' of a Pool is the size of the windows of a maximum; a mean is over "
                f"all positions. Got kind={self.kind!r} and kernel={self.kernel!r}."
            )
        if self.kernel is not None:
            kernel = as_pair("kernel", self.kernel, 1, "Pool")
            stride = as_pair("stride", kernel if self.stride is None else self.stride, 1, "Pool")
            padding = as_pair("padding", self.padding, 0, "Pool")
            for name, pair in (("kernel", kernel), ("stride", stride), ("padding", padding)):
                object.__setattr__(self, name, pair)

    @property
    def windows(self) -> Windows:
        """How the windows of a maximum move."""
        return Windows(self.kernel, self.stride, self.padding)  # type: ignore[arg-type]

    def output_size(self, size: Size) -> Size:
        """Return height and width of smaller images, None behind a mean."""
        if self.kind == "mean" or size is None:
            return None
        return self.windows.count(size)

    def commutes(self, group: str) -> bool:
        """Whether factors pass: a maximum lets positive ones."""
        return self.kind == "mean" or group == "scale"

    def module(self, width: int, size: Size) -> nn.Module:
        """Return a MaxPool2d, or an average that leaves rows."""
        if self.kind == "max":
            return nn.MaxPool2d(self.kernel, self.stride, self.padding)  # type: ignore[arg-type]
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def compute(self, x: Tensor, values: Values, run: Run) -> Tensor:
        """Pool."""
        assert run.size is not None
        height, width = run.size
        if self.kind == "mean":
            return x.unflatten(1, (-1, height * width)).mean(2)
        n = len(x)
        images = x.reshape(-1, height, width, x.shape[2]).permute(0, 3, 1, 2)
        pooled = F.max_pool2d(images, self.kernel, self.stride, self.padding)  # type: ignore[arg-type]
        return pooled.permute(0, 2, 3, 1).reshape(n, -1, x.shape[2])
