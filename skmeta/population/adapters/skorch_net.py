"""skorch nets. skorch is imported only if the caller has done so."""

from __future__ import annotations

import sys
from typing import Any

from sklearn.exceptions import NotFittedError
from torch import nn

from skmeta.population.adapters import _hollow, torch_modules
from skmeta.population.adapters._common import UnsupportedNetworkError
from skmeta.population.adapters._hollow import Known
from skmeta.population.adapters._topology import Topology
from skmeta.population.adapters.keeping import Skeleton, Weights


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    # Who holds a skorch net has imported skorch.
    skorch = sys.modules.get("skorch")
    return skorch is not None and isinstance(network, skorch.NeuralNet)


def take_apart(
    network: Any, input_shape: tuple[int, int, int] | None, known: Known
) -> tuple[Skeleton, Weights]:
    """Return an initialized net as all but the tensors of its module, and these.

    The kind of the net says what the outputs mean: two logits for a
    ``NeuralNetBinaryClassifier``, values for a ``NeuralNetRegressor``, class logits for a
    ``NeuralNetClassifier``; a plain ``NeuralNet`` is read like its module.
    """
    if not getattr(network, "initialized_", False):
        raise NotFittedError(f"This {type(network).__name__} is not initialized. Call fit first.")

    def make(hollow: Any, weights: Weights) -> torch_modules.ModuleSkeleton:
        topology, meaning = _reading(network)
        return torch_modules.ModuleSkeleton(hollow, weights, topology, meaning, input_shape)

    return _hollow.take_apart(network, network.module_, known, make)


def _reading(network: Any) -> tuple[Topology, str]:
    """Return what the module of a net computes, and what its outputs mean."""
    kind = _kind(network)
    if kind is None:
        topology = torch_modules.topology_of(network.module_)
        return topology, torch_modules.meaning_of(network.module_, topology)
    topology = torch_modules.topology_of(network.module_, values=kind == "values")
    allowed = {"binary": ("none", "sigmoid"), "values": ("none",), "logits": _tails(network)}
    if topology.tail not in allowed[kind]:
        raise UnsupportedNetworkError(
            f"the end of its module ({topology.tail}) does not go with "
            f"{type(network.criterion_).__name__}. Supported are NeuralNetClassifier with "
            "CrossEntropyLoss and logits, or NLLLoss and a Softmax; NeuralNetBinaryClassifier "
            "with one logit; NeuralNetRegressor with plain outputs."
        )
    return topology, kind


def _kind(network: Any) -> str | None:
    skorch = sys.modules["skorch"]
    for name, kind in (
        ("NeuralNetBinaryClassifier", "binary"),
        ("NeuralNetClassifier", "logits"),
        ("NeuralNetRegressor", "values"),
    ):
        if isinstance(network, getattr(skorch, name)):
            return kind
    return None


def _tails(network: Any) -> tuple[str, ...]:
    # skorch hands the logarithm of the outputs to NLLLoss, and applies a softmax to them
    # when predicting with CrossEntropyLoss.
    if isinstance(network.criterion_, nn.CrossEntropyLoss):
        return ("none", "log_softmax")
    return ("softmax",)
