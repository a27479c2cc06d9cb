"""Architectures and scikit-learn's networks in files: checked before anything is built."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer
from torch import Tensor

from skmeta._columns import fitted_names
from skmeta.files import FileError
from skmeta.files.checks import expect, fields_of, fits, integers
from skmeta.files.codec import Fields, encode, register
from skmeta.networks.architecture import Architecture
from skmeta.networks.ops import OPS, Conv, Op, Pool
from skmeta.networks.stage import Stage

ESTIMATORS = (MLPClassifier, MLPRegressor)
"""Classes whose instances come back as what they were."""

_MAX_LAYERS = 1000
# States of an image may be this much larger than the image: "same" convolutions keep its size.
_GROWTH, _SMALL = 4, 256

# -- architectures ---------------------------------------------------------------------------


def _describe(spec: Architecture) -> Fields:
    try:
        _check_paddings(spec)
    except ValueError as error:
        raise ValueError(f"A network cannot be saved: {error}.") from error
    return json.loads(json.dumps(spec.to_dict()))  # lists for tuples


def _architecture(spec: Fields) -> Architecture:
    kinds: dict[str, type] = {"n_inputs": int, "stages": list, "output": str}
    convolutional = {"input_shape": list} if "input_shape" in spec else {}
    fields_of(spec, "an architecture", **kinds, **convolutional)
    expect(len(spec["stages"]) <= _MAX_LAYERS, "an architecture has too many layers")
    if convolutional:
        integers(spec["input_shape"], "input_shape", low=1)
    try:
        stages = [_stage(stage) for stage in spec["stages"]]
        shape = {name: tuple(spec[name]) for name in convolutional}
        found = Architecture(spec["n_inputs"], tuple(stages), spec["output"], **shape)
    except (ValueError, TypeError) as error:
        raise FileError(str(error).rstrip(".")) from error
    _check_paddings(found)
    return found


def _stage(spec: Any) -> Stage:
    mix, tail = fields_of(spec, "a stage", mix=dict, tail=list)
    expect(len(tail) <= _MAX_LAYERS, "a stage has too many operations")
    return Stage(*map(_op, (mix, *tail)))  # type: ignore[arg-type]


def _op(spec: Any) -> Op:
    expect(isinstance(spec, dict), "an operation is no object")
    kind = OPS.get(spec["op"]) if isinstance(spec.get("op"), str) else None
    expect(kind is not None, "an operation is unknown")
    assert kind is not None
    kinds = {f.name: _JSON[str(f.type)] for f in fields(kind)}  # type: ignore[arg-type]
    fields_of(spec, "an operation", op=str, **kinds)
    values = {name: spec[name] for name in kinds}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(integers(value, name, low=0))
        finite = not isinstance(value, float) or math.isfinite(value)
        expect(finite, f"'{name}' of an operation is not finite")
    return kind(**values)


_JSON: dict[str, Any] = {
    **{"int": int, "bool": bool, "str": str, "float": (float, int), "Pair": (list, int)},
    **{"Pair | None": (list, int, type(None)), "float | None": (float, int, type(None))},
}
"""What JSON says for the annotations of operations."""


def _check_paddings(spec: Architecture) -> None:
    """Refuse windows whose images no bytes prove: they would take for ever to run.

    Filters are in the file, paddings and strides are numbers that anybody can write down.
    """
    first = math.prod((spec.input_shape or (1, 1, 1))[1:])
    for stage, sizes in zip(spec.stages, spec.sizes, strict=True):
        for op, size in zip(stage.ops, sizes, strict=True):
            windows = getattr(op, "windows", None) if isinstance(op, Conv | Pool) else None
            if size is None or windows is None or windows.kernel is None:
                continue
            padded = [n + 2 * p for n, p in zip(size, windows.padding, strict=True)]
            good = all(s <= n for s, n in zip(windows.stride, padded, strict=True))
            expect(good, f"a stride of {windows.stride} is larger than the padded image {padded}")
            largest = math.prod(padded)
            expect(
                largest <= _GROWTH * first + _SMALL,
                f"a padding of {windows.padding} makes {largest} pixels of {first}, and a file "
                f"may hold {_GROWTH} times as many and {_SMALL}",
            )


register(Architecture, _describe, _architecture)

# -- estimators ------------------------------------------------------------------------------


def _contents(estimator: BaseEstimator) -> Fields:
    params = estimator.get_params(deep=False)
    if not hasattr(estimator, "coefs_"):
        return {"params": params, "fitted": None}
    arrays = [np.asarray(array) for array in (*estimator.coefs_, *estimator.intercepts_)]
    dtypes = {array.dtype.name for array in arrays}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64"}:
        raise ValueError(f"A network with weights of the dtypes {sorted(dtypes)} cannot be saved.")
    fitted = {
        "widths": [len(estimator.coefs_[0]), *map(len, estimator.intercepts_)],
        "weights": torch.from_numpy(np.concatenate([array.ravel() for array in arrays])),
        "classes": check_labels(getattr(estimator, "classes_", None)),
        "feature_names": fitted_names(estimator),
        "out_activation": estimator.out_activation_,
        "n_iter": int(getattr(estimator, "n_iter_", 0)),
        "t": int(getattr(estimator, "t_", 0)),
    }
    return {"params": _plain_params(params), "fitted": fitted}


def _plain_params(params: dict[str, Any]) -> Fields:
    """Return the parameters that files hold; others (a RandomState) fall back to defaults."""
    plain = {}
    for name, value in params.items():
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, list | tuple | np.ndarray):
            value = tuple(int(width) for width in value)
        if fits(value, _PARAM) and (not isinstance(value, float) or math.isfinite(value)):
            plain[name] = value
    return plain


_PARAM = bool | float | str | tuple[int, ...] | None


def check_labels(classes: np.ndarray | None) -> np.ndarray | None:
    """Return class labels if files hold them."""
    if classes is not None:
        try:
            encode(classes, "")
        except ValueError as error:
            raise ValueError(
                f"Class labels of dtype {classes.dtype} cannot be saved. Use numbers or strings."
            ) from error
    return classes


def expect_labels(classes: np.ndarray) -> None:
    """Refuse labels of a file that are none."""
    good = len(classes) > 0 and not any(label is None for label in classes.tolist())
    expect(good, "class labels are numbers or strings")


def _estimator(kind: type, fields: Fields) -> Any:
    kinds = {"params": dict[str, _PARAM], "fitted": dict | None}
    params, fitted = fields_of(fields, "an estimator", **kinds)
    known = set(kind().get_params(deep=False))
    expect(set(params) <= known, f"these are no parameters of {kind.__name__}")
    estimator = kind(**params)
    estimator._validate_params()
    if fitted is not None:
        _restore(estimator, fitted)
    return estimator


def _restore(estimator: BaseEstimator, fitted: Fields) -> None:
    """Give an estimator what it has learned and what partial_fit continues from."""
    kinds: dict[str, Any] = {"widths": list, "weights": Tensor}
    kinds |= {"classes": np.ndarray | None, "feature_names": list[str] | None}
    kinds |= {"out_activation": str, "n_iter": int, "t": int}
    widths, weights, labels, names, out_activation, n_iter, t = fields_of(
        fitted, "an estimator", **kinds
    )
    expect(len(integers(widths, "widths", low=1)) > 1, "an estimator has no layers")
    shapes = [*pairwise(widths), *((width,) for width in widths[1:])]
    sizes = [math.prod(shape) for shape in shapes]
    good = weights.dtype in (torch.float32, torch.float64) and weights.shape == (sum(sizes),)
    expect(good, "the weights of an estimator have the wrong dtype or shape")
    expect(bool(weights.isfinite().all()), "an estimator has NaN or infinite numbers")
    arrays = [
        part.numpy().reshape(shape).copy()
        for part, shape in zip(weights.split(sizes), shapes, strict=True)
    ]
    depth = len(widths) - 1
    estimator.coefs_, estimator.intercepts_ = arrays[:depth], arrays[depth:]
    estimator.n_layers_, estimator.n_outputs_ = len(widths), widths[-1]
    estimator.n_features_in_, estimator.out_activation_ = widths[0], out_activation
    estimator.n_iter_, estimator.t_, estimator.loss_curve_ = n_iter, t, []
    estimator.best_loss_, estimator._no_improvement_count = np.inf, 0
    if names is not None:
        expect(len(names) == widths[0], "the names of features do not fit the weights")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    if isinstance(estimator, MLPClassifier):
        expect(labels is not None, "a classifier has no classes")
        _restore_labels(estimator, labels)
    else:
        expect(labels is None and out_activation == "identity", "a regressor has no classes")


def _restore_labels(estimator: BaseEstimator, classes: np.ndarray) -> None:
    expect_labels(classes)
    n_outputs, activation = estimator.n_outputs_, estimator.out_activation_
    multilabel = activation == "logistic" and n_outputs > 1
    known = activation in ("logistic", "softmax") and (activation != "softmax" or n_outputs > 1)
    expect(known, "the output activation of a classifier is unknown")
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


for _kind in ESTIMATORS:
    register(_kind, _contents, functools.partial(_estimator, _kind))
