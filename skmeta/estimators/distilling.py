"""From any classifier to a network: :func:`trained`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

from skmeta.datasets import Task
from skmeta.editing.fine_tuning import fine_tune
from skmeta.estimators.classifier_rows import is_network, train_network, whole_labels
from skmeta.population import Population
from skmeta.requirements import Objective, kullback_leibler

_N_FOLDS = 3
_STUDENT = {"hidden_layer_sizes": (64,)}
_FLOOR = 1e-6


def trained(
    estimator: BaseEstimator,
    X: NDArray,
    y: NDArray,
    classes: NDArray,
    weights: NDArray | None,
    seed: int,
) -> tuple[Any, Any]:
    """Fit a network, or another classifier and a network that has learned from it.

    The network learns the classifier's probabilities of rows that it has not seen (three folds):
    trees are too sure of those that they know.

    Parameters
    ----------
    estimator : classifier
        Untrained; it is cloned.
    X, y : ndarray
        Rows and their labels.
    classes : ndarray
        All labels.
    weights : ndarray or None
        Of the rows.
    seed : int
        Of the training.

    Returns
    -------
    network : MLPClassifier or skorch net
        Fitted.
    source : classifier or None
        What the network has learned from; None if the estimator is a network.
    """
    fitted = train_network(clone(estimator), X, y, classes, weights, seed)
    if is_network(estimator):
        return fitted, None
    _check_decisions(fitted, X)
    taught = _probabilities(estimator, fitted, X, y, classes, weights, seed)
    # A few epochs on the labels, without early stopping's demands on the rows.
    start = MLPClassifier(**_STUDENT, tol=1e9, n_iter_no_change=3)
    start = train_network(start, X, y, classes, weights, seed)
    start.set_params(tol=1e-4, n_iter_no_change=10)
    network = fine_tune(
        Population([start]),
        Task(X, whole_labels(y)),
        Objective(None, kullback_leibler),
        lam=0.0,
        n_steps=800,
        lr=1e-2,
        n_per_cell=128,
        targets=torch.from_numpy(np.log(np.maximum(taught, _FLOOR)))[None].float(),
        random_state=seed,
    )
    return network.to_networks()[0], fitted


def _check_decisions(fitted: Any, X: NDArray) -> None:
    """Refuse what decides in another way than a network can learn from its probabilities."""
    chances = fitted.predict_proba(X)
    tied = (chances >= chances.max(1, keepdims=True) - 1e-9).sum(1) > 1
    others = np.asarray(fitted.predict(X)) != fitted.classes_[chances.argmax(1)]
    if share := np.mean(others & ~tied):
        raise ValueError(
            "The 'estimator' parameter of EditedClassifier must predict the class of the highest "
            f"predict_proba, from which a network learns. Got {type(fitted).__name__}, which "
            f"predicts another one on {100 * share:.3g} % of the rows, by a threshold of its own "
            "or by other scores. Pass the classifier within it, or one with such probabilities, as "
            "of CalibratedClassifierCV."
        )


def _probabilities(
    estimator: BaseEstimator,
    fitted: Any,
    X: NDArray,
    y: NDArray,
    classes: NDArray,
    weights: NDArray | None,
    seed: int,
) -> NDArray[np.float64]:
    if np.unique(y, return_counts=True)[1].min() < _N_FOLDS:
        return fitted.predict_proba(X)
    taught = np.empty((len(X), len(classes)))
    parts = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed)
    for rest, part in parts.split(X, y):
        weighing = None if weights is None else weights[rest]
        fresh = train_network(clone(estimator), X[rest], y[rest], classes, weighing, seed)
        taught[part] = fresh.predict_proba(X[part])
    return taught
