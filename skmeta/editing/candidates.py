"""Edits of one network that are worth a look: :func:`taught_edits`, :func:`lam_edits`.

They are of two kinds: "finetune" trains all weights; "posthoc" the last stage only, which corrects
the outputs by a linear function of what the network knows. On thirteen tables (ten splits of each)
both left about the same gap, and so did the better one on held-out rows; where is not the same.
"""

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
from skmeta.editing.teaching import objective_of
from skmeta.population import Population
from skmeta.requirements import FairTeacher, GroupFairness, Requirement

KINDS = ("finetune", "posthoc")
TOLERANCES = (0.001, 0.03, 0.06, 0.1, 0.2)
COST_POWERS = (0.0, 0.5, 1.0)

_TAUGHT: dict[str, Any] = {"lam": 0.5, "n_steps": 150, "lr": 1e-2, "n_per_cell": 256}
_CLOSE: dict[str, Any] = {"n_steps": 150, "lr": 5e-3, "n_per_cell": 256}


def taught_edits(
    network: Population,
    task: Task,
    requirement: GroupFairness,
    random_state: int,
    kinds: Sequence[str] = KINDS,
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
    kinds : sequence of {"finetune", "posthoc"}
        Which weights are trained, each at all settings.
    counts : ndarray of int of shape (n_samples,), optional
        How often each row counts.

    Returns
    -------
    edits : Population
        One for each kind, tolerance and power of costs.
    settings : DataFrame
        One row for each.
    teacher : FairTeacher
        Fitted to the rows.
    """
    teacher = FairTeacher(requirement, random_state=random_state).fit(task, counts=counts)
    grid = list(product(TOLERANCES, COST_POWERS))
    soft_labels = [teacher.soft_labels(teacher.solve(*point)) for point in grid]
    taught = np.stack(soft_labels * len(kinds))
    if counts is not None:
        task = task.subset(np.repeat(np.arange(task.n_samples), counts))
        taught = np.repeat(taught, counts, axis=1)
    edits = fine_tune(
        network[np.zeros(len(taught), dtype=int)],
        task,
        objective_of(requirement, taught=True),
        targets=torch.from_numpy(taught).log().to(network.dtype),
        last_stage_only=_last_stage_only(kinds, len(grid)),
        random_state=random_state,
        **_TAUGHT,
    )
    settings = pd.DataFrame(grid * len(kinds), columns=["tolerance", "cost_power"])
    settings.insert(0, "method", np.repeat(kinds, len(grid)))
    return edits, settings, teacher


def lam_edits(
    network: Population,
    task: Task,
    requirement: Requirement,
    lams: Sequence[float],
    random_state: int,
    kinds: Sequence[str] = KINDS,
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
    kinds : sequence of {"finetune", "posthoc"}
        Which weights are trained, each at all lam.

    Returns
    -------
    edits : Population
        One for each kind and lam.
    settings : DataFrame
        One row for each.
    """
    edits = fine_tune(
        network[np.zeros(len(lams) * len(kinds), dtype=int)],
        task,
        objective_of(requirement, taught=False),
        lam=torch.tensor([*lams] * len(kinds)),
        last_stage_only=_last_stage_only(kinds, len(lams)),
        random_state=random_state,
        **_CLOSE,
    )
    settings = {"method": np.repeat(kinds, len(lams)), "lam": [*lams] * len(kinds)}
    return edits, pd.DataFrame(settings)


def _last_stage_only(kinds: Sequence[str], n: int) -> torch.Tensor:
    return torch.tensor([kind == "posthoc" for kind in kinds]).repeat_interleave(n)
