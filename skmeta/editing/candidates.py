"""Edits of one network that are worth a look: :func:`taught_edits`, :func:`lam_edits`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from skmeta.datasets import Task
from skmeta.editing.fine_tuning import fine_tune
from skmeta.population import Population
from skmeta.requirements import FairTeacher, GroupFairness, Objective, Requirement, cross_entropy

TOLERANCES = (0.001, 0.03, 0.06, 0.1, 0.2)
COST_POWERS = (0.0, 0.5, 1.0)

_TAUGHT: dict[str, Any] = {"lam": 0.5, "n_steps": 150, "lr": 1e-2, "n_per_cell": 256}
_CLOSE: dict[str, Any] = {"n_steps": 150, "lr": 5e-3, "n_per_cell": 256}


def taught_edits(
    network: Population,
    task: Task,
    requirement: GroupFairness,
    random_state: int,
    counts: NDArray[np.int64] | None = None,
) -> tuple[Population, pd.DataFrame, FairTeacher]:
    """Teach a network the blind optimum, at many tolerances and costs of classes at once.

    The loss is the cross-entropy of a :class:`FairTeacher`'s soft labels, plus half the gap.

    Parameters
    ----------
    network : Population
        One network.
    task : Task
        Rows to train on.
    requirement : GroupFairness
        Which rates must agree.
    random_state : int
        Seed.
    counts : ndarray of int of shape (n_samples,), optional
        How often each row counts.

    Returns
    -------
    edits : Population
        One for each tolerance and power of costs.
    settings : DataFrame
        One row for each.
    teacher : FairTeacher
        Fitted to the rows.
    """
    teacher = FairTeacher(requirement, random_state=random_state).fit(task, counts=counts)
    grid = list(product(TOLERANCES, COST_POWERS))
    taught = np.stack([teacher.soft_labels(teacher.solve(*point)) for point in grid])
    if counts is not None:
        task = task.subset(np.repeat(np.arange(task.n_samples), counts))
        taught = np.repeat(taught, counts, axis=1)
    edits = fine_tune(
        network[np.zeros(len(grid), dtype=int)],
        task,
        Objective(requirement, cross_entropy),
        targets=torch.from_numpy(taught).log().to(network.dtype),
        random_state=random_state,
        **_TAUGHT,
    )
    settings = pd.DataFrame(grid, columns=["tolerance", "cost_power"])
    settings.insert(0, "method", "finetune")
    return edits, settings, teacher


def lam_edits(
    network: Population,
    task: Task,
    requirement: Requirement,
    lams: Sequence[float],
    random_state: int,
) -> tuple[Population, pd.DataFrame]:
    """Fine-tune a network on divergence + lam * violation, for several lam at once.

    Parameters
    ----------
    network : Population
        One network.
    task : Task
        Rows to train on.
    requirement : Requirement
        What is violated.
    lams : sequence of float
        Weights of the violation.
    random_state : int
        Seed.

    Returns
    -------
    edits : Population
        One for each lam.
    settings : DataFrame
        One row for each.
    """
    edits = fine_tune(
        network[np.zeros(len(lams), dtype=int)],
        task,
        Objective(requirement),
        lam=torch.tensor(lams),
        random_state=random_state,
        **_CLOSE,
    )
    return edits, pd.DataFrame({"method": "finetune", "lam": list(lams)})
