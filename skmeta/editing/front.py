"""Many candidates for one network, and what they do on rows: :class:`Front`, :func:`observe`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmeta.datasets import Cells, Task
from skmeta.population import Population, Stack, run_networks
from skmeta.requirements import Requirement

POINTS = (0.25, 0.5, 0.75, 1.0)
"""How far from the network to its edit a candidate stands, in the space of weights."""

SHIFT = 0.15
"""By how much a candidate's output bias favours a class, in logits."""

_LEAST_CHANCE = 1e-9


@dataclass(frozen=True)
class Front:
    """Candidates for one network: points between it and its edits, with shifts of the output.

    Candidate 0 is what edits are compared with: the network as it is, or the classifier that it has
    learned from; the network comes next then. A shift favours one class over the mean of the
    others; a network whose last stage has no bias of its own gets none.

    Attributes
    ----------
    original : Population
        One network.
    edits : Population
        Edits of it.
    settings : DataFrame
        What made each edit, one row for each.
    points : tuple of float
        Where candidates stand between the network (0) and the edit (1).
    shifts : tuple of int
        The class that is favoured; -1 is none.
    source : classifier or None
        What the network has learned from.
    """

    original: Population
    edits: Population
    settings: pd.DataFrame
    points: tuple[float, ...]
    shifts: tuple[int, ...]
    source: Any = None

    @classmethod
    def of(
        cls,
        original: Population,
        edits: Population,
        settings: pd.DataFrame,
        source: Any = None,
    ) -> Front:
        """Put the candidates of some edits together.

        Parameters
        ----------
        original : Population
            One network.
        edits : Population
            Edits of it.
        settings : DataFrame
            One row for each edit.
        source : classifier, optional
            What the network has learned from.

        Returns
        -------
        Front
        """
        [(_, stack)] = original.blocks
        n_classes = stack.architectures[0].n_outputs
        shifts = (-1, *range(n_classes)) if _output_bias(stack) is not None else (-1,)
        return cls(original, edits, settings, POINTS, shifts, source)

    @classmethod
    def single(
        cls,
        original: Population,
        edit: Population,
        settings: pd.DataFrame,
        source: Any = None,
    ) -> Front:
        """Take one edit as it is, as the only candidate beside the network.

        Parameters
        ----------
        original, edit : Population
            One network before and after.
        settings : DataFrame
            One row.
        source : classifier, optional
            What the network has learned from.

        Returns
        -------
        Front
        """
        return cls(original, edit, settings, (1.0,), (-1,), source)

    @property
    def table(self) -> pd.DataFrame:
        """What each candidate is, one row for each."""
        parts = [
            self.settings.assign(edit=range(len(self.edits)), point=point, favours=shift)
            for point in self.points
            for shift in self.shifts
        ]
        names = ["original"] if self.source is None else ["source", "original"]
        first = pd.DataFrame({"method": names, "edit": -1, "point": 0.0, "favours": -1})
        columns = [*self.settings.columns, "edit", "point", "favours"]
        return pd.concat([first, *parts], ignore_index=True)[columns]

    def pieces(self, task: Task, X: NDArray | None = None) -> Iterator[Tensor]:
        """Run the candidates on rows, some at once, in the order of the table.

        Parameters
        ----------
        task : Task
            The rows.
        X : ndarray of shape (n_samples, n_features), optional
            The same in the type that the source takes, by default that of the task: trees have
            thresholds that rounding would cross.

        Yields
        ------
        Tensor of shape (n_some, n_samples, n_classes)
            Logits.
        """
        if self.source is not None:
            rows = task.X if X is None else X
            chances = np.maximum(self.source.predict_proba(rows), _LEAST_CHANCE)
            yield torch.from_numpy(np.log(chances))[None]
        yield run_networks(self.original, task)
        for point in self.points:
            logits = run_networks(self._at(point), task)
            for shift in self.shifts:
                yield logits + _favour(shift, logits)

    def network(self, candidate: int) -> Population:
        """Make a candidate.

        Parameters
        ----------
        candidate : int
            Row of the table, of a network.

        Returns
        -------
        Population
            One network.
        """
        row = self.table.loc[candidate]
        if row["method"] == "source":
            raise ValueError(f"Candidate {candidate} is no network, but what it has learned from.")
        if row["method"] == "original":
            return self.original
        one = Front(self.original, self.edits[[int(row["edit"])]], self.settings, (), ())
        moved = one._at(row["point"])
        shift = int(row["favours"])

        def shifted(stack: Stack) -> Stack:
            flat = stack.weights.flat.clone()
            moved = stack.with_weights(stack.weights.with_flat(flat))
            bias = _output_bias(moved)
            if bias is not None:
                bias += _favour(shift, bias)
            return moved

        return moved if shift < 0 else moved.map(shifted)

    def _at(self, point: float) -> Population:
        if point == 1:
            return self.edits
        originals = self.original[np.zeros(len(self.edits), dtype=int)]
        return self.edits.map(
            lambda edited, stack: edited.with_weights(
                stack.weights + (edited.weights - stack.weights) * point
            ),
            originals,
        )


