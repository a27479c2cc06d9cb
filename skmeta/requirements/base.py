"""What an edit must bring about: :class:`Requirement`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skmeta.datasets import Task
from skmeta.requirements.rates import cell_frequencies


@dataclass(frozen=True)
class Cells:
    """Which (label, group) cell each row belongs to, and how frequent each cell is.

    Build it with :meth:`of`. A cell may lack rows in the task, but only requirements that
    compare groups whatever their labels work then: a rate over nothing is no rate.

    Attributes
    ----------
    codes : Tensor of int of shape (n_samples,)
        ``label * n_groups + group``.
    frequencies : Tensor of shape (n_labels, n_groups)
        Shares in the task, which a stratified sample of rows does not show.
    labels, groups : tuple of str
        Names, for messages.

    Examples
    --------
    >>> from skmeta.datasets import Task
    >>> from skmeta.requirements import Cells
    >>> X = [[0.0]] * 4
    >>> Cells.of(Task(X, [0, 1, 0, 1], sensitive_features=["f", "f", "m", "m"])).frequencies
    tensor([[0.2500, 0.2500],
            [0.2500, 0.2500]], dtype=torch.float64)
    >>> cells = Cells.of(Task(X, [0, 1, 0, 0], sensitive_features=["f", "f", "m", "m"]))
    >>> cells.require_all("EqualizedOdds")
    Traceback (most recent call last):
        ...
    ValueError: EqualizedOdds needs at least one row of every label in every group. Got none of
    label '1' in group 'm'. Use more rows, merge or leave out groups that lack a label, or ask
    for 'demographic_parity', which does not look at labels.
    """

    codes: Tensor
    frequencies: Tensor
    labels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse rows that leave out a cell of the task."""
        counts = torch.bincount(self.codes, minlength=self.frequencies.numel())
        lost = (counts == 0) & (self.frequencies.flatten() > 0)
        if lost.any():
            raise ValueError(
                "Cells need at least one row of every label in every group of the task. Got none "
                f"of {self._names(lost)}. Take rows of each, as Task.stratified_sample does."
            )

    def require_all(self, owner: str) -> None:
        """Raise unless the task has rows of every label in every group.

        Parameters
        ----------
        owner : str
            Who needs them, for messages.
        """
        empty = self.frequencies.flatten() == 0
        if empty.any():
            raise ValueError(
                f"{owner} needs at least one row of every label in every group. Got none of "
                f"{self._names(empty)}. Use more rows, merge or leave out groups that lack a "
                "label, or ask for 'demographic_parity', which does not look at labels."
            )

    def require_groups(self, owner: str) -> None:
        """Raise unless the task has rows of every group.

        Parameters
        ----------
        owner : str
            Who needs them, for messages.
        """
        empty = (self.frequencies.sum(0) == 0).nonzero().flatten().tolist()
        if empty:
            names = [repr(self.groups[s] if self.groups else str(s)) for s in empty]
            raise ValueError(
                f"{owner} needs at least one row of every group. Got none of {', '.join(names)}. "
                "Use more rows, or merge or leave out groups."
            )

    def _names(self, which: Tensor) -> str:
        n_labels, n_groups = self.frequencies.shape
        labels = self.labels or tuple(map(str, range(n_labels)))
        groups = self.groups or tuple(map(str, range(n_groups)))
        pairs = [divmod(code, n_groups) for code in which.nonzero().flatten().tolist()]
        return ", ".join(f"label {labels[y]!r} in group {groups[s]!r}" for y, s in pairs)

    @classmethod
    def of(cls, task: Task, device: str | torch.device = "cpu") -> Cells:
        """Cells of all rows of a task.

        Parameters
        ----------
        task : Task
            A classification task; without sensitive features all rows are one group.
        device : str or torch.device, default="cpu"
            Where the tensors live.

        Returns
        -------
        Cells
            With the names of labels and groups.

        Raises
        ------
        ValueError
            If the task is a regression, or if a cell is empty.
        """
        if task.classes is None:
            raise ValueError(
                "Cells need a classification task. Got a regression task instead. Pass labels "
                "(int, str or bool) as y."
            )
        codes = torch.as_tensor(task.cells())
        frequencies = cell_frequencies(codes, task.n_classes, task.n_groups)
        groups = ["all"] if task.groups is None else task.groups
        names = [tuple(map(str, values)) for values in (task.classes, groups)]
        return cls(codes.to(device), frequencies.to(device), *names)

    def take(self, rows: Tensor) -> Cells:
        """Cells of some rows; the frequencies stay those of the task.

        Parameters
        ----------
        rows : Tensor of int
            Positions of the rows.

        Returns
        -------
        Cells
            In the order of ``rows``.
        """
        return replace(self, codes=self.codes[rows])

    def row_weights(self) -> Tensor:
        """Weights that give each cell its frequency in the task.

        Returns
        -------
        Tensor of shape (n_samples,)
            They sum to 1.
        """
        flat = self.frequencies.flatten()
        counts = torch.bincount(self.codes, minlength=len(flat))
        return (flat / counts)[self.codes]


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
