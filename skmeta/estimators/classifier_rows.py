"""What an :class:`EditedClassifier` does with the rows of a table."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.model_selection import StratifiedKFold
from skorch import NeuralNet

from skmeta.datasets import Task

# One part of the rows is the reference, the others train the networks.
_N_PARTS = 3


def dense(X: Any) -> NDArray:
    """Return rows as an array."""
    return X.toarray() if issparse(X) else X


def rows_for(estimator: Any, X: NDArray) -> NDArray:
    """Return rows in the type that a network computes in."""
    return X.astype(np.float32) if isinstance(estimator, NeuralNet) else X


def split(task: Task, needs_groups: bool, seed: int) -> tuple[NDArray, NDArray]:
    """Return the rows to train on and the reference, with rows of every cell in both."""
    if needs_groups and task.n_groups < 2:
        raise ValueError(
            "The 'sensitive_features' of EditedClassifier must have at least two groups. Got "
            f"the group {np.asarray(task.groups).tolist()} only."
        )
    counts = np.bincount(task.cells(), minlength=task.n_classes * task.n_groups)
    if counts.min() < _N_PARTS:
        label, group = divmod(int(counts.argmin()), task.n_groups)
        where = "" if task.groups is None else f" in group {task.groups[group]!r}"
        raise ValueError(
            f"EditedClassifier needs at least {_N_PARTS} rows of every label in every group, "
            f"for training and for reference. Got {counts.min()} of label "
            f"{np.asarray(task.classes)[label]!r}{where}. Merge small groups in "
            "'sensitive_features', or leave their rows out."
        )
    parts = StratifiedKFold(_N_PARTS, shuffle=True, random_state=seed)
    return next(parts.split(task.X, task.cells()))


def warn_of_no_edit(requirement: str) -> None:
    """Warn the caller of fit that a requirement on groups got none."""
    warnings.warn(
        f"EditedClassifier has edited nothing: {requirement} compares groups, and fit got none. "
        "Pass fit(X, y, sensitive_features=...); with metadata routing enabled it also "
        "arrives through a Pipeline, GridSearchCV and cross_validate.",
        UserWarning,
        stacklevel=3,
    )
