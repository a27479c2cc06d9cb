"""scikit-learn's ``Pipeline`` of scalers and an ``MLPClassifier`` or ``MLPRegressor``."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmeta._columns import fitted_names
from skmeta.networks.adapters import sklearn_mlp
from skmeta.networks.adapters._common import (
    Answer,
    InputScaling,
    UnsupportedNetworkError,
    check_not_replaced,
    check_predicts_likeliest,
)
from skmeta.networks.adapters.keeping import Skeleton, Weights
from skmeta.networks.adapters.sklearn_mlp import MLPSkeleton
from skmeta.networks.record import Record


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, Pipeline)


def take_apart(network: Any) -> tuple[PipelineSkeleton, Weights]:
    """Return a fitted Pipeline as all but the weights of its last step, and these."""
    name, last = network.steps[-1]
    if not sklearn_mlp.handles(last):
        raise UnsupportedNetworkError(
            f"its last step '{name}' ({type(last).__name__}) is no MLPClassifier or MLPRegressor. "
            "Transform the rows with pipeline[:-1] yourself, and pass its last step if that is a "
            "network."
        )
    check_not_replaced(network, ("predict", "predict_proba"))
    check_predicts_likeliest(network, Pipeline, "predict")
    inner, weights = sklearn_mlp.take_apart(last)
    scaling = _scaling_of(network.steps[:-1], len(last.coefs_[0]))
    bare = copy.copy(network)
    bare.steps = [*copy.deepcopy(network.steps[:-1]), (name, None)]
    return PipelineSkeleton(bare, inner, scaling), weights


class PipelineSkeleton(Skeleton):
    """A Pipeline of scalers and an estimator, without the weights of that.

    Parameters
    ----------
    bare : Pipeline
        The Pipeline; its last step is None.
    inner : MLPSkeleton
        The estimator.
    scaling : InputScaling or None
        What the scalers do together.
    """

    def __init__(self, bare: Any, inner: MLPSkeleton, scaling: InputScaling | None) -> None:
        self.bare = bare
        self.inner = inner
        self.scaling = scaling
        self.places = inner.places

    @property
    def kind(self) -> type:
        """The class of the Pipeline."""
        return type(self.bare)

    @property
    def classes(self) -> np.ndarray | None:
        """The class labels of a classifier, None for a regressor."""
        return self.inner.classes

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the columns that the Pipeline was fitted on; None if it saw none."""
        steps = [step for _, step in self.bare.steps[:-1] if not _passes(step)]
        return fitted_names(next(iter(steps), self.inner.bare))

    @property
    def output(self) -> str:
        """What the numbers of the last layer are."""
        return self.inner.output

    def record(self, weights: Weights) -> Record:
        """Return the float32 record of a network that takes the rows unscaled."""
        if self.scaling is not None:
            weight, bias = weights["coefs_.0"].T, weights["intercepts_.0"]
            weight, bias = self.scaling.fold(weight, bias)
            weights = {**weights, "coefs_.0": weight.T, "intercepts_.0": bias}
        return self.inner.record(weights)

    def check_edit(self, old: Record, new: Record) -> None:
        """Refuse nothing: an estimator has all weights and biases, and records no more."""

    def values(self, record: Record) -> Weights:
        """Return the weights of a record behind the scalers."""
        return self.inner.values(record if self.scaling is None else self.scaling.unfolded(record))

    def network(self, weights: Weights) -> Any:
        """Return a fitted Pipeline."""
        network = copy.copy(self.bare)
        *scalers, (name, _) = self.bare.steps
        network.steps = [*copy.deepcopy(scalers), (name, self.inner.network(weights))]
        return network


def routine(network: Any, skeleton: Any) -> None:
    """Return None: each is asked by itself."""


def answers(
    network: Any, skeleton: PipelineSkeleton, weights: Weights, twins: dict[int, Any]
) -> tuple[Answer, ...]:
    """Return what to ask a Pipeline; it keeps nothing of that."""
    cause = "Its Pipeline computes something else than its scalers and its last step."
    return sklearn_mlp.questions(network, skeleton, cause)


def _scaling_of(steps: Sequence[tuple[str, Any]], n_inputs: int) -> InputScaling | None:
    scaling = None
    for name, step in steps:
        if _passes(step):
            continue
        one = InputScaling(*(np.asarray(value, np.float64) for value in _affine(name, step)))
        scaling = one if scaling is None else scaling.then(one)
    return None if scaling is None else scaling.expanded(n_inputs, bias=True)


def _passes(step: Any) -> bool:
    return step is None or isinstance(step, str)  # "passthrough"


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
