"""scikit-learn's ``MLPClassifier`` and ``MLPRegressor``."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor

from skmeta._checks import shown
from skmeta._columns import fitted_names
from skmeta.networks.adapters._common import (
    Answer,
    UnsupportedNetworkError,
    check_not_replaced,
    check_predicts_likeliest,
    join_logistic,
    overrides,
    probabilities,
    same,
    split_logistic,
)
from skmeta.networks.adapters.keeping import Skeleton, Weights, places_of
from skmeta.networks.architecture import Architecture, Layer
from skmeta.networks.record import Record

ACTIVATION_NAMES = {"identity": "identity", "relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}

LEFT_BEHIND = ("_optimizer", "_best_coefs", "_best_intercepts", "coefs_", "intercepts_")
"""What a skeleton is without: the weights, and an optimizer, which partial_fit makes anew."""


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, MLPClassifier | MLPRegressor)


def take_apart(network: Any) -> tuple[MLPSkeleton, Weights]:
    """Return a fitted estimator as all but its weights, and its weights."""
    if not hasattr(network, "coefs_"):
        raise NotFittedError(f"This {type(network).__name__} is not fitted. Call fit first.")
    coefs, intercepts = network.coefs_, network.intercepts_
    if len(coefs) != len(intercepts) or any(c.ndim != 2 for c in coefs):
        raise ValueError("coefs_ and intercepts_ do not describe a network.")
    check_not_replaced(network, ("predict", "_predict", "predict_proba"))
    if isinstance(network, MLPClassifier):
        check_predicts_likeliest(network, MLPClassifier, "predict", "_predict")
        _check_labels(network)
    if len(getattr(network, "classes_", (0, 1))) == 1:
        raise UnsupportedNetworkError(
            f"it was fitted on a single class ({network.classes_[0]!s}), of which its outputs "
            "say nothing. Fit it on rows of several classes, or leave it out."
        )
    weights = {}
    for index, pair in enumerate(zip(coefs, intercepts, strict=True)):
        for field, array in zip(("coefs_", "intercepts_"), pair, strict=True):
            weights[f"{field}.{index}"] = torch.from_numpy(np.array(array, order="C"))
    bare = copy.copy(network)
    state = {name: value for name, value in vars(network).items() if name not in LEFT_BEHIND}
    vars(bare).clear()
    vars(bare).update(_copied(state))
    return MLPSkeleton(bare, weights, stops_early=hasattr(network, "_best_coefs")), weights


def _check_labels(network: Any) -> None:
    """Refuse labels that were set by hand, which predict does not look at."""
    known, used = network.classes_, getattr(network, "_label_binarizer", network).classes_
    if not np.array_equal(known, used):
        raise UnsupportedNetworkError(
            f"its classes_ are {shown(known.tolist())}, but it predicts {shown(used.tolist())}. "
            "Set them back, or fit it on the labels that it shall have."
        )


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    try:
        return pickle.loads(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
    except Exception:  # a parameter that is a function of a script
        return copy.deepcopy(state)


class MLPSkeleton(Skeleton):
    """An ``MLPClassifier`` or ``MLPRegressor`` without its weights."""

    def __init__(self, bare: Any, weights: Weights, *, stops_early: bool) -> None:
        self.bare = bare
        self.stops_early = stops_early
        self.places = places_of(weights)
        self.depth = len(weights) // 2

    @property
    def kind(self) -> type:
        """The class of the estimator."""
        return type(self.bare)

    @property
    def classes(self) -> np.ndarray | None:
        """The class labels of a classifier, None for a regressor."""
        return getattr(self.bare, "classes_", None)

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the columns that the estimator was fitted on; None if it saw none."""
        return fitted_names(self.bare)

    @property
    def output(self) -> str:
        """What the numbers of the last layer are."""
        return _output(self.bare)

    def record(self, weights: Weights) -> Record:
        """Return the float32 record; one logistic unit becomes two logits."""
        # numpy would warn of numbers that float32 cannot hold; they become infinite, an error.
        weight = [weights[f"coefs_.{i}"].T.float().contiguous() for i in range(self.depth)]
        bias = [weights[f"intercepts_.{i}"].float().clone() for i in range(self.depth)]
        if is_logistic(self.bare):
            weight[-1], bias[-1] = split_logistic(weight[-1]), split_logistic(bias[-1])
        activation = ACTIVATION_NAMES[self.bare.activation]
        hidden = [Layer(len(b), activation) for b in bias[:-1]]
        layers = (*hidden, Layer(len(bias[-1])))
        record = Record.blank(Architecture(weight[0].shape[1], layers, _output(self.bare)))
        record.tensors.update(weight=weight, bias=bias)
        return record

    def check_edit(self, old: Record, new: Record) -> None:
        """Refuse nothing: an estimator has all weights and biases, and records no more."""

    def values(self, record: Record) -> Weights:
        """Return the weights of a record as scikit-learn has them, one logistic unit for two."""
        out = {}
        for index in range(self.depth):
            for field, name in (("weight", "coefs_"), ("bias", "intercepts_")):
                value = record.tensors[field][index].detach()
                if index == self.depth - 1 and is_logistic(self.bare):
                    value = join_logistic(value)
                out[f"{name}.{index}"] = value.T if field == "weight" else value
        return out

    def network(self, weights: Weights) -> Any:
        """Return a fitted estimator."""
        network = copy.deepcopy(self.bare)
        for field in ("coefs_", "intercepts_"):
            arrays = [weights[f"{field}.{i}"].numpy() for i in range(self.depth)]
            setattr(network, field, [np.ascontiguousarray(array) for array in arrays])
        if self.stops_early:  # Early stopping would go back to other weights.
            network._best_coefs = [coef.copy() for coef in network.coefs_]
            network._best_intercepts = [intercept.copy() for intercept in network.intercepts_]
        return network


