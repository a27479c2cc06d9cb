"""Checks of networks and tasks that estimators share."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch

from skmeta.datasets import Task
from skmeta.population import Parameters, Population


def check_population(networks: Any, owner: str) -> Population:
    """Return networks as a Population that is not empty and has finite weights."""
    population = networks if isinstance(networks, Population) else Population(networks)
    if not len(population):
        raise ValueError(f"{owner} needs at least one network. Got an empty population.")
    for positions, stack in population.blocks:
        finite = [t.isfinite().flatten(1).all(1) for t in stack.params.tensors()]
        bad = np.asarray(positions)[~torch.stack(finite).all(0).cpu().numpy()]
        if len(bad):
            raise ValueError(
                f"{owner} needs networks with finite weights. Network {bad[0]} (and "
                f"{len(bad) - 1} more of its shape) has NaN or infinite weights. Leave it out."
            )
    return population


def check_task(task: Any, owner: str) -> Task:
    """Return the task, or say that it is missing."""
    if not isinstance(task, Task):
        raise TypeError(
            f"{owner} needs the networks' data: pass task=Task(X, y, sensitive_features=...). "
            f"Got {type(task).__name__}."
        )
    if task.classes is None:
        raise ValueError(
            f"{owner} needs a classification task. Got a regression task: its y is float. Pass "
            "labels as int or str, for instance y.astype(int)."
        )
    return task


def check_classifiers(population: Population, task: Task, owner: str) -> None:
    """Check that the networks are classifiers of the task."""
    for i, (architecture, classes) in enumerate(
        zip(population.architectures, population.classes, strict=True)
    ):
        if architecture.output != "logits":
            kind = {"values": "a regressor", "multilabel": "a multilabel classifier"}
            raise ValueError(
                f"{owner} edits classifiers with one label per row. Network {i} is "
                f"{kind[architecture.output]}; leave it out."
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
                f"{np.asarray(task.classes).tolist()}. Network {i} has {classes.tolist()}."
            )


def _same_classes(classes: np.ndarray, task: Task) -> bool:
    """Whether labels agree, by value or as the codes 0 to n_classes - 1."""
    codes = np.arange(task.n_classes)
    return np.array_equal(classes, np.asarray(task.classes)) or np.array_equal(classes, codes)


def check_device(device: Any, owner: str) -> torch.device:
    """Return the device if tensors can live there."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"The 'device' parameter of {owner} must be a torch device of this machine, for "
            f"instance 'cpu'. Got {device!r} instead."
        ) from error


def check_lam_range(lam_range: Any, lam: float, owner: str) -> tuple[float, float]:
    """Return the ends of a range of lam that contains the default lam."""
    message = (
        f"The 'lam_range' parameter of {owner} must be two positive numbers in ascending "
        f"order, (low, high). Got {lam_range!r} instead."
    )
    if not isinstance(lam_range, tuple | list) or len(lam_range) != 2:
        raise TypeError(message)
    for end in lam_range:
        if not isinstance(end, Real):
            raise TypeError(message)
    low, high = map(float, lam_range)
    if not 0 < low <= high < np.inf:
        raise ValueError(message)
    if not low <= lam <= high:
        raise ValueError(
            f"The 'lam' parameter of {owner} must lie in 'lam_range' [{low:g}, {high:g}]: it is "
            f"the default of transform. Got {lam:g} instead."
        )
    return low, high


def check_finite_training(metanet: torch.nn.Module) -> None:
    """Refuse a metanetwork that diverged in training."""
    if not all(p.isfinite().all() for p in metanet.parameters()):
        raise ValueError(
            "The training of the metanetwork diverged: its weights are not finite. Lower 'lr', "
            "or leave out networks with extreme weights."
        )


def check_finite_edits(params: Parameters, positions: np.ndarray) -> None:
    """Refuse edits that are not numbers, before anything is written."""
    finite = torch.stack([t.isfinite().flatten(1).all(1) for t in params.tensors()]).all(0)
    bad = np.asarray(positions)[~finite.cpu().numpy()]
    if len(bad):
        raise ValueError(
            f"The edit of network {bad[0]} is not finite, probably because its weights are far "
            "from those of the population that the editor was fitted on. Leave it out."
        )
