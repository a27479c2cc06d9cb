"""What an edit costs: accuracies in closed form, any other scorer by a jackknife."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning

from skmeta.editing.front import Observed, per_class

SKILLS = ("accuracy", "balanced_accuracy")
"""Those that need no scorer."""

_Measured = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_Measure = Callable[[NDArray[np.int16], NDArray[np.int64]], _Measured]


def skill_columns(observed: Observed, scorers: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Say how good each candidate is, and what it loses against the first.

    Parameters
    ----------
    observed : Observed
        Decisions. If networks of several folds have made them, the standard errors include that
        these differ: what is handed out is yet another one.
    scorers : mapping of str to callable
        Scorers of scikit-learn beside :data:`SKILLS`, of predicted labels and with weights of rows.

    Returns
    -------
    dict of str to ndarray of shape (n_candidates,)
        ``<skill>``, ``<skill>_loss`` and the standard error of that, ``<skill>_loss_se``, within
        classes and paired.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for name, measure in _measures(observed, scorers):
        values, losses, variances = measure(observed.decisions, observed.y)
        if observed.folds is not None:
            variances = variances + _between_folds(measure, observed)
        columns |= {name: values, f"{name}_loss": losses, f"{name}_loss_se": np.sqrt(variances)}
    return columns


def _measures(observed: Observed, scorers: Mapping[str, Any]) -> Iterator[tuple[str, _Measure]]:
    for name in SKILLS:
        balanced = name == "balanced_accuracy"
        yield name, partial(_accuracies, n_classes=observed.n_classes, balanced=balanced)
    for name, scorer in scorers.items():
        labels = np.asarray(observed.cells.labels)
        yield name, partial(_scores, score=partial(score_counts, name, scorer, labels))


def _between_folds(measure: _Measure, observed: Observed) -> NDArray[np.float64]:
    """Return by how much the losses of folds vary, beyond the luck of their rows."""
    assert observed.folds is not None
    parts = [observed.folds == fold for fold in np.unique(observed.folds)]
    measured = [measure(observed.decisions[:, rows], observed.y[rows]) for rows in parts]
    losses, lucks = (np.stack([part[i] for part in measured]) for i in (1, 2))
    return (np.nanvar(losses, axis=0, ddof=1) - np.nanmean(lucks, axis=0)).clip(0)


def _accuracies(
    decisions: NDArray[np.int16], y: NDArray[np.int64], *, n_classes: int, balanced: bool
) -> _Measured:
    """Average over rows, or over classes; the latter is nan if a class has no rows."""
    right = (decisions == y).astype(np.float64)
    lost, members = right[:1] - right, y == np.arange(n_classes)[:, None]
    sizes = members.sum(1)
    there = np.ones(n_classes, dtype=bool) if balanced else sizes > 0
    weights = (np.full(n_classes, 1 / n_classes) if balanced else sizes / len(y))[there]
    means = per_class(lost, members[there])
    spread = (per_class(lost**2, members[there]) - means**2) / sizes[there].clip(1)
    return per_class(right, members[there]) @ weights, means @ weights, spread.clip(0) @ weights**2


def _scores(
    decisions: NDArray[np.int16],
    y: NDArray[np.int64],
    *,
    score: Callable[[NDArray[np.float64]], float],
) -> _Measured:
    """Score each candidate; how much each row matters is what the score is without it."""
    n_classes = int(max(y.max(), decisions.max())) + 1
    decided = decisions.clip(0).astype(np.int64)  # -1, no number, is never chosen
    values, influences = [], []
    for labels in decided:
        counts = np.bincount(y * n_classes + labels, minlength=n_classes**2).astype(float)
        counts = counts.reshape(n_classes, n_classes)
        value, influence = score(counts), np.zeros_like(counts)
        for cell in zip(*np.nonzero(counts), strict=True):
            without = counts.copy()
            without[cell] -= 1
            influence[cell] = (len(y) - 1) * (value - score(without))
        values.append(value)
        influences.append(influence[y, labels])
    lost = np.subtract(influences[0], influences)
    members = y == np.unique(y)[:, None]
    spread = per_class(lost**2, members) - per_class(lost, members) ** 2
    variances = spread.clip(0) @ members.sum(1) / len(y) ** 2
    return np.array(values), values[0] - np.array(values), variances


class _Decisions(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose rows are its decisions."""

    def __init__(self, classes: NDArray) -> None:
        self.classes_ = classes

    def predict(self, X: NDArray) -> NDArray:
        return X


def score_counts(name: str, scorer: Any, labels: NDArray, counts: NDArray[np.float64]) -> float:
    """Score decisions of which only the numbers are known.

    Parameters
    ----------
    name : str
        Of the scorer.
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=...)``.
    labels : ndarray of shape (n_classes,)
        The labels.
    counts : ndarray of shape (n_classes, n_classes)
        How many rows of each label (rows) got each decision (columns).

    Returns
    -------
    float
    """
    y, decided = np.nonzero(counts)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            score = scorer(
                _Decisions(labels), labels[decided], labels[y], sample_weight=counts[y, decided]
            )
        return float(score)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            "A scorer in the 'scoring' parameter of EditedClassifier must score predicted labels, "
            "those of y, and take sample_weight: the budget is of decisions. Got "
            f"{name!r}, which raises: {error} Pass make_scorer(f1_score, pos_label='yes'), for "
            "instance."
        ) from error
