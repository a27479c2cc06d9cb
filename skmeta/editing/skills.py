"""What an edit costs: accuracies in closed form, any other scorer by a jackknife."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning

from skmeta.editing.front import Observed, per_class

SKILLS = ("accuracy", "balanced_accuracy")
"""Those that need no scorer."""

Score = Callable[[NDArray[np.float64]], float]
"""Of a table that says how many rows of each label got each decision."""

_Losses = tuple[NDArray[np.float64], NDArray[np.float64]]
_Measured = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def skill_columns(
    observed: Observed, scores: Mapping[str, Score]
) -> dict[str, NDArray[np.float64]]:
    """Say how good each candidate is, and what it loses against the first.

    Parameters
    ----------
    observed : Observed
        Decisions. If networks of several folds have made them, the standard errors include that
        these differ: what is handed out is yet another one.
    scores : mapping of str to callable
        Others beside :data:`SKILLS`, as of :func:`score_of_counts`.

    Returns
    -------
    dict of str to ndarray of shape (n_candidates,)
        ``<skill>``, ``<skill>_loss`` and the standard error of that, ``<skill>_loss_se``, within
        classes and paired.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    decisions, y, folds = observed.decisions, observed.y, observed.folds
    parts = [] if folds is None else [folds == fold for fold in np.unique(folds)]
    for name in (*SKILLS, *scores):
        if name in SKILLS:
            balanced = name == "balanced_accuracy"
            values, losses, variances = _accuracies(decisions, y, observed.n_classes, balanced)
            of_parts = [
                _accuracies(decisions[:, rows], y[rows], observed.n_classes, balanced)[1]
                for rows in parts
            ]
        else:
            values, losses, variances = _scores(decisions, y, scores[name])
            of_parts = [_losses(decisions[:, rows], y[rows], scores[name])[1] for rows in parts]
        variances = variances / observed.evidence
        if parts:  # what folds differ by, beyond the luck of their rows
            between = np.nanvar(of_parts, axis=0, ddof=1) - len(parts) * variances
            variances = variances + between.clip(0)
        columns |= {name: values, f"{name}_loss": losses, f"{name}_loss_se": np.sqrt(variances)}
    return columns


def _accuracies(
    decisions: NDArray[np.int16], y: NDArray[np.int64], n_classes: int, balanced: bool
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


def _tables(decisions: NDArray[np.int16], y: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """Count the decisions of each candidate, label by label; -1, no number, is never chosen."""
    n_classes = int(max(y.max(), decisions.max())) + 1
    for decided in decisions:
        pairs = y * n_classes + decided.clip(0)
        yield np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, -1).astype(float)


def _losses(decisions: NDArray[np.int16], y: NDArray[np.int64], score: Score) -> _Losses:
    values = np.array([score(counts) for counts in _tables(decisions, y)])
    return values, values[0] - values


def _scores(decisions: NDArray[np.int16], y: NDArray[np.int64], score: Score) -> _Measured:
    """Score each candidate; how much each row matters is what the score is without it."""
    values, losses = _losses(decisions, y, score)
    influences = []
    for value, decided, counts in zip(values, decisions, _tables(decisions, y), strict=True):
        influence = np.zeros_like(counts)
        for cell in zip(*np.nonzero(counts), strict=True):
            without = counts.copy()
            without[cell] -= 1
            influence[cell] = (len(y) - 1) * (value - score(without))
        influences.append(influence[y, decided.clip(0)])
    lost = np.subtract(influences[0], influences)
    members = y == np.unique(y)[:, None]
    spread = per_class(lost**2, members) - per_class(lost, members) ** 2
    return values, losses, spread.clip(0) @ members.sum(1) / len(y) ** 2


class _Decisions(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose rows are its decisions."""

    def __init__(self, classes: NDArray) -> None:
        self.classes_ = classes

    def predict(self, X: NDArray) -> NDArray:
        return X


def score_of_counts(name: str, scorer: Any, labels: NDArray) -> Score:
    """Let a scorer of scikit-learn score decisions of which only the numbers are known.

    Parameters
    ----------
    name : str
        What it is called.
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=...)``.
    labels : ndarray of shape (n_classes,)
        The labels, of the type of y: ``pos_label`` is one of them.

    Returns
    -------
    callable
        From counts ``(n_classes, n_classes)``, of each label (rows) and decision (columns), to the
        score.
    """

    def score(counts: NDArray[np.float64]) -> float:
        y, decided = np.nonzero(counts)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                value = scorer(
                    _Decisions(labels), labels[decided], labels[y], sample_weight=counts[y, decided]
                )
            return float(value)
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                "A scorer in the 'scoring' parameter of EditedClassifier must score predicted "
                "labels, those of y, and take sample_weight: the budget is of decisions. Got "
                f"{name!r}, which raises: {error} Pass make_scorer(f1_score, pos_label='yes'), for "
                "instance."
            ) from error

    return score
