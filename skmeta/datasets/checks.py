"""Checks of tasks."""

from __future__ import annotations

from typing import Any

from skmeta.datasets.task import Task


def check_task(task: Any, owner: str, *, labels: bool = True) -> Task:
    """Return the task if it has labels (if they are wanted), or say that it is missing."""
    if not isinstance(task, Task):
        raise TypeError(
            f"{owner} needs the networks' data: pass task=Task(X, y, sensitive_features=...). "
            f"Got {type(task).__name__}."
        )
    if labels and task.classes is None:
        raise ValueError(
            f"{owner} needs a classification task. Got a regression task: its y is float. If it "
            "holds labels such as 0.0 and 1.0, pass labels as int: y.astype(int)."
        )
    return task
