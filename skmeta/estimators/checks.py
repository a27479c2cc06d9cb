"""Checks of parameters, training and edits that estimators share."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from torch import Tensor

from skmeta._validation import check_in_range, shown
from skmeta.datasets import Task
from skmeta.population import Parameters, Population, run_stack
from skmeta.population.tensors import are_finite

MIN_CELL_ROWS = 50
"""Of fewer rows a rate can have a standard error above .07."""


def check_training_params(estimator: Any) -> None:
    """Check the parameters that all estimators with a metanetwork have."""
    owner = type(estimator).__name__
    for name in ("hidden_channels", "n_layers", "max_epochs", "batch_size"):
        check_in_range(name, getattr(estimator, name), owner=owner, low=1, kind="int")
    check_in_range("lr", estimator.lr, owner=owner, low=0, closed="neither")
    check_verbose(estimator.verbose, owner)
    callbacks = estimator.callbacks
    good = isinstance(callbacks, list | None) and all(map(_is_callback, callbacks or []))
    if not good:
        raise TypeError(
            f"The 'callbacks' parameter of {owner} must be a list of skorch callbacks, such as "
            f"[EarlyStopping()] or [('name', EarlyStopping())]. Got {callbacks!r} instead."
        )


def check_verbose(verbose: Any, owner: str) -> None:
    """Raise unless it is a level, or True or False."""
    level = int(verbose) if isinstance(verbose, bool | np.bool_) else verbose
    check_in_range("verbose", level, owner=owner, low=0, kind="int")


def _is_callback(value: Any) -> bool:
    """Whether it is what skorch takes: a callback or its class, maybe with a name."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return isinstance(value, Callback) or (isinstance(value, type) and issubclass(value, Callback))


def check_lam_range(lam_range: Any, lam: float, owner: str) -> tuple[float, float]:
    """Return the ends of a range of lam that contains the default lam."""
    message = (
        f"The 'lam_range' parameter of {owner} must be two positive numbers in ascending "
        f"order, (low, high). Got {shown(lam_range)} instead."
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


def check_finite_outputs(outputs: np.ndarray) -> None:
    """Refuse readings, ``(n, n_outputs)``, that are not numbers."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(1))
    if len(bad):
        raise ValueError(
            f"The reading of network {bad[0]} (and of {len(bad) - 1} more) is not finite, probably "
            "because its weights are far larger than those of the networks in fit. Leave it out."
        )


def check_finite_edits(params: Parameters, positions: np.ndarray) -> None:
    """Refuse edits that are not numbers, before anything is written."""
    finite = are_finite(params.tensors())
    bad = np.asarray(positions)[~finite.cpu().numpy()]
    if len(bad):
        raise ValueError(
            f"The edit of network {bad[0]} is not finite, probably because its weights are far "
            "from those of the population that the editor was fitted on. Leave it out."
        )


def check_finite_on(X: Tensor, edited: Population) -> None:
    """Refuse edited networks whose outputs on the reference rows are not numbers."""
    for positions, stack in edited.depth_blocks():
        bad = np.asarray(positions)[~are_finite([run_stack(stack, X)]).cpu().numpy()]
        if len(bad):
            raise ValueError(
                f"The outputs of network {bad[0]} (and of {len(bad) - 1} more) are not finite on "
                "the reference rows, after the edit or already before it: its weights are "
                "extreme. Leave it out, or set a 'guard', which rolls such an edit back."
            )


def cell_counts(task: Task) -> pd.DataFrame:
    """Return the number of rows of every label (index) in every group (columns)."""
    counts = np.bincount(task.cells(), minlength=task.n_classes * task.n_groups)
    groups = ["all"] if task.groups is None else task.groups
    return pd.DataFrame(counts.reshape(-1, task.n_groups), index=task.classes, columns=groups)


def small_cells(counts: pd.DataFrame) -> list[str]:
    """Name the labels and groups with fewer rows than :data:`MIN_CELL_ROWS`."""
    return [
        f"label {str(label)!r} in group {str(group)!r} ({counts.iat[i, j]} rows)"
        for i, label in enumerate(counts.index)
        for j, group in enumerate(counts.columns)
        if counts.iat[i, j] < MIN_CELL_ROWS
    ]


def warn_of_small_cells(task: Task, owner: str) -> None:
    """Warn of rates that too few rows make uncertain."""
    if small := small_cells(cell_counts(task)):
        warnings.warn(
            f"The 'task' parameter of {owner} has fewer than {MIN_CELL_ROWS} rows of "
            f"{', '.join(small)}. Rates there are uncertain, so that an edit may chase the luck "
            "of these rows: look at the intervals of report on other rows, pass more rows, or "
            "merge small groups.",
            UserWarning,
            stacklevel=4,  # of the call of fit, which is decorated
        )
