"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor

from skmeta.population.adapters._common import (
    Answer,
    InputScaling,
    Reading,
    UnsupportedNetworkError,
    check_not_replaced,
    decisions,
    join_logistic,
    moved,
    overrides,
    probabilities,
    same,
    split_logistic,
)
from skmeta.population.architecture import Architecture, Layer
from skmeta.population.stack import Record

ACTIVATION_NAMES = {"identity": "identity", "relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}

TRAINING_STATE = ("_optimizer",)
"""What an edit leaves behind: it holds on to the old weights; partial_fit makes it anew."""


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, MLPClassifier | MLPRegressor)


def read(network: Any, scaling: InputScaling | None = None) -> Reading:
    """Read a fitted estimator; one logistic unit becomes two logits.

    ``scaling`` is what a Pipeline does to the inputs; it becomes part of the first layer.
    """
    if not hasattr(network, "coefs_"):
        raise NotFittedError(f"This {type(network).__name__} is not fitted. Call fit first.")
    coefs, intercepts = network.coefs_, network.intercepts_
    if len(coefs) != len(intercepts) or any(c.ndim != 2 for c in coefs):
        raise ValueError("coefs_ and intercepts_ do not describe a network.")
    check_not_replaced(network, ("predict", "predict_proba"))
    if len(getattr(network, "classes_", (0, 1))) == 1:
        raise UnsupportedNetworkError(
            f"it was fitted on a single class ({network.classes_[0]!s}), of which its outputs "
            "say nothing. Fit it on rows of several classes, or leave it out."
        )
    weight = [torch.from_numpy(np.array(c.T, order="C")) for c in coefs]
    bias = [torch.from_numpy(np.array(b)) for b in intercepts]
    if scaling is not None:
        weight[0], bias[0] = scaling.fold(weight[0], bias[0])
    # numpy would warn of numbers that float32 cannot hold; they become infinite, an error.
    weight, bias = ([t.float() for t in row] for row in (weight, bias))
    if is_logistic(network):
        weight[-1], bias[-1] = split_logistic(weight[-1]), split_logistic(bias[-1])
    activation = ACTIVATION_NAMES[network.activation]
    hidden = [Layer(len(b), activation) for b in bias[:-1]]
    layers = (*hidden, Layer(len(bias[-1])))
    record = Record.blank(Architecture(weight[0].shape[1], layers, _output(network)))
    record.tensors.update(weight=weight, bias=bias)
    return Reading(record, _answers(network, record), scaling)


def _answers(network: Any, record: Record) -> tuple[Answer, ...]:
    base = MLPClassifier if isinstance(network, MLPClassifier) else MLPRegressor
    cause = f"Its class computes something else than {base.__name__} does."
    asked = ("predict", "predict_proba", "_forward_pass_fast")
    if overrides(network, base, *(name for name in asked if hasattr(base, name))):
        return questions(network, record, feature_names_of(network), cause)
    link = _LINKS[record.architecture.output]
    return (Answer("forward pass", lambda rows: _forward(network, rows), link, cause),)


def questions(
    network: Any, record: Record, names: list[str] | None, cause: str
) -> tuple[Answer, ...]:
    """Return what to ask an estimator, or a Pipeline of one, whose columns have some names."""

    def ask(method: str) -> Callable[[Tensor], Any]:
        def answer(rows: Tensor) -> Any:
            X = rows.numpy()
            return getattr(network, method)(X if names is None else pd.DataFrame(X, columns=names))

        return answer

    output = record.architecture.output
    if output == "values":
        return (Answer("predict", ask("predict"), same, cause),)
    score = Answer("predict_proba", ask("predict_proba"), _LINKS[output], cause)
    if output == "multilabel":
        return (score,)
    predict = ask("predict")
    decide = Answer(
        "predict", lambda rows: np.searchsorted(network.classes_, predict(rows)), decisions, cause
    )
    return score, decide


def _forward(network: Any, rows: Tensor) -> np.ndarray:
    # What predict_proba and predict end with; they check the rows first, for ten times as long.
    out = network._forward_pass_fast(rows.numpy(), check_input=False)
    return np.hstack([1 - out, out]) if is_logistic(network) else out


_LINKS = {"logits": probabilities, "values": same, "multilabel": torch.sigmoid}


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


def write(source: Any, old: Record, new: Record, scaling: InputScaling | None = None) -> Any:
    """Return a copy of an estimator with its weights changed by ``new - old``."""
    network = copy.copy(source)
    state = {name: value for name, value in vars(source).items() if name not in TRAINING_STATE}
    vars(network).clear()
    vars(network).update(copy.deepcopy(state))
    last = len(network.coefs_) - 1
    for index in range(last + 1):
        pairs = []
        for record in (old, new):
            pair = tuple(record.tensors[f][index].detach().cpu() for f in ("weight", "bias"))
            if index == last and is_logistic(network):
                pair = tuple(join_logistic(value) for value in pair)
            pairs.append(scaling.unfold(*pair) if scaling is not None and index == 0 else pair)
        weights, biases = zip(*pairs, strict=True)
        network.coefs_[index] = _moved(network.coefs_[index], *(w.T for w in weights))
        network.intercepts_[index] = _moved(network.intercepts_[index], *biases)
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


def feature_names_of(network: Any) -> list[str] | None:
    """Return the names of the columns that an estimator was fitted on, None if it saw none."""
    names = getattr(network, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]