def _output_bias(stack: Stack) -> Tensor | None:
    """Return the biases ``(n, n_classes)`` that are added to the outputs last, if there are any."""
    name = f"{stack.depth - 1}.bias"
    if stack.architectures[0].stages[-1].tail or name not in stack.weights:
        return None
    return stack.weights[name] if stack.present()[name].all() else None


def _favour(shift: int, like: Tensor) -> Tensor:
    """Return what is added to the logits of all classes; it sums to zero."""
    change = like.new_zeros(like.shape[-1])
    if shift >= 0:
        change[shift] = SHIFT
        change -= change.mean()
    return change


@dataclass(frozen=True)
class Observed:
    """What candidates decide on rows, and the requirement's measure of it.

    Attributes
    ----------
    decisions : ndarray of int of shape (n_candidates, n_samples)
        Predicted classes; -1 where outputs are not finite.
    gaps : ndarray of shape (n_candidates,)
        The exact measure.
    y : ndarray of int of shape (n_samples,)
        Labels.
    cells : Cells
        Label and group of each row.
    folds : ndarray of int of shape (n_samples,) or None
        Which network has decided each row, if there are several.
    ids : ndarray of int of shape (n_samples,) or None
        What each row is a copy of, if rows stand as often as they weigh.
    evidence : float
        How many independent rows each counts for.
    """

    decisions: NDArray[np.int16]
    gaps: NDArray[np.float64]
    y: NDArray[np.int64]
    cells: Cells
    folds: NDArray[np.intp] | None = None
    ids: NDArray[np.intp] | None = None
    evidence: float = 1.0

    @property
    def n_classes(self) -> int:
        """Number of labels."""
        return len(self.cells.frequencies)

    def of(self, candidates: Sequence[int]) -> Observed:
        """Look at some candidates only."""
        return replace(self, decisions=self.decisions[candidates], gaps=self.gaps[candidates])

    def recalls(self) -> NDArray[np.float64]:
        """Share of the rows of each class that each candidate gets right, ``(n, n_classes)``.

        It is nan where there are no rows of a class.
        """
        members = self.y == np.arange(self.n_classes)[:, None]
        right = (self.decisions == self.y).astype(np.float64)
        return per_class(right, members)

    def selected(self) -> NDArray[np.float64]:
        """Share of the rows for which each candidate decides for each class."""
        return np.stack([(self.decisions == k).mean(1) for k in range(self.n_classes)], 1)


def per_class(values: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average values ``(n, n_samples)`` over the rows of each class; nan where it has none."""
    sizes = members.sum(1)
    return values @ members.T / np.where(sizes > 0, sizes, np.nan)


def observe(
    fronts: Sequence[Front],
    tasks: Sequence[Task],
    requirement: Requirement | None,
    rows: Sequence[NDArray | None] | None = None,
) -> Observed:
    """Look at the same candidates of one network or of several, each on rows of its own.

    Parameters
    ----------
    fronts : sequence of Front
        Made in the same way: of the networks of several folds, for instance.
    tasks : sequence of Task
        The rows of each.
    requirement : Requirement or None
        Measured over all rows together; without one gaps are 0.
    rows : sequence of ndarray, optional
        The rows of each task as its front's source takes them, see :meth:`Front.pieces`.

    Returns
    -------
    Observed
        The rows of the first task come first.
    """
    cells = [Cells.of(task) for task in tasks]
    counts = torch.stack([c.counts for c in cells]).sum(0).double()
    missing = tuple((y, s) for y, s in (counts == 0).nonzero().tolist())
    codes = torch.cat([c.codes for c in cells])
    whole = Cells(codes, counts / counts.sum(), cells[0].labels, cells[0].groups, missing)
    rows = [None] * len(tasks) if rows is None else rows
    runs = [f.pieces(task, X) for f, task, X in zip(fronts, tasks, rows, strict=True)]
    decisions, gaps = [], []
    for parts in zip(*runs, strict=True):
        logits = torch.cat([part.cpu() for part in parts], 1)
        finite = logits.isfinite().all(-1)
        decisions.append(torch.where(finite, logits.argmax(-1), -1).to(torch.int16))
        gap = torch.zeros(len(logits))
        gaps.append(gap if requirement is None else requirement.measure(logits, whole).cpu())
    return Observed(
        torch.cat(decisions).numpy(),
        torch.cat(gaps).double().numpy(),
        np.concatenate([task.y for task in tasks]),
        whole,
        None if len(tasks) == 1 else np.repeat(range(len(tasks)), [t.n_samples for t in tasks]),
    )
