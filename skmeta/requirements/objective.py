"""Divergence plus lam times violation: :class:`Objective`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skmeta.datasets import Cells
from skmeta.requirements.base import Requirement
from skmeta.requirements.divergence import jensen_shannon


@dataclass(frozen=True)
class Objective:
    """Eq. 12 of the paper on learned editing: divergence + lam * violation.

    Parameters
    ----------
    requirement : Requirement or None
        What the violation is of; without one the objective is the divergence.
    distance : callable, default=jensen_shannon
        ``distance(original, edited) -> (..., n_samples)`` of logits, row by row. With
        :func:`kullback_leibler` the original may be a teacher.
    """

    requirement: Requirement | None
    distance: Callable[[Tensor, Tensor], Tensor] = jensen_shannon

    def divergence(self, original: Tensor, edited: Tensor, cells: Cells) -> Tensor:
        """Mean distance with each cell at its frequency.

        Parameters
        ----------
        original, edited : Tensor of shape (n, n_samples, n_classes)
            Logits before and after the edit.
        cells : Cells
            Label and group of each row.

        Returns
        -------
        Tensor of shape (n,)
            In nats.
        """
        return self.distance(original, edited) @ cells.row_weights().to(edited)

    def loss(self, original: Tensor, edited: Tensor, cells: Cells, lam: Tensor) -> Tensor:
        """Differentiable objective.

        Parameters
        ----------
        original, edited : Tensor of shape (n, n_samples, n_classes)
            Logits before and after the edit.
        cells : Cells
            Label and group of each row.
        lam : Tensor of shape (n,)
            Weight of the violation.

        Returns
        -------
        Tensor of shape (n,)
            One value per network.
        """
        divergence = self.divergence(original, edited, cells)
        if self.requirement is None:
            return divergence
        return divergence + lam * self.requirement.violation(edited, cells)

    def exact(self, original: Tensor, edited: Tensor, cells: Cells, lam: Tensor) -> Tensor:
        """Objective with the exact measure in place of the violation.

        Parameters
        ----------
        original, edited : Tensor of shape (n, n_samples, n_classes)
            Logits before and after the edit.
        cells : Cells
            Label and group of each row.
        lam : Tensor of shape (n,)
            Weight of the measure.

        Returns
        -------
        Tensor of shape (n,)
            One value per network, without gradients.
        """
        with torch.no_grad():
            divergence = self.divergence(original, edited, cells)
            if self.requirement is None:
                return divergence
            return divergence + lam * self.requirement.measure(edited, cells)
