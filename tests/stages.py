"""Stages in few words, for tests: :func:`layer`; tensors of records: :func:`of_field`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from skmeta.networks import Activate, Conv, Dropout, Linear, Norm, Pool, Record, Skip, Stage


def layer(
    width: int,
    activation: str = "identity",
    norm: str = "none",
    *,
    norm_after: bool = False,
    skips: Sequence[int] = (),
    skip_before: bool = False,
    dropout: float = 0.0,
    bias: bool = True,
    affine: bool = True,
    eps: float = 1e-5,
    kernel: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    pool: str = "none",
) -> Stage:
    """Return a stage: norm and skips before or after the activation, then dropout and pooling."""
    mix = Linear(width, bias) if kernel is None else Conv(width, kernel, stride, padding, bias)
    norms = [] if norm == "none" else [Norm(norm, affine, eps)]
    added = [Skip(source) for source in skips]
    tail = [] if norm_after else list(norms)
    tail += added if skip_before else []
    tail.append(Activate(activation))
    tail += norms if norm_after else []
    tail += [] if skip_before else added
    tail += [Dropout(dropout)] + ([] if pool == "none" else [Pool(pool)])
    return Stage(mix, *tail)


def of_field(record: Record, field: str) -> list[Tensor]:
    """Return the tensors of a field of a network, stage by stage, of the stages that have it."""
    return [record.tensors[s.name] for s in record.architecture.slots if s.field == field]
