"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor``."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor

from skmeta.population.adapters._common import (
    UnsupportedNetworkError,
    join_logistic,
    moved,
    split_logistic,
)
from skmeta.population.architecture import Architecture, Layer
from skmeta.population.tensors import Record

ACTIVATION_NAMES = {"identity": "identity", "relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}

TRAINING_STATE = ("_optimizer",)
"""What an edit leaves behind: it holds on to the old weights; partial_fit makes it anew."""


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, MLPClassifier | MLPRegressor)


def read(network: Any) -> Record:
    """Return a fitted estimator as a record; one logistic unit becomes two logits."""
    if not hasattr(network, "coefs_"):
        raise NotFittedError(f"This {type(network).__name__} is not fitted. Call fit first.")
    coefs, intercepts = network.coefs_, network.intercepts_
    if len(coefs) != len(intercepts) or any(c.ndim != 2 for c in coefs):
        raise ValueError("coefs_ and intercepts_ do not describe a network.")
    # numpy would warn of numbers that float32 cannot hold; they become infinite, an error.
    weight = [torch.from_numpy(np.array(c.T, order="C")).float() for c in coefs]
    bias = [torch.from_numpy(np.array(b)).float() for b in intercepts]
    if is_logistic(network):
        weight[-1], bias[-1] = split_logistic(weight[-1]), split_logistic(bias[-1])
    activation = ACTIVATION_NAMES[network.activation]
    hidden = [Layer(len(b), activation) for b in bias[:-1]]
    layers = (*hidden, Layer(len(bias[-1])))
    record = Record.blank(Architecture(weight[0].shape[1], layers, _output(network)))
    record.tensors.update(weight=weight, bias=bias)
    return record


def is_logistic(network: Any) -> bool:
    """Whether the network is a binary classifier with one logistic unit."""
    # A multilabel network is logistic too, with one unit per label.
    return network.out_activation_ == "logistic" and network.n_outputs_ == 1


def _output(network: Any) -> str:
    if network.out_activation_ == "identity":
        return "values"
    if network.out_activation_ == "logistic" and not is_logistic(network):
        return "multilabel"
    if network.out_activation_ in ("logistic", "softmax"):
        return "logits"
    raise UnsupportedNetworkError(
        f"The output activation {network.out_activation_!r} is not supported (loss="
        f"{getattr(network, 'loss', None)!r}). Supported are MLPClassifier, and MLPRegressor "
        "with loss='squared_error'."
    )


def write(source: Any, old: Record, new: Record) -> Any:
    """Return a copy of an estimator with its weights changed by ``new - old``."""
    network = copy.copy(source)
    state = {name: value for name, value in vars(source).items() if name not in TRAINING_STATE}
    vars(network).clear()
    vars(network).update(copy.deepcopy(state))
    last = len(network.coefs_) - 1
    for index in range(last + 1):
        changes = []
        for field in ("weight", "bias"):
            pair = [record.tensors[field][index].detach().cpu() for record in (old, new)]
            if index == last and is_logistic(network):
                pair = [join_logistic(value) for value in pair]
            changes.append(pair)
        (weight_old, weight_new), (bias_old, bias_new) = changes
        network.coefs_[index] = _moved(network.coefs_[index], weight_old.T, weight_new.T)
        network.intercepts_[index] = _moved(network.intercepts_[index], bias_old, bias_new)
    if hasattr(network, "_best_coefs"):  # Early stopping would go back to the old weights.
        network._best_coefs = [coef.copy() for coef in network.coefs_]
        network._best_intercepts = [intercept.copy() for intercept in network.intercepts_]
    return network


def _moved(array: np.ndarray, old: Tensor, new: Tensor) -> np.ndarray:
    # A copy: arrays that joblib hands out are read-only.
    return moved(torch.from_numpy(np.array(array, order="C")), old, new).numpy()


def classes_of(network: Any) -> np.ndarray | None:
    """Return the class labels of a classifier, None for a regressor."""
    return getattr(network, "classes_", None)
