"""Which rows networks are looked at on, and what is remembered of them: :class:`Reference`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import lsqr

from skmeta.datasets import Task
from skmeta.editing.checks import cell_counts
from skmeta.population import Population
from skmeta.requirements import Requirement

_PROBE_ROWS = 64
_REFERENCE_ROWS = 512
_MAX_NETWORKS = 64
_LEAST_PER_CELL = 64


@dataclass(frozen=True)
class Reference:
    """What an editor knows of the task of ``fit`` beside its rows.

    Attributes
    ----------
    outline : Task
        Without rows: the names of features, labels and groups.
    counts : DataFrame
        Rows of every label (index) in every group (columns).
    rows : ndarray of int
        Numbers of the reference rows, ascending.
    """

    outline: Task
    counts: pd.DataFrame
    rows: np.ndarray

    @classmethod
    def of(cls, task: Task, rows: np.ndarray) -> Reference:
        """Remember a task and the reference rows that were chosen from it."""
        return cls(task.subset(np.empty(0, dtype=int)), cell_counts(task), rows)

    def check(self, task: Task, *, groups: bool) -> None:
        """Raise unless a task has the features, the labels and maybe the groups of ``fit``."""
        known = self.outline
        task.require_columns(
            known.column_names, "transform", "the task that the editor was fitted on"
        )
        came: dict[str, tuple[object, object]] = {
            "number of features": (task.n_features, known.n_features),
            "labels": (np.asarray(task.classes).tolist(), np.asarray(known.classes).tolist()),
        }
        if groups:
            here, there = (None if t.groups is None else t.groups.tolist() for t in (task, known))
            came["groups"] = (here, there)
        for what, (has, wanted) in came.items():
            if has != wanted:
                raise ValueError(
                    f"The 'task' parameter of transform must have the {what} of the task that "
                    f"the editor was fitted on, {wanted}. Got {has}. Pass rows of that table."
                )

    def rows_in(self, task: Task, features: str, requirement: Requirement | None) -> np.ndarray:
        """Return reference rows of a task: those of ``fit`` if it is the same table.

        As far as one can tell without its rows: it has as many of each label and group, and
        they are shared out as they were.
        """
        counts = cell_counts(task).to_numpy().ravel()
        if np.array_equal(counts, self.counts.to_numpy().ravel()):
            if features in ("weights", "probes"):
                return self.rows
            there = counts > 0
            wanted = np.minimum(rows_per_cell(task, requirement, _REFERENCE_ROWS), counts[there])
            chosen = np.bincount(task.cells()[self.rows], minlength=len(counts))
            if np.array_equal(chosen[there], wanted):
                return self.rows
        return reference_rows(features, requirement, task)


def reference_rows(
    features: str,
    requirement: Requirement | None,
    task: Task,
    *,
    population: Population | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Choose the rows of a task that networks are looked at on.

    Parameters
    ----------
    features : {"weights", "probes", "cells", "gradients"}
        None; some at random; representative ones of every (label, group) cell.
    requirement : Requirement or None
        Whether cells keep their proportions.
    task : Task
        Rows to choose from.
    population : Population, optional
        Networks of the task that say which rows are alike. Without them a linear model says
        it, so that the choice does not depend on the networks that are to be edited.
    seed : int, default=0
        Draws rows at random.

    Returns
    -------
    ndarray of int
        Row numbers, ascending.
    """
    if features == "weights":
        return np.empty(0, dtype=int)
    if features == "probes":
        return np.sort(np.random.default_rng(seed).permutation(task.n_samples)[:_PROBE_ROWS])
    score = _linear_score(task) if population is None else _mean_probability(task, population)
    return representative_rows(task, score, rows_per_cell(task, requirement, _REFERENCE_ROWS))


def rows_per_cell(task: Task, requirement: Requirement | None, n_rows: int) -> np.ndarray:
    """Share rows out among the (label, group) cells of a task.

    Parameters
    ----------
    task : Task
        Its cells count.
    requirement : Requirement or None
        Whether cells keep their proportions; else all get as many rows, at least 64.
    n_rows : int
        About how many in all.

    Returns
    -------
    ndarray of int of shape (n_cells,)
        For the cells that have rows, at least one each.
    """
    counts = np.unique(task.cells(), return_counts=True)[1]
    if requirement is not None and requirement.proportional_rows:
        return np.maximum(np.round(n_rows * counts / counts.sum()).astype(int), 1)
    return np.full(len(counts), max(n_rows // len(counts), _LEAST_PER_CELL))


def representative_rows(task: Task, score: np.ndarray, n_per_cell: np.ndarray) -> np.ndarray:
    """Choose rows of each (label, group) cell that stand for all rows of the cell.

    A systematic sample along a score of the row's own label: the rates of one network on a
    few hundred such rows are several times closer to its rates on all rows than on a random
    sample of that size, because networks of one task order the rows alike.

    Parameters
    ----------
    task : Task
        Rows to choose from.
    score : ndarray of shape (n_samples,)
        How plausible each row's label is.
    n_per_cell : ndarray of int of shape (n_cells,)
        Rows per cell; a smaller cell gives all it has.

    Returns
    -------
    ndarray of int
        Row numbers, ascending.
    """
    cells, chosen = task.cells(), []
    for cell, wanted in zip(np.unique(cells), n_per_cell, strict=True):
        members = np.flatnonzero(cells == cell)
        members = members[np.argsort(score[members], kind="stable")]
        n = min(wanted, len(members))
        middles = (np.arange(n) + 0.5) * len(members) / n
        chosen.append(members[middles.astype(int)])
    return np.sort(np.concatenate(chosen))


def _mean_probability(task: Task, population: Population) -> np.ndarray:
    """Mean probability of each row's label over 64 networks, evenly spaced."""
    some = population[np.unique(np.linspace(0, len(population) - 1, _MAX_NETWORKS).astype(int))]
    X, y, _ = task.tensors(population.device)
    with torch.no_grad():
        mean = some.forward(X).softmax(-1).mean(0)
    return mean.gather(1, y[:, None])[:, 0].cpu().numpy()


def _linear_score(task: Task) -> np.ndarray:
    """Ridge regression of each row's label on the features."""
    X = task.X - task.X.mean(0, dtype=np.float64).astype(task.X.dtype)
    score = np.empty(task.n_samples)
    for label in np.unique(task.y):
        target = (task.y == label).astype(np.float64)
        slope = lsqr(X, target - target.mean(), damp=1.0, atol=1e-4, btol=1e-4)[0]
        rows = task.y == label
        score[rows] = X[rows] @ slope + target.mean()
    return score
