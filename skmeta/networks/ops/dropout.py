"""Dropout: :class:`Dropout`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from skmeta._checks import check_in_range
from skmeta.networks.ops.base import Size, TailOp


@dataclass(frozen=True)
class Dropout(TailOp):
    """Set numbers to zero at random, in training only.

    Parameters
    ----------
    rate : float
        Share of the numbers.
    """

    rate: float

    def __post_init__(self) -> None:
        check_in_range("rate", self.rate, owner="Dropout", low=0, high=1, closed="left")
        object.__setattr__(self, "rate", float(self.rate))

    def commutes(self, group: str) -> bool:
        """Whether factors pass: always."""
        return True

    def module(self, width: int, size: Size) -> nn.Module:
        """Return an ``nn.Dropout``."""
        return nn.Dropout(self.rate)
