"""What an edit must bring about: :class:`Requirement`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sklearn.base import BaseEstimator
from torch import Tensor

from skmeta.datasets import Cells


class Requirement(BaseEstimator, ABC):
    """A requirement on the predictions of a network.

    Subclasses say how large the violation is; all functions return one value per network.
    """

    @property
    def needs_sensitive(self) -> bool:
        """Whether it compares groups."""
        return True

    @property
    def needs_labels(self) -> bool:
        """Whether it compares groups label by label, so that each must have all labels."""
        return True

    @property
    def proportional_rows(self) -> bool:
        """Whether it must see cells at their frequencies; else it sees as many rows of each."""
        return False

    def check(self, owner: str) -> None:
        """Raise unless the parameters make sense.

        Parameters
        ----------
        owner : str
            Who asks, for messages.
        """

    def check_cells(self, cells: Cells) -> None:
        """Raise unless there are rows of all that is compared.

        Parameters
        ----------
        cells : Cells
            The labels and groups of the rows that will be looked at.
        """
        if self.needs_sensitive:
            require = cells.require_all if self.needs_labels else cells.require_groups
            require(type(self).__name__)

    @abstractmethod
    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Differentiable relaxation of :meth:`measure`.

        Parameters
        ----------
        logits : Tensor of shape (n, n_samples, n_classes)
            Outputs of the networks.
        cells : Cells
            Label and group of each row.

        Returns
        -------
        Tensor of shape (n,)
            One value per network.
        """

    @abstractmethod
    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Exact value of the hard predictions.

        Parameters
        ----------
        logits : Tensor of shape (n, n_samples, n_classes)
            Outputs of the networks.
        cells : Cells
            Label and group of each row.

        Returns
        -------
        Tensor of shape (n,)
            One value per network.
        """

    def directions(self, logits: Tensor, cells: Cells) -> Tensor:
        """Smooth parts of the violation whose gradients a metanetwork sees.

        Parameters
        ----------
        logits : Tensor of shape (n, n_samples, n_classes)
            Outputs of the networks.
        cells : Cells
            Label and group of each row.

        Returns
        -------
        Tensor of shape (n, n_parts)
            Here one part, the violation.
        """
        return self.violation(logits, cells)[:, None]
