"""What optimizers are learned on: networks and their tasks, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.population import Population
from skmeta.population.checks import (
    check_classifiers,
    check_columns,
    check_not_empty,
    check_population,
)

HELD_OUT = 0.2
"""Share of a task's rows that losses are measured on."""

_FEWEST_ROWS = 10


class Problem(NamedTuple):
    """Networks to be trained on a task.

    Attributes
    ----------
    networks : Population
        Initial networks.
    task : Task
        Rows.
    """

    networks: Population
    task: Task

    @classmethod
    def of(cls, networks: Any, task: Any, owner: str, device: torch.device) -> Problem:
        """Check that networks and a task go together.

        Parameters
        ----------
        networks : Population or sequence of networks
            Classifiers of the task, or networks with one value for a regression.
        task : Task
            Rows.
        owner : str
            Who needs them, for messages.
        device : device
            Where to train.

        Returns
        -------
        Problem
        """
        population = check_not_empty(check_population(networks, owner), owner)
        task = check_task(task, owner, labels=False)
        if task.classes is not None:
            check_classifiers(population, task, owner)
        size = task.n_features, 1, "values"
        for i, a in enumerate(population.architectures):
            if task.classes is None and (a.n_inputs, a.n_outputs, a.output) != size:
                raise ValueError(
                    f"{owner} needs networks that fit the task, a regression with "
                    f"{task.n_features} inputs and one value. Network {i} has {a.n_inputs} inputs "
                    f"and {a.n_outputs} {a.output}."
                )
        check_columns(population, task, owner)
        if task.n_samples < _FEWEST_ROWS:
            raise ValueError(
                f"{owner} holds back a fifth of the rows, and needs {_FEWEST_ROWS} or more. Got "
                f"{task.n_samples}."
            )
        return cls(population.to(device, torch.float32), task)


def check_problems(networks: Any, task: Any, owner: str, device: torch.device) -> list[Problem]:
    """Say which networks belong to which task.

    Parameters
    ----------
    networks : Population or sequence of networks
        Each fits one task or several, by its numbers of inputs and outputs.
    task : Task or sequence of Task
        Rows.
    owner : str
        Who needs them, for messages.
    device : device
        Where to train.

    Returns
    -------
    list of Problem
        One for each task.
    """
    if isinstance(task, Task) or not isinstance(task, Sequence):
        return [Problem.of(networks, task, owner, device)]
    if not task:
        raise ValueError(f"{owner} needs a task or more. Got an empty list.")
    population = check_not_empty(check_population(networks, owner), owner)
    used, problems = np.zeros(len(population), dtype=bool), []
    for number, one in enumerate(task):
        one = check_task(one, owner, labels=False)
        size = (one.n_features, one.n_classes or 1)
        own = np.array([(a.n_inputs, a.n_outputs) == size for a in population.architectures])
        if not own.any():
            raise ValueError(
                f"{owner} needs networks for each task. Task {number} has {size[0]} features "
                f"and {size[1]} outputs, and no network has as many inputs and outputs."
            )
        used |= own
        problems.append(Problem.of(population[own], one, owner, device))
    if not used.all():
        raise ValueError(
            f"{owner} needs a task for each network. Network {int((~used).argmax())} has "
            "another number of inputs or outputs than all tasks; leave it out."
        )
    return problems


def split_rows(task: Task, rng: np.random.Generator) -> tuple[Task, Task]:
    """Return rows to train on and held-out rows.

    Parameters
    ----------
    task : Task
        All rows.
    rng : Generator
        Draws them.

    Returns
    -------
    train, held_out : Task
    """
    order = rng.permutation(task.n_samples)
    n = max(1, round(HELD_OUT * task.n_samples))
    return task.subset(order[n:]), task.subset(order[:n])
