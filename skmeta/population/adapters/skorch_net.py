"""skorch nets. skorch is imported only if the caller has done so."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from torch import nn

from skmeta.population.adapters import torch_modules
from skmeta.population.adapters._common import UnsupportedNetworkError
from skmeta.population.adapters._topology import Topology
from skmeta.population.tensors import Record


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    # Who holds a skorch net has imported skorch.
    skorch = sys.modules.get("skorch")
    return skorch is not None and isinstance(network, skorch.NeuralNet)


def read(network: Any, input_shape: tuple[int, int, int] | None = None) -> Record:
    """Return the module of an initialized net as a record.

    The kind of the net says what the outputs mean: two logits for a
    ``NeuralNetBinaryClassifier``, values for a ``NeuralNetRegressor``, class logits for a
    ``NeuralNetClassifier``; a plain ``NeuralNet`` is read like its module.
    """
    if not getattr(network, "initialized_", False):
        raise NotFittedError(f"This {type(network).__name__} is not initialized. Call fit first.")
    kind = _kind(network)
    if kind is None:
        return torch_modules.read(network.module_, input_shape)
    topology = _topology(network)
    allowed = {"binary": ("none", "sigmoid"), "values": ("none",), "logits": _tails(network)}
    if topology.tail not in allowed[kind]:
        raise UnsupportedNetworkError(
            f"the end of its module ({topology.tail}) does not go with "
            f"{type(network.criterion_).__name__}. Supported are NeuralNetClassifier with "
            "CrossEntropyLoss and logits, or NLLLoss and a Softmax; NeuralNetBinaryClassifier "
            "with one logit; NeuralNetRegressor with plain outputs."
        )
    return torch_modules.record_of(network.module_, topology, kind, input_shape)


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


def _topology(network: Any) -> Topology:
    return torch_modules.topology_of(network.module_, values=_kind(network) == "values")


def write(source: Any, old: Record, new: Record) -> Any:
    """Return a copy of a net with the weights of its module changed by ``new - old``."""
    network = copy.deepcopy(source)
    torch_modules.write_into(network.module_, _topology(source), old, new)
    return network


def classes_of(network: Any) -> np.ndarray | None:
    """Return the class labels of a classifier, None where they are unknown."""
    return getattr(network, "classes_", None)