def routine(network: Any, skeleton: MLPSkeleton) -> Hashable:
    """Return what says which lines of scikit-learn an estimator runs; None of other classes.

    They depend on nothing else than arrays of the usual kind: one estimator answers for all.
    """
    arrays = (*network.coefs_, *network.intercepts_)
    plain = type(network) in (MLPClassifier, MLPRegressor) and len(arrays) == 2 * (
        network.n_layers_ - 1
    )
    usual = all(type(array) is np.ndarray and array.dtype.kind == "f" for array in arrays)
    if not (plain and usual) or any(callable(value) for value in vars(network).values()):
        return None
    return type(network), network.activation, network.out_activation_, is_logistic(network)


def answers(
    network: Any, skeleton: MLPSkeleton, weights: Weights, twins: dict[int, Any]
) -> tuple[Answer, ...]:
    """Return what to ask an estimator; it keeps nothing of that."""
    base = MLPClassifier if isinstance(network, MLPClassifier) else MLPRegressor
    cause = f"Its class computes something else than {base.__name__} does."
    asked = ("predict", "predict_proba", "_predict", "_forward_pass_fast")
    if overrides(network, base, *(name for name in asked if hasattr(base, name))):
        return questions(network, skeleton, cause)
    link = _LINKS[_output(network)]
    return (Answer("forward pass", lambda rows: _forward(network, rows), link, cause),)


def questions(network: Any, skeleton: Any, cause: str) -> tuple[Answer, ...]:
    """Return what to ask an estimator, or a Pipeline of one, by its public methods."""
    names, output = skeleton.feature_names, skeleton.output

    def ask(method: str) -> Callable[[Tensor], Any]:
        def answer(rows: Tensor) -> Any:
            X = rows.numpy()
            return getattr(network, method)(X if names is None else pd.DataFrame(X, columns=names))

        return answer

    if output == "values":
        return (Answer("predict", ask("predict"), same, cause),)
    return (Answer("predict_proba", ask("predict_proba"), _LINKS[output], cause),)


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
