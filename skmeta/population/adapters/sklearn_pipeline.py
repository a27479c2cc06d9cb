"""scikit-learn's ``Pipeline`` of scalers and an ``MLPClassifier`` or ``MLPRegressor``."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmeta.population.adapters import sklearn_mlp
from skmeta.population.adapters._common import (
    InputScaling,
    Reading,
    UnsupportedNetworkError,
    check_not_replaced,
)
from skmeta.population.stack import Record


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, Pipeline)


def read(network: Any) -> Reading:
    """Read a fitted Pipeline; its scalers become part of the first layer."""
    last = network.steps[-1][1]
    if not sklearn_mlp.handles(last):
        raise UnsupportedNetworkError(
            f"its last step '{network.steps[-1][0]}' ({type(last).__name__}) is no MLPClassifier "
            "or MLPRegressor. Transform the rows with pipeline[:-1] yourself, and pass its last "
            "step if that is a network."
        )
    check_not_replaced(network, ("predict", "predict_proba"))
    inner = sklearn_mlp.read(last, scaling_of(network))
    if inner.scaling is None and type(network) is Pipeline:
        return inner  # there is nothing in front, and the estimator answers faster
    cause = "Its Pipeline computes something else than its scalers and its last step."
    answers = sklearn_mlp.questions(network, inner.record, feature_names_of(network), cause)
    # What predict makes of the probabilities is known of a plain Pipeline.
    return inner._replace(answers=answers[: 1 if type(network) is Pipeline else None])


def scaling_of(network: Any) -> InputScaling | None:
    """Return what all steps but the last do to the inputs, None if that is nothing."""
    scaling = None
    for name, step in network.steps[:-1]:
        if step is None or step == "passthrough":
            continue
        factor, offset = _affine(name, step)
        one = InputScaling(*(torch.from_numpy(np.asarray(v, np.float64)) for v in (factor, offset)))
        scaling = one if scaling is None else scaling.then(one)
    if scaling is None:
        return None
    return scaling.expanded(len(network.steps[-1][1].coefs_[0]), bias=True)


def _affine(name: str, step: Any) -> tuple[Any, Any]:
    """Return by what a scaler multiplies its input, and what it adds to that."""
    kind = type(step)
    if kind not in (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler):
        raise UnsupportedNetworkError(
            f"its step '{name}' ({kind.__name__}) cannot become part of the first layer, as "
            "StandardScaler, MinMaxScaler, MaxAbsScaler and RobustScaler can. Transform the rows "
            "with pipeline[:-1], and pass the last step, pipeline[-1]."
        )
    check_is_fitted(step)
    if getattr(step, "clip", False):
        raise UnsupportedNetworkError(
            f"its step '{name}' ({kind.__name__}) clips. Use clip=False, or transform the rows "
            "with pipeline[:-1] and pass the last step, pipeline[-1]."
        )
    if kind is MinMaxScaler:
        return step.scale_, step.min_
    if kind is StandardScaler:
        centred, scaled, centre = step.with_mean, step.with_std, step.mean_
    elif kind is RobustScaler:
        centred, scaled, centre = step.with_centering, step.with_scaling, step.center_
    else:
        centred, scaled, centre = False, True, None
    factor = 1.0 / step.scale_ if scaled else 1.0
    return factor, -centre * factor if centred else 0.0


def write(source: Any, old: Record, new: Record) -> Any:
    """Return a copy of a Pipeline with the weights of its last step changed by ``new - old``."""
    *scalers, (name, last) = source.steps
    network = copy.copy(source)
    edited = sklearn_mlp.write(last, old, new, scaling_of(source))
    network.steps = [*copy.deepcopy(scalers), (name, edited)]
    return network


def classes_of(network: Any) -> np.ndarray | None:
    """Return the class labels of the last step, None for a regressor."""
    return sklearn_mlp.classes_of(network.steps[-1][1])


def feature_names_of(network: Any) -> list[str] | None:
    """Return the names of the columns that the Pipeline was fitted on, None if it saw none."""
    names = (sklearn_mlp.feature_names_of(step) for _, step in network.steps)
    return next((found for found in names if found is not None), None)
