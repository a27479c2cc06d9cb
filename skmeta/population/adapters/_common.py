"""What all adapters share: the error, deltas, and one logistic unit as two logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.population.tensors import Record


class UnsupportedNetworkError(TypeError):
    """A network that an :class:`~skmeta.population.Architecture` cannot describe."""


def read_tensor(values: Tensor) -> Tensor:
    """Return a float32 copy on the CPU, detached from the source."""
    return values.detach().to("cpu", torch.float32).clone()


def moved(source: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return ``source`` changed by ``new - old``, in the dtype and place of ``source``.

    The difference is taken in float64; where it is zero the source stays bit by bit,
    the sign of a zero included. What became zero is written as zero: the difference would
    leave what float32 rounded off, and a pruned weight would still count.
    """
    source = source.detach()
    old, new = (value.detach().cpu().double() for value in (old, new))
    delta, gone = (value.to(source.device) for value in (new - old, new == 0))
    changed = (source.double() + delta).to(source.dtype).masked_fill(gone, 0.0)
    return torch.where(delta == 0, source, changed)


def split_logistic(value: Tensor) -> Tensor:
    """Return the rows of two logits ``(-w/2, +w/2)`` for one logistic unit ``w``."""
    return torch.cat([-value / 2, value / 2])


def join_logistic(value: Tensor) -> Tensor:
    """Return the logistic unit of two logits, their difference in float64."""
    value = value.double()
    return value[1:] - value[:1]


def check_absent(names: Sequence[dict[str, str]], old: Record, new: Record) -> None:
    """Refuse an edit of parameters that the network does not have."""
    for field in ("bias", "scale", "shift", "mean", "var"):
        for index, present in enumerate(names):
            before, after = (record.tensors[field][index] for record in (old, new))
            if field not in present and not torch.equal(before, after):
                raise ValueError(
                    f"The edit changes the {field} of layer {index + 1}, which the network does "
                    "not have. Multiply edits by Stack.trainable()."
                )
