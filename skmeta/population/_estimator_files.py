"""scikit-learn estimators as tensors and JSON, and back; classes come from a fixed registry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer
from torch import Tensor

from skmeta._columns import fitted_names
from skmeta.files.checks import check_texts, expect, fail, fields_of

REGISTRY: dict[str, type] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}

DTYPES = {"float64": torch.float64, "float32": torch.float32}

_LABEL_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64", "str", "object"),
)


def widths_of(estimator: Any) -> tuple[int, ...]:
    """Return the sizes of all states, with one unit for a binary classifier."""
    return (estimator.coefs_[0].shape[0], *(len(b) for b in estimator.intercepts_))


def describe(estimator: Any) -> dict[str, Any]:
    """Return all fitted state but the weights as JSON types."""
    classes = getattr(estimator, "classes_", None)
    return {
        "params": _params(estimator),
        "classes": None if classes is None else describe_labels(classes),
        "feature_names": fitted_names(estimator),
        "out_activation": estimator.out_activation_,
        "n_iter": int(getattr(estimator, "n_iter_", 0)),
        "t": int(getattr(estimator, "t_", 0)),
    }


def _params(estimator: Any) -> dict[str, Any]:
    """Return the parameters that JSON can hold; others (a RandomState) fall back to defaults."""
    params = {}
    for name, value in estimator.get_params(deep=False).items():
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, list | tuple | np.ndarray):
            value = [int(width) for width in value]
        finite = not isinstance(value, float) or math.isfinite(value)
        if finite and (value is None or isinstance(value, bool | int | float | str | list)):
            params[name] = value
    return params


def describe_labels(classes: np.ndarray) -> dict[str, Any]:
    """Return class labels as JSON types, which :func:`labels_of` reads."""
    kind = "str" if classes.dtype.kind == "U" else classes.dtype.name
    values = classes.tolist()
    check_texts(values)
    if kind not in _LABEL_DTYPES or not all(
        isinstance(v, bool | int | float | str) for v in values
    ):
        raise ValueError(
            f"Class labels of dtype {classes.dtype} cannot be saved. Use numbers or strings."
        )
    return {"dtype": kind, "values": values}


def rebuild(
    kind: str, state: Any, widths: list[int], coefs: list[Tensor], intercepts: list[Tensor]
) -> Any:
    """Return a fitted estimator from its description and its weights."""
    params, labels, names, out_activation, n_iter, t = fields_of(
        state,
        "an estimator",
        params=dict,
        classes=(dict, type(None)),
        feature_names=(list, type(None)),
        out_activation=str,
        n_iter=int,
        t=int,
    )
    for value in params.values():
        integers = isinstance(value, list) and all(type(v) is int for v in value)
        expect(integers or not isinstance(value, dict | list), "a parameter has the wrong type")
    known = REGISTRY[kind]().get_params(deep=False)
    expect(set(params) <= set(known), f"these are no parameters of {kind}")
    params = {n: tuple(v) if isinstance(v, list) else v for n, v in params.items()}
    estimator = REGISTRY[kind](**params)
    estimator._validate_params()
    estimator.coefs_ = [coef.numpy().copy() for coef in coefs]
    estimator.intercepts_ = [intercept.numpy().copy() for intercept in intercepts]
    finite = all(np.isfinite(a).all() for a in (*estimator.coefs_, *estimator.intercepts_))
    expect(finite, "an estimator has NaN or infinite numbers")
    estimator.n_layers_, estimator.n_outputs_ = len(widths), widths[-1]
    estimator.n_features_in_ = widths[0]
    estimator.out_activation_ = out_activation
    # The rest is what partial_fit continues from.
    estimator.n_iter_, estimator.t_, estimator.loss_curve_ = n_iter, t, []
    estimator.best_loss_, estimator._no_improvement_count = np.inf, 0
    if names is not None:
        good = len(names) == widths[0] and all(isinstance(name, str) for name in names)
        expect(good, "the names of features do not fit the weights")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    if kind == "MLPClassifier":
        _restore_labels(estimator, labels)
    else:
        expect(labels is None and out_activation == "identity", "a regressor has no classes")
    return estimator


def labels_of(labels: Any) -> np.ndarray:
    """Return the class labels that anybody claims :func:`describe_labels` returned."""
    kind, values = fields_of(labels, "class labels", dtype=str, values=list)
    expect(kind in _LABEL_DTYPES, "class labels have an unknown dtype")
    scalars = all(isinstance(v, bool | int | float | str) for v in values)
    expect(scalars and len(values) > 0, "class labels are numbers or strings")
    if kind == "str":
        check_texts(values)
    classes = np.array(values, dtype=object if kind == "object" else None)
    if kind not in ("object", "str"):
        classes = classes.astype(kind)
        expect(classes.tolist() == values, "class labels do not fit their dtype")
    else:
        expect(kind == "object" or classes.dtype.kind == "U", "class labels are no strings")
    return classes


def _restore_labels(estimator: Any, labels: Any) -> None:
    classes = labels_of(labels)
    n_outputs, activation = estimator.n_outputs_, estimator.out_activation_
    multilabel = activation == "logistic" and n_outputs > 1
    if activation not in ("logistic", "softmax") or (activation == "softmax") > (n_outputs > 1):
        fail("the output activation of a classifier is unknown")
    binary = n_outputs == 1 and len(classes) <= 2
    expect(binary or (n_outputs > 1 and len(classes) == n_outputs), "classes and outputs disagree")
    # Repeated labels: scikit-learn warns of as many classes as samples.
    y = np.tile([[0], [1]], n_outputs) if multilabel else np.repeat(classes, 3)
    estimator._label_binarizer = LabelBinarizer().fit(y)
    expect(
        np.array_equal(estimator._label_binarizer.classes_, classes),
        "class labels are not sorted and unique",
    )
    estimator.classes_ = classes
