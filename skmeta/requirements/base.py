"""What an edit must bring about: :class:`Requirement`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skmeta.datasets import Task
from skmeta.requirements.rates import cell_frequencies


@dataclass(frozen=True)
class Cells:
    """Which (label, group) cell each row belongs to, and how frequent each cell is.

    Attributes
    ----------
    codes : Tensor of int of shape (n_samples,)
        ``label * n_groups + group``.
    frequencies : Tensor of shape (n_labels, n_groups)
        Shares in the task, which a stratified sample of rows does not show.
    """

    codes: Tensor
    frequencies: Tensor

    @classmethod
    def of(cls, task: Task, device: str | torch.device = "cpu") -> Cells:
        """Cells of all rows of a task."""
        codes = torch.as_tensor(task.cells())
        frequencies = cell_frequencies(codes, task.n_classes, task.n_groups)
        return cls(codes.to(device), frequencies.to(device))

    def take(self, rows: Tensor) -> Cells:
        """Cells of some rows; the frequencies stay those of the task."""
        return Cells(self.codes[rows], self.frequencies)

    def row_weights(self) -> Tensor:
        """Weights that sum to 1 and give each cell its frequency in the task, ``(n_samples,)``."""
        flat = self.frequencies.flatten()
        counts = torch.bincount(self.codes, minlength=len(flat)).clamp_min(1)
        weights = (flat / counts)[self.codes]
        return weights / weights.sum()


class Requirement(BaseEstimator, ABC):
    """A requirement on the predictions of a network.

    Subclasses say how large the violation is; both functions return one value per network.
    """

    needs_sensitive = True

    @abstractmethod
    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Differentiable relaxation, ``(n, n_samples, n_classes) -> (n,)``."""

    @abstractmethod
    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Exact value of the hard predictions, ``(n, n_samples, n_classes) -> (n,)``."""

    @abstractmethod
    def directions(self, logits: Tensor, cells: Cells) -> Tensor:
        """Smooth parts of the violation whose gradients a metanetwork sees, ``(n, n_parts)``."""
