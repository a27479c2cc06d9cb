"""Divergence plus lam times violation: :class:`Objective`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skmeta._validation import check_option
from skmeta.requirements.base import Cells, Requirement
from skmeta.requirements.divergence import jensen_shannon
from skmeta.requirements.equalized_odds import EqualizedOdds

_BY_NAME = {"equalized_odds": EqualizedOdds}


def resolve_requirement(requirement: Any, owner: str) -> Requirement:
    """Turn a name into a requirement; a requirement is returned as it is."""
    if isinstance(requirement, Requirement):
        return requirement
    if isinstance(requirement, str):
        check_option("requirement", requirement, list(_BY_NAME), owner=owner)
        return _BY_NAME[requirement]()
    name = getattr(requirement, "__name__", "EqualizedOdds")
    raise TypeError(
        f"The 'requirement' parameter of {owner} must be one of "
        f"{', '.join(map(repr, _BY_NAME))} or an instance of Requirement. Got {requirement!r} "
        f"instead. Pass an instance, {name}()."
    )


@dataclass(frozen=True)
class Objective:
    """Eq. 12 of the paper on learned editing: divergence + lam * violation.

    Parameters
    ----------
    requirement : Requirement
        What the violation is of.
    """

    requirement: Requirement

    def divergence(self, original: Tensor, edited: Tensor, cells: Cells) -> Tensor:
        """Mean Jensen-Shannon divergence with each cell at its frequency, ``(n,)``."""
        return jensen_shannon(original, edited) @ cells.row_weights().to(edited)

    def loss(self, original: Tensor, edited: Tensor, cells: Cells, lam: Tensor) -> Tensor:
        """Differentiable objective of each network, ``(n,)``; ``lam`` is ``(n,)``."""
        divergence = self.divergence(original, edited, cells)
        return divergence + lam * self.requirement.violation(edited, cells)

    def exact(self, original: Tensor, edited: Tensor, cells: Cells, lam: Tensor) -> Tensor:
        """Objective with the exact measure in place of the violation, ``(n,)``."""
        with torch.no_grad():
            divergence = self.divergence(original, edited, cells)
            return divergence + lam * self.requirement.measure(edited, cells)
