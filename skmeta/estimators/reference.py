"""Which rows a metanetwork sees networks on: :func:`representative_rows`."""

from __future__ import annotations

import numpy as np
import torch

from skmeta.datasets import Task
from skmeta.population import Population

_MAX_NETWORKS = 64


def representative_rows(task: Task, population: Population, n_per_cell: int) -> np.ndarray:
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
    n_per_cell : int
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
    for cell in np.unique(cells):
        members = np.flatnonzero(cells == cell)
        members = members[np.argsort(score[members], kind="stable")]
        n = min(n_per_cell, len(members))
        middles = (np.arange(n) + 0.5) * len(members) / n
        chosen.append(members[middles.astype(int)])
    return np.sort(np.concatenate(chosen))
