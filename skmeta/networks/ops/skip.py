"""Skip connections: :class:`Skip`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from skmeta._checks import check_in_range
from skmeta.networks.ops.base import Size, TailOp


@dataclass(frozen=True)
class Skip(TailOp):
    """Add an earlier state; a narrower one is padded with zeros at its end.

    Parameters
    ----------
    source : int
        The state: 0 is the input, ``k`` the output of the stage with number ``k - 1``.
    """

    source: int

    def __post_init__(self) -> None:
        check_in_range("source", self.source, owner="Skip", low=0, kind="int")
        object.__setattr__(self, "source", int(self.source))

    def commutes(self, group: str) -> bool:
        """Whether factors pass: the source has the same ones."""
        return True

    def module(self, width: int, size: Size) -> nn.Module | None:
        """Return None: it takes two states."""
        return None
