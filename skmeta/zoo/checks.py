"""Checks of what a zoo is made from and of what came out: :class:`ZooWarning`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from skmeta._checks import check_in_range, check_option, shown
from skmeta.datasets import Task
from skmeta.population import Population

VALIDATION_SHARE = 0.1
FEWEST_NETWORKS = 20
"""Of fewer networks no metanetwork learns what an edit does to the next one."""

_ROWS_TO_LOOK_AT = 1000


class ZooWarning(UserWarning):
    """A zoo that can be used, but from which little can be learned."""


def check_trainable(task: Any) -> Task:
    """Return the task if classifiers can be trained on nine tenths of its rows."""
    if not isinstance(task, Task):
        raise TypeError(
            "The 'task' parameter of make_zoo must be a Task, the rows that networks are trained "
            f"on: Task(X, y). Got {type(task).__name__}."
        )
    if task.classes is None:
        raise ValueError(
            "make_zoo needs a classification task. Got a task with a float y. If it holds "
            "labels such as 0.0 and 1.0, pass labels as int: y.astype(int)."
        )
    labels, counts = np.unique(task.y, return_counts=True)
    if len(labels) < 2:
        raise ValueError(
            "make_zoo needs rows of at least two labels: classifiers of one label learn "
            f"nothing. Got {task.n_samples} rows with the labels "
            f"{np.asarray(task.classes)[labels].tolist()}. Pass rows of other labels, too."
        )
    least = round(len(labels) / VALIDATION_SHARE)
    if task.n_samples <= least - 1 / VALIDATION_SHARE or counts.min() < 2:
        raise ValueError(
            "make_zoo holds back a tenth of the rows with every label in it, which takes about "
            f"{least} rows for {len(labels)} labels, and two of each. Got {task.n_samples} rows, "
            f"and {counts.min()} of the label "
            f"{shown(np.asarray(task.classes)[labels[counts.argmin()]])}. Pass more rows, or merge "
            "rare labels."
        )
    return task


def warn_of_few_rows(batches: Sequence[tuple[int, int]]) -> None:
    """Warn of runs with fewer rows than their batch; pairs of both numbers, one per run."""
    starved = [(n_rows, batch) for n_rows, batch in batches if n_rows < batch]
    if starved:
        n_rows, batch = min(starved)
        warnings.warn(
            f"The training rows are too few for the search space of make_zoo: {len(starved)} of "
            f"{len(batches)} runs have fewer than a batch, {n_rows} for 'batch_sizes' of {batch}, "
            "and take one step per epoch. Use smaller batch_sizes, more epochs or more rows.",
            ZooWarning,
            stacklevel=3,
        )


def warn_of_constants(population: Population, X: np.ndarray) -> None:
    """Warn of a zoo of which most networks say the same of all rows."""
    predicted = population.predict_proba(X[:_ROWS_TO_LOOK_AT]).argmax(-1)
    n_constant = int((predicted == predicted[:, :1]).all(1).sum())
    if 2 * n_constant > len(population):
        warnings.warn(
            f"Most networks of this zoo are constant predictors: {n_constant} of "
            f"{len(population)} give all rows one label at the end of their training, and "
            "little is to be learned from them. Raise 'epochs', narrow the search space to "
            "learning rates that train, standardise the columns of X or balance the labels.",
            ZooWarning,
            stacklevel=3,
        )


def warn_of_few_networks(population: Population, owner: str) -> None:
    """Warn of too few training runs to learn from; checkpoints of one run count once."""
    metadata = population.metadata
    n, of_runs = len(population), ""
    if "run" in metadata:
        n = metadata["run"].nunique()
        of_runs = f", {len(population)} checkpoints"
    if n < FEWEST_NETWORKS:
        warnings.warn(
            f"{owner} learns from fewer than {FEWEST_NETWORKS} networks: got {n}{of_runs}. What it "
            "learned hardly holds for others; use it for a first try only. Some hundred "
            "training runs are common: make_zoo(task, 500).",
            ZooWarning,
            stacklevel=3,
        )


def check_choices(
    space: Any,
    *,
    named: Mapping[str, Iterable[str]],
    least: Mapping[str, int],
    shares: Mapping[str, str],
) -> None:
    """Refuse choices that are not tuples of valid values.

    Parameters
    ----------
    space : search space
        A dataclass with tuples of values.
    named : mapping of str to iterable of str
        Fields with names, and which there are.
    least : mapping of str to int
        Fields with ints, and the least of them.
    shares : mapping of str to {"left", "right"}
        Fields with numbers from 0 to 1, and which end belongs to the range.
    """
    owner = type(space).__name__
    for name in (*named, *least, *shares):
        values = getattr(space, name)
        if not isinstance(values, tuple | list) or not values:
            raise ValueError(
                f"The '{name}' of {owner} must be a tuple of one or more values. Got "
                f"{shown(values)}. To leave a choice out, pass a tuple of one: (value,)."
            )
        for value in values:
            if name in named:
                check_option(name, value, named[name], owner=owner)
            elif name in least:
                check_in_range(name, value, owner=owner, low=least[name], kind="int")
            else:
                closed: Any = shares[name]
                check_in_range(name, value, owner=owner, low=0.0, high=1.0, closed=closed)


def check_bounds(space: Any, *names: str) -> None:
    """Refuse bounds of log-uniform distributions that are not positive and ascending."""
    for name in names:
        bounds = getattr(space, name)
        pair = isinstance(bounds, tuple | list) and len(bounds) == 2
        if not (
            pair
            and all(isinstance(end, Real) for end in bounds)
            and 0 < bounds[0] <= bounds[1] < np.inf
        ):
            raise ValueError(
                f"The '{name}' of {type(space).__name__} must be two positive numbers in ascending "
                f"order, (low, high). Got {shown(bounds)}. For one value x pass (x, x)."
            )
