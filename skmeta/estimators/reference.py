"""Which rows networks are looked at on: :func:`rows_per_cell`, :func:`representative_rows`."""

from __future__ import annotations

import numpy as np
import torch

from skmeta.datasets import Task
from skmeta.population import Population
from skmeta.requirements import Requirement

_MAX_NETWORKS = 64
_LEAST_PER_CELL = 64


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


def representative_rows(task: Task, population: Population, n_per_cell: np.ndarray) -> np.ndarray:
    """Choose rows of each (label, group) cell that stand for all rows of the cell.

    A systematic sample along the population's mean probability of the row's own label:
    the rates of one network on a few hundred such rows are several times closer to its
    rates on all rows than on a random sample of that size, because networks of one task
    order the rows alike.

    Parameters
    ----------
    task : Task
        Rows to choose from.
    population : Population
        Networks of the task; 64 of them, evenly spaced, are run.
    n_per_cell : ndarray of int of shape (n_cells,)
        Rows per cell; a smaller cell gives all it has.

    Returns
    -------
    ndarray of int
        Row numbers, ascending.
    """
    some = population[np.unique(np.linspace(0, len(population) - 1, _MAX_NETWORKS).astype(int))]
    X, y, _ = task.tensors(population.device)
    with torch.no_grad():
        mean = some.forward(X).softmax(-1).mean(0)
    score = mean.gather(1, y[:, None])[:, 0].cpu().numpy()
    cells, chosen = task.cells(), []
    for cell, wanted in zip(np.unique(cells), n_per_cell, strict=True):
        members = np.flatnonzero(cells == cell)
        members = members[np.argsort(score[members], kind="stable")]
        n = min(wanted, len(members))
        middles = (np.arange(n) + 0.5) * len(members) / n
        chosen.append(members[middles.astype(int)])
    return np.sort(np.concatenate(chosen))
