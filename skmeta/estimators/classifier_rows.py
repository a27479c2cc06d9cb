"""What an :class:`EditedClassifier` does with its network and the rows of a table."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length, has_fit_parameter
from skorch import NeuralNet, NeuralNetBinaryClassifier
from torch import nn

from skmeta._checks import shown
from skmeta._random import local_draws
from skmeta.datasets import Cells, Task
from skmeta.networks import UnsupportedNetworkError
from skmeta.population import Population

# One part of the rows is the reference, the others train the networks.
_N_PARTS = 3


def dense(X: Any) -> NDArray:
    """Return rows as an array."""
    return X.toarray() if issparse(X) else X


def whole_labels(y: NDArray) -> NDArray:
    """Return labels as a Task takes them: to it, a float is a target of regression."""
    return y.astype(np.int64) if y.dtype.kind == "f" else y


class Copies(NamedTuple):
    """How often each row stands for what knows no weights.

    Attributes
    ----------
    counts : ndarray of int of shape (n_samples,)
        At least 1.
    evidence : float
        How many independent rows each copy counts for: 1 if weights are numbers of rows.
    """

    counts: NDArray[np.int64]
    evidence: float


_RESOLUTION = 10


def copies(weights: NDArray) -> Copies:
    """Turn weights into copies of rows.

    Parameters
    ----------
    weights : ndarray of shape (n,)
        Positive; rows of one kind stand together. Whole numbers are taken as they are if they make
        at most ten times as many rows, and without what divides them all. Others are rounded to
        tenths of the mean, such that the sum over rows that stand together is kept; each row stays
        once at least. These copies are worth ``(sum w) ** 2 / sum w ** 2`` rows (Kish).

    Returns
    -------
    Copies

    Examples
    --------
    >>> import numpy as np
    >>> copies(np.array([2.0, 4.0, 2.0]))
    Copies(counts=array([1, 2, 1]), evidence=1.0)
    >>> copies(np.array([0.5, 1.5])).evidence
    0.08
    """
    if (weights == np.round(weights)).all() and weights.max() < 2**53:
        counts = weights.astype(np.int64)
        counts //= np.gcd.reduce(counts)
        if counts.sum() <= _RESOLUTION * len(weights):
            return Copies(counts, 1.0)
    counts = rounded(weights, weights.mean())
    return Copies(counts, float(weights.sum() ** 2 / (weights**2).sum() / counts.sum()))


def rounded(weights: NDArray, mean: float) -> NDArray[np.int64]:
    """Round weights to tenths of a mean, such that the sum of rows that stand together is kept."""
    ends = np.cumsum(weights) * (_RESOLUTION / mean)
    return np.maximum(np.diff(np.round(ends), prepend=0.0), 1).astype(np.int64)


def rows_for(estimator: BaseEstimator, X: NDArray) -> NDArray:
    """Return rows in the type that a network computes in."""
    if not isinstance(estimator, NeuralNet):
        return X
    module = getattr(estimator, "module_", estimator.module)
    weights = module.parameters() if isinstance(module, nn.Module) else iter(())
    dtype = next((w.dtype for w in weights), torch.float32)
    return X.astype(str(dtype).removeprefix("torch."))


def is_network(estimator: BaseEstimator) -> bool:
    """Tell whether a classifier is of a kind whose weights a Population can read."""
    try:
        Population([clone(estimator)])
    except UnsupportedNetworkError:
        return False
    except NotFittedError:  # it can be read once it is trained
        return not isinstance(estimator, Pipeline)  # a zoo would be trained on rows not scaled
    return True


def new_classifier(given: Any, *, for_editor: bool) -> Any:
    """Return an untrained classifier of which an edited network can be made.

    Parameters
    ----------
    given : classifier or None
        What the user passed.
    for_editor : bool
        An editor needs a network: a zoo is made of networks like it.

    Returns
    -------
    classifier
        A clone.
    """
    if given is None:
        return MLPClassifier()
    reason = "which is no classifier that can be cloned"
    if isinstance(given, BaseEstimator) and is_classifier(given):
        if is_network(given):
            return clone(given)
        if not for_editor and hasattr(given, "predict_proba"):
            return clone(given)
        reason = "whose weights a Population cannot read"
        if not for_editor:
            reason += ", and which has no predict_proba to learn from"
    raise TypeError(
        "The 'estimator' parameter of EditedClassifier must be an MLPClassifier, a skorch "
        "classifier or, unless an editor makes the edit (method='editor', or a requirement on "
        "weights), any classifier with predict_proba. Got "
        f"{type(given).__name__}, {reason}. Scalers and encoders go into steps before an "
        "EditedClassifier."
    )


def weighing(
    X: NDArray, y: NDArray, sensitive_features: Any, weights: NDArray | None
) -> tuple[NDArray, NDArray, Any, NDArray | None]:
    """Leave out rows that weigh nothing."""
    if weights is None or weights.all():
        return X, y, sensitive_features, weights
    there = np.flatnonzero(weights)
    if sensitive_features is not None:
        check_consistent_length(X, sensitive_features)
        sensitive_features = _safe_indexing(sensitive_features, there)
    return X[there], y[there], sensitive_features, weights[there]


def train_network(
    estimator: BaseEstimator,
    X: NDArray,
    y: NDArray,
    classes: NDArray,
    weights: NDArray | None,
    seed: int,
) -> Any:
    """Fit a network; one that takes no weights gets rows as often as they weigh."""
    seeded = {
        name: seed  # of every part that has one
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    estimator.set_params(**seeded)
    if isinstance(estimator, NeuralNet):
        y = np.searchsorted(classes, y)
    if isinstance(estimator, NeuralNetBinaryClassifier):
        y = y.astype(np.float32)  # what its loss computes with
    X, options = rows_for(estimator, X), {}
    if weights is not None and has_fit_parameter(estimator, "sample_weight"):
        options["sample_weight"] = weights
    elif weights is not None:
        counts = copies(weights).counts
        X, y = np.repeat(X, counts, axis=0), np.repeat(y, counts)
    with local_draws(seed):  # skorch draws from torch's global generator
        return estimator.fit(X, y, **options)


def split(task: Task, needs_groups: bool, by_label: bool, seed: int) -> tuple[NDArray, NDArray]:
    """Return the rows to train on and the reference, with rows of every cell in both.

    Where groups are compared whatever their labels, a group may lack a label: cells that are
    too small to be split are then split with the largest of their group.
    """
    if needs_groups and task.n_groups < 2:
        raise ValueError(
            "The 'sensitive_features' of EditedClassifier must have at least two groups. Got "
            f"the group {np.asarray(task.groups).tolist()} only."
        )
    cells, table = task.cells(), Cells.of(task).counts.numpy()
    counts = table.ravel()
    if not by_label:
        largest = table.argmax(0) * task.n_groups + np.arange(task.n_groups)
        if (few := table.sum(1)).min() < _N_PARTS:  # a part without a label trains another network
            raise ValueError(
                f"EditedClassifier needs at least {_N_PARTS} rows of every label. Got {few.min()} "
                f"of label {shown(np.asarray(task.classes)[few.argmin()])}. Leave them out, or "
                "merge the label with another."
            )
        cells = np.where(counts[cells] < _N_PARTS, largest[cells % task.n_groups], cells)
        counts = np.bincount(cells, minlength=len(counts))
        counts = np.where(counts == 0, _N_PARTS, counts)  # of each group, its largest cell
    if counts.min() < _N_PARTS:
        label, group = divmod(int(counts.argmin()), task.n_groups)
        where = "" if task.groups is None else f" in group {shown(task.groups[group])}"
        raise ValueError(
            f"EditedClassifier needs at least {_N_PARTS} rows of every label in every group, "
            f"for training and for reference. Got {counts.min()} of label "
            f"{shown(np.asarray(task.classes)[label])}{where}. Merge small groups in "
            "'sensitive_features', or leave their rows out."
        )
    parts = StratifiedKFold(_N_PARTS, shuffle=True, random_state=seed)
    return next(parts.split(task.X, cells))


def warn_of_no_edit(requirement: str) -> None:
    """Warn the caller of fit that a requirement on groups got none."""
    warnings.warn(
        f"EditedClassifier has edited nothing: {requirement} compares groups, and fit got none. "
        "Pass fit(X, y, sensitive_features=...); with metadata routing enabled it also "
        "arrives through a Pipeline, GridSearchCV and cross_validate.",
        UserWarning,
        stacklevel=5,
    )
