"""Checks of networks and tasks that rivals and estimators share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import may_be_codes
from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.networks import Architecture
from skmeta.population.population import Population
from skmeta.population.running import run_stack
from skmeta.population.tensors import are_finite


def check_population(networks: Any, owner: str) -> Population:
    """Return networks as a Population that is not empty and has finite weights."""
    population = check_not_empty(networks, owner)
    bad = np.flatnonzero(~finite_weights(population))
    if len(bad):
        raise ValueError(
            f"{owner} needs networks with finite weights. Network {bad[0]} (and "
            f"{len(bad) - 1} more) has NaN or infinite weights. Leave it out."
        )
    return population


def finite_weights(population: Population) -> np.ndarray:
    """Return which networks have finite weights only, ``(n,)``."""
    return population.map(
        lambda stack: are_finite(stack.params.tensors()).cpu().numpy(),
        exact=True,
        empty=np.empty(0, dtype=bool),
    )


def check_finite_logits(logits: torch.Tensor, owner: str) -> None:
    """Refuse networks whose logits ``(n, n_samples, n_classes)`` are not finite."""
    bad = (~are_finite([logits])).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"{owner} needs networks with finite outputs on the rows of the task. Those of network "
            f"{bad[0]} (and of {len(bad) - 1} more) are not finite: its weights are extreme. Leave "
            "it out."
        )


def check_not_empty(networks: Any, owner: str) -> Population:
    """Return networks as a Population that is not empty."""
    population = networks if isinstance(networks, Population) else Population(networks)
    if not len(population):
        raise ValueError(f"{owner} needs at least one network. Got an empty population.")
    return population


def check_columns(population: Population, task: Task, owner: str) -> None:
    """Check that the networks were trained on the columns of the task, where both have names."""
    for i, names in enumerate(population.feature_names):
        task.require_columns(names, owner, f"network {i}")


def check_classifiers(population: Population, task: Task, owner: str) -> None:
    """Check that the networks are classifiers of the task."""
    check_columns(population, task, owner)
    for i, (architecture, classes) in enumerate(
        zip(population.architectures, population.classes, strict=True)
    ):
        if architecture.output != "logits":
            raise ValueError(
                f"{owner} needs classifiers with one label per row. Network {i} is "
                f"{_other_kind(architecture)}; leave it out."
            )
        came = (architecture.n_inputs, architecture.n_outputs)
        if came != (task.n_features, task.n_classes):
            raise ValueError(
                f"{owner} needs networks that fit the task, with {task.n_features} inputs and "
                f"{task.n_classes} classes. Network {i} has {came[0]} inputs and {came[1]} "
                "outputs."
            )
        if classes is not None and not _same_classes(classes, task):
            raise ValueError(
                f"{owner} needs networks with the classes of the task, "
                f"{np.asarray(task.classes).tolist()}. Network {i} has {classes.tolist()}. Fit "
                "networks on task.classes[task.y], or make the task with their labels."
            )


def _other_kind(architecture: Architecture) -> str:
    if architecture.output == "multilabel":
        return "a multilabel classifier"
    hint = " (a classifier with one logit: append nn.Sigmoid())"
    return "a regressor" + hint * (architecture.n_outputs == 1)


def _same_classes(classes: np.ndarray, task: Task) -> bool:
    """Whether labels agree: by value, or as the codes of labels that are texts."""
    known = np.asarray(task.classes)
    codes = may_be_codes(known.tolist()) and np.array_equal(classes, np.arange(task.n_classes))
    return codes or np.array_equal(classes, known)


def check_fit_together(networks: Any, task: Task, owner: str) -> Population:
    """Return networks as a Population, or raise unless they are classifiers of the task."""
    population = check_not_empty(networks, owner)
    check_classifiers(population, check_task(task, owner), owner)
    return population


def run_networks(networks: Any, task: Task) -> Tensor:
    """Run networks on all rows of a task, in pieces that fit into memory.

    Parameters
    ----------
    networks : Population or sequence of networks
        Classifiers of the task. NaN weights give NaN logits.
    task : Task
        The rows.

    Returns
    -------
    Tensor of shape (n, n_samples, n_classes)
        Logits, without gradients.

    Examples
    --------
    >>> from torch import nn
    >>> from skmeta.population import run_networks
    >>> from skmeta.datasets import Task
    >>> run_networks([nn.Linear(1, 2)], Task([[0.0], [1.0]], ["no", "yes"])).shape
    torch.Size([1, 2, 2])
    """
    population = check_fit_together(networks, task, "run_networks")
    X, _, _ = task.tensors(population.device, population.dtype)
    return population.map(lambda stack: run_stack(stack, X), exact=True)
