"""Checks of parameters, training and edits that estimators share."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from skmeta._checks import shown
from skmeta.datasets import Cells, Task
from skmeta.population import Population, Weights, run_stack
from skmeta.population.weights import are_finite
from skmeta.requirements.resolve import Plan

MIN_CELL_ROWS = 50
"""Of fewer rows a rate can have a standard error above .07."""


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


def refuse_lam_of_mask(plan: Plan, what: str, value: Any) -> None:
    """Raise if a mask is all: it has its lam from fit, there is no front to move along."""
    if plan.requirement is None:
        raise ValueError(
            f"The {what} is for requirements on predictions. Got {shown(value)} for "
            f"{plan.mask!r}. Move along its front by budgets: "
            "set_params(requirement__budget=...) holds for the next transform."
        )


def check_finite_edits(weights: Weights, positions: np.ndarray) -> None:
    """Refuse edits that are not numbers, before anything is written."""
    finite = are_finite([weights.flat])
    bad = np.asarray(positions)[~finite.cpu().numpy()]
    if len(bad):
        raise ValueError(
            f"The edit of network {bad[0]} is not finite, probably because its weights are far "
            "from those of the population that the editor was fitted on. Leave it out."
        )


def check_finite_on(X: Tensor, edited: Population) -> None:
    """Refuse edited networks whose outputs on the reference rows are not numbers."""
    finite = edited.map(lambda stack: are_finite([run_stack(stack, X)]))
    bad = (~finite).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"The outputs of network {bad[0]} (and of {len(bad) - 1} more) are not finite on "
            "the reference rows, after the edit or already before it: its weights are "
            "extreme. Leave it out, or set a 'guard', which rolls such an edit back."
        )


def cell_counts(task: Task) -> pd.DataFrame:
    """Return the number of rows of every label (index) in every group (columns)."""
    groups = ["all"] if task.groups is None else task.groups
    return pd.DataFrame(Cells.of(task).counts.numpy(), index=task.classes, columns=groups)


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
