"""What an edit stays close to: the network's own predictions, or a teacher's decisions."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from skmeta.datasets import Task
from skmeta.requirements import (
    FairTeacher,
    Joint,
    Objective,
    Requirement,
    jensen_shannon,
    kullback_leibler,
    resolve_requirement,
)


def objective_of(requirement: Requirement | None, *, taught: bool) -> Objective:
    """Return what an edit minimises.

    Parameters
    ----------
    requirement : Requirement or None
        What the violation is of.
    taught : bool
        Whether it learns from a teacher.
    """
    return Objective(requirement, kullback_leibler if taught else jensen_shannon)


def check_teacher(teacher: Any, requirement: Requirement | None, owner: str) -> None:
    """Raise unless a teacher teaches this requirement, or is None.

    Parameters
    ----------
    teacher : FairTeacher or None
        What the user passed.
    requirement : Requirement or None
        What networks must fulfil.
    owner : str
        Who asks, for messages.
    """
    if teacher is None:
        return
    if not isinstance(teacher, FairTeacher):
        raise TypeError(
            f"The 'teacher' parameter of {owner} must be a FairTeacher or None. Got {teacher!r}."
        )
    if isinstance(requirement, Joint):
        raise ValueError(
            f"The 'teacher' parameter of {owner} cannot teach several requirements at once. Got "
            f"{requirement!r}. Take one of them, or no teacher."
        )
    if tuple(getattr(requirement, "thresholds", (0.5,))) != (0.5,):
        raise ValueError(
            f"The 'teacher' parameter of {owner} decides at .5, and its requirement has other "
            f"thresholds. Got {requirement!r}. Take thresholds=(0.5,), or no teacher."
        )
    taught = resolve_requirement(teacher.requirement, "FairTeacher")
    if type(taught) is not type(requirement):
        raise ValueError(
            f"The 'teacher' parameter of {owner} must teach its requirement, "
            f"{type(requirement).__name__}. Got one of {type(taught).__name__}. Pass the same "
            "'requirement' to both."
        )


def seeded(teacher: FairTeacher | None, seed: int) -> FairTeacher | None:
    """Return an unfitted copy of a teacher that gives the same decisions each time.

    Parameters
    ----------
    teacher : FairTeacher or None
        As the user passed it.
    seed : int
        Its ``random_state`` if it has none.
    """
    if teacher is None:
        return None
    copy = clone(teacher)
    return copy if copy.random_state is not None else copy.set_params(random_state=seed % 2**31)


def taught_logits(teacher: FairTeacher, task: Task) -> Tensor:
    """Fit a teacher to rows, and return what it says there.

    Parameters
    ----------
    teacher : FairTeacher
        It is fitted in place.
    task : Task
        The rows.

    Returns
    -------
    Tensor of shape (n_samples, n_classes)
        Logits in float32.
    """
    return torch.from_numpy(teacher.fit(task).soft_labels()).log().float()
