"""Normalisations: :class:`Norm`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skmeta._checks import check_in_range, check_option
from skmeta.networks.ops.base import Affine, Run, RunOp, Size, Values

BATCH_NORM_MOMENTUM = 0.1

NORMS = ("none", "batch", "layer")
"""Names of normalisations; the order is the code in encodings."""


@dataclass(frozen=True)
class Norm(RunOp):
    """Batch or layer normalisation.

    Behind a convolution, a batch normalisation is that of ``nn.BatchNorm2d``: positions are rows.

    Parameters
    ----------
    kind : {"batch", "layer"}
        What is brought to mean 0 and variance 1: each neuron over the rows, with running
        statistics outside of training, or the neurons of each row.
    affine : bool, default=True
        Whether a scale and a shift per neuron follow.
    eps : float, default=1e-5
        Added to the variance.
    """

    kind: str
    affine: bool = True
    eps: float = 1e-5

    fields: ClassVar[Mapping[str, float]] = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "var": 1.0}
    overwritable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_option("kind", self.kind, NORMS[1:], owner="Norm")
        check_in_range("eps", self.eps, owner="Norm", low=0, high=math.inf, closed="left")

    def has(self, name: str) -> bool:
        """Whether it has the field: statistics of a batch, or what is affine."""
        return self.affine if self.trains(name) else self.kind == "batch"

    def trains(self, name: str) -> bool:
        """Whether gradients reach the field."""
        return name in ("scale", "shift")

    def commutes(self, group: str) -> bool:
        """Whether its scale and shift can take up factors."""
        return self.affine

    def module(self, width: int, size: Size) -> nn.Module:
        """Return a BatchNorm1d, a BatchNorm2d or a LayerNorm."""
        if self.kind == "layer":
            return nn.LayerNorm(width, eps=self.eps, elementwise_affine=self.affine)
        kind = nn.BatchNorm1d if size is None else nn.BatchNorm2d
        return kind(width, eps=self.eps, momentum=BATCH_NORM_MOMENTUM, affine=self.affine)

    def apply(self, x: Tensor, values: Values, run: Run) -> tuple[Tensor, Any]:
        """Normalise; keep normalised values, reciprocal deviations, and what a batch shows."""
        scale, shift = (v if v is None else v[:, None] for v in map(values.get, _AFFINE))
        if not run.keep and not run.train:
            return self._in_evaluation(x, values, run, scale, shift), None
        seen = None
        if self.kind == "batch" and not run.train:
            mean, var = values["mean"][:, None], values["var"][:, None]
            normal = x - mean
        else:
            dim = 1 if self.kind == "batch" else 2
            count = x.shape[1] if dim == 1 else _count(x, run)
            mean = x.sum(dim, keepdim=True) / count
            normal = x - mean
            if dim == 2 and run.mask is not None:
                normal = normal * run.mask[:, None]
            # var_mean is much slower.
            var = normal.square().sum(dim, keepdim=True) / count
            if dim == 1:  # running statistics are of unbiased variances
                seen = mean, var * (x.shape[1] / max(x.shape[1] - 1, 1))
        inverse = torch.rsqrt(var + self.eps)
        normal = normal.mul_(inverse) if run.keep else normal * inverse
        if scale is None or shift is None:
            y = normal.clone() if run.keep else normal
        elif run.in_place:
            y = torch.addcmul(shift, normal, scale, out=x)
        else:
            y = torch.addcmul(shift, normal, scale)
        return y, (normal, inverse, seen)

    def _in_evaluation(
        self, x: Tensor, values: Values, run: Run, scale: Tensor | None, shift: Tensor | None
    ) -> Tensor:
        if self.kind == "batch":
            gain = torch.rsqrt(values["var"][:, None] + self.eps)
            gain = gain if scale is None else gain * scale
            start = -values["mean"][:, None] * gain
            return x * gain + (start if shift is None else start + shift)
        if run.mask is None:
            normal = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        else:
            mask, count = run.mask[:, None], _count(x, run)
            centred = (x - (x * mask).sum(-1, keepdim=True) / count) * mask
            var = centred.square().sum(-1, keepdim=True) / count
            normal = centred * torch.rsqrt(var + self.eps)
        return normal if scale is None or shift is None else normal * scale + shift

    def pull(self, g: Tensor, saved: Any, values: Values, run: Run, affine: Affine) -> Tensor:
        """Go back, in place."""
        normal, inverse, _ = saved
        scale = values.get("scale")
        gain = 1.0 if scale is None else scale[:, None]
        affine(normal, g)
        # Take out what lies along the constant and along the normalised values themselves.
        if self.kind == "batch" and run.train:
            n_rows = g.shape[1]
            along = (g * normal).sum(1, keepdim=True).div_(-n_rows)
            g.sub_(g.mean(1, keepdim=True)).addcmul_(normal, along)
        elif self.kind == "layer":
            g.mul_(gain)
            if run.mask is not None:  # what a skip connection brings to padding goes nowhere
                g.mul_(run.mask[:, None])
            count = _count(g, run)
            constant = g.sum(2, keepdim=True).div_(count)
            along = (g * normal).sum(2, keepdim=True).div_(-count)
            return g.sub_(constant).addcmul_(normal, along).mul_(inverse)
        return g.mul_(gain * inverse)


_AFFINE = ("scale", "shift")


def _count(x: Tensor, run: Run) -> int | Tensor:
    """Return the number of true neurons."""
    return x.shape[2] if run.mask is None else run.mask[:, None].sum(2, keepdim=True)
