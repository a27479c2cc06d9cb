"""What a fitted editor, alone or at the end of a pipeline, knows: its task and requirement."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.population import Population


def editor_of(estimator: object) -> Any:
    """Return the editor inside of pipelines and finished searches.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmeta.baselines import Swap
    >>> from skmeta.evaluation.fitted import editor_of
    >>> editor_of(make_pipeline(Swap()))
    Swap()
    """
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def edit_networks(estimator: object, population: Population, task: Task | None, owner: str) -> Any:
    """Return edited networks, or the logits of a rival that changes predictions only."""
    if hasattr(estimator, "transform"):
        return estimator.transform(population)
    if hasattr(estimator, "predict_logits") and task is not None:
        return estimator.predict_logits(population, task)
    methods = "'transform'" if task is None else "'transform' or 'predict_logits'"
    raise TypeError(
        f"The 'estimator' parameter of {owner} must be a fitted editor or rival with {methods}. "
        f"Got {type(estimator).__name__}."
    )


def measuring_task(estimator: object, task: Task | None, owner: str) -> Task:
    """Return the task to measure on: the given one, or that of the editor's ``fit``."""
    if task is None:
        task = getattr(editor_of(estimator), "task_", None)
    else:
        check_columns_of_fit(estimator, task, owner)
    if task is None:
        name = type(editor_of(estimator)).__name__
        raise ValueError(
            f"{owner} measures on the rows of a task. Got none, and {name} has kept none in fit. "
            "Pass task=, in a search with sklearn.set_config(enable_metadata_routing=True)."
        )
    return check_task(task, owner)


def check_columns_of_fit(estimator: object, task: Any, owner: str) -> None:
    """Refuse a task with other columns than the editor's own, where both have names."""
    editor = editor_of(estimator)
    known = getattr(editor, "task_", None)
    if known is None:  # an editor from a file without rows still has their names
        known = getattr(getattr(editor, "reference_", None), "outline", None)
    if isinstance(known, Task):
        whose = f"the task that {type(editor).__name__} was fitted on"
        check_task(task, owner).require_columns(known.column_names, owner, whose)


def requirement_of(estimator: object) -> Any:
    """Return the editor's requirement as it was resolved in fit or given; None if it has none."""
    editor = editor_of(estimator)
    return getattr(editor, "requirement_", getattr(editor, "requirement", None))
