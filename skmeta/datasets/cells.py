"""Which (label, group) cell each row of a task belongs to: :class:`Cells`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skmeta.datasets.task import Task


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
    missing : tuple of (int, int)
        Labels and groups of the cells that the task lacks. A step of training asks for them, and
        shall not wait for numbers of a device.

    Examples
    --------
    >>> from skmeta.datasets import Cells, Task
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
    missing: tuple[tuple[int, int], ...] = ()

    @property
    def counts(self) -> Tensor:
        """Number of rows of each cell, ``(n_labels, n_groups)``."""
        counts = torch.bincount(self.codes, minlength=self.frequencies.numel())
        return counts.view(self.frequencies.shape)

    def require_all(self, owner: str) -> None:
        """Raise unless the task has rows of every label in every group.

        Parameters
        ----------
        owner : str
            Who needs them, for messages.
        """
        if self.missing:
            raise ValueError(
                f"{owner} needs at least one row of every label in every group. Got none of "
                f"{self._names(self.missing)}. Use more rows, merge or leave out groups that lack "
                "a label, or ask for 'demographic_parity', which does not look at labels."
            )

    def require_groups(self, owner: str) -> None:
        """Raise unless the task has rows of every group.

        Parameters
        ----------
        owner : str
            Who needs them, for messages.
        """
        n_labels, n_groups = self.frequencies.shape
        lacking = Counter(group for _, group in self.missing)
        empty = [group for group in range(n_groups) if lacking[group] == n_labels]
        if empty:
            names = [repr(self.groups[s] if self.groups else str(s)) for s in empty]
            raise ValueError(
                f"{owner} needs at least one row of every group. Got none of {', '.join(names)}. "
                "Use more rows, or merge or leave out groups."
            )

    def _names(self, which: Iterable[Sequence[int]]) -> str:
        n_labels, n_groups = self.frequencies.shape
        labels = self.labels or tuple(map(str, range(n_labels)))
        groups = self.groups or tuple(map(str, range(n_groups)))
        return ", ".join(f"label {labels[y]!r} in group {groups[s]!r}" for y, s in which)

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
        shape = task.n_classes, task.n_groups
        counts = torch.bincount(codes, minlength=math.prod(shape)).double().view(shape)
        groups = ["all"] if task.groups is None else task.groups
        labels = tuple(map(str, task.classes))
        missing = tuple((y, s) for y, s in (counts == 0).nonzero().tolist())
        return cls(
            codes.to(device),
            (counts / counts.sum()).to(device),
            labels,
            tuple(map(str, groups)),
            missing,
        )

    def take(self, rows: Tensor, *, stratified: bool = False) -> Cells:
        """Cells of some rows; the frequencies stay those of the task.

        Parameters
        ----------
        rows : Tensor of int
            Positions of the rows.
        stratified : bool, default=False
            Say that there are rows of all cells: nothing is checked then.

        Returns
        -------
        Cells
            In the order of ``rows``.

        Raises
        ------
        ValueError
            If the rows leave out a cell of the task.
        """
        taken = replace(self, codes=self.codes[rows])
        if stratified:
            return taken
        lost = ((taken.counts == 0) & (self.frequencies > 0)).nonzero().tolist()
        if lost:
            raise ValueError(
                "Cells need at least one row of every label in every group of the task. Got none "
                f"of {self._names(lost)}. Take rows of each, as Task.stratified_sample does."
            )
        return taken

    def row_weights(self) -> Tensor:
        """Weights that give each cell its frequency in the task.

        Returns
        -------
        Tensor of shape (n_samples,)
            They sum to 1.
        """
        return (self.frequencies / self.counts).flatten()[self.codes]
