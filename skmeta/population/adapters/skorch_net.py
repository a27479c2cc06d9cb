"""skorch nets. skorch is imported only if the caller has done so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skmeta.population.adapters import torch_modules
from skmeta.population.adapters._common import (
    Answer,
    Reading,
    UnsupportedNetworkError,
    check_not_replaced,
    decisions,
    overrides,
    probabilities,
)
from skmeta.population.adapters._states import Topology
from skmeta.population.adapters._twins import copied, give_hooks, twin_of
from skmeta.population.stack import Record

_METHODS = ("predict", "predict_proba", "forward_iter", "evaluation_step", "infer")

_WORKERS = ("num_workers", "persistent_workers", "prefetch_factor", "multiprocessing_context")


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    # Who holds a skorch net has imported skorch.
    skorch = sys.modules.get("skorch")
    return skorch is not None and isinstance(network, skorch.NeuralNet)


def read(network: Any, input_shape: tuple[int, int, int] | None = None) -> Reading:
    """Read the module of an initialized net.

    The kind of the net says what the outputs mean: two logits for a
    ``NeuralNetBinaryClassifier``, values for a ``NeuralNetRegressor``, class logits for a
    ``NeuralNetClassifier``. A plain ``NeuralNet`` is read like its module, unless its
    criterion is a binary cross-entropy.
    """
    if not getattr(network, "initialized_", False):
        raise NotFittedError(f"This {type(network).__name__} is not initialized. Call fit first.")
    check_not_replaced(network, _METHODS)
    torch_modules.check_not_wrapped(network.module_, "network.module_")
    kind = _kind(network)
    if kind == "binary" and network.threshold != 0.5:
        raise UnsupportedNetworkError(
            f"its threshold is {network.threshold}, but the classes of a Population are the "
            "likeliest ones. Set threshold=0.5, and compare the probabilities with a threshold "
            "of your own."
        )
    reading = torch_modules.read_as(
        network.module_, partial(_meaning, network), input_shape, values=kind == "values"
    )
    return reading._replace(answers=(*reading.answers, *_answers(network, reading)))


def _kind(network: Any) -> str:
    for name, kind in (
        ("NeuralNetBinaryClassifier", "binary"),
        ("NeuralNetClassifier", "logits"),
        ("NeuralNetRegressor", "values"),
    ):
        if isinstance(network, getattr(sys.modules["skorch"], name)):
            return kind
    return "plain"


def _meaning(network: Any, topology: Topology) -> str:
    """Return what the outputs are; refuse an end of the module that does not fit the net."""
    kind, criterion = _kind(network), network.criterion_
    if kind == "plain":
        if not isinstance(criterion, nn.BCEWithLogitsLoss | nn.BCELoss):
            return torch_modules.meaning_of(network.module_, topology)
        kind = "binary" if topology.layers[-1].width == 1 else "multilabel"
    # skorch hands the logarithm of the outputs to NLLLoss. When it predicts, it applies a
    # softmax with CrossEntropyLoss and a sigmoid with BCEWithLogitsLoss.
    tails: tuple[str, ...] = ("none",)
    if kind == "logits":
        entropy = isinstance(criterion, nn.CrossEntropyLoss)
        tails = ("none", "log_softmax") if entropy else ("softmax",)
    elif kind != "values" and not isinstance(criterion, nn.BCEWithLogitsLoss):
        # With a loss of one's own, predict_nonlinearity says what the outputs are.
        tails = ("sigmoid",) if isinstance(criterion, nn.BCELoss) else ("none", "sigmoid")
    if topology.tail not in tails:
        raise UnsupportedNetworkError(
            f"the end of its module ({topology.tail}) does not go with "
            f"{type(criterion).__name__}. Supported are NeuralNetClassifier with "
            "CrossEntropyLoss and logits, or NLLLoss and a Softmax; NeuralNetBinaryClassifier "
            "with BCEWithLogitsLoss and one logit, or BCELoss and a Sigmoid; NeuralNetRegressor "
            "with plain outputs."
        )
    return kind


def _answers(network: Any, reading: Reading) -> Iterator[Answer]:
    """Yield what to ask the net: its rules may make other numbers of what its module says."""
    kind, output = _kind(network), reading.record.architecture.output
    (module,) = reading.answers
    twin = _twin_of(network)

    def ask(method: str) -> Callable[[Tensor], Any]:
        return lambda rows: getattr(twin, method)(reading.inputs(rows).cpu().numpy())

    cause = (
        "A net must say the outputs of its module, or the probabilities that its criterion asks "
        f"for; its predict_nonlinearity is {network.predict_nonlinearity!r}."
    )
    if output == "multilabel":
        return  # two columns for one label is all that skorch's own rules know
    says_outputs = output == "values" or (
        kind == "plain" and not isinstance(network.criterion_, _CLASSIFYING)
    )
    method, link = ("predict", module.link) if says_outputs else ("predict_proba", probabilities)
    yield Answer(method, ask(method), link, cause, module.rounding)
    base = sys.modules["skorch"].NeuralNetClassifier
    if kind == "logits" and overrides(network, base, "predict"):
        yield Answer("predict", ask("predict"), decisions, cause)


_CLASSIFYING = nn.CrossEntropyLoss | nn.BCEWithLogitsLoss | nn.BCELoss


def _twin_of(network: Any) -> Any:
    """Return a net that predicts what a net does, and changes neither it nor a generator."""
    twin = object.__new__(type(network))
    state = dict(vars(network))
    for name in (*network._modules, *network._criteria):
        if isinstance(module := state[f"{name}_"], nn.Module):
            state[f"{name}_"] = twin_of(module)
            give_hooks(state[f"{name}_"], module)
    if isinstance(network.iterator_valid, type) and issubclass(network.iterator_valid, DataLoader):
        # A DataLoader draws a seed for its workers, even if it has none.
        state["iterator_valid__generator"] = torch.Generator().manual_seed(0)
        for name in _WORKERS:
            state.pop(f"iterator_valid__{name}", None)
    vars(twin).update(state)
    return twin


def write(source: Any, old: Record, new: Record) -> Any:
    """Return a copy of a net with the weights of its module changed by ``new - old``."""
    network = copied(source)
    topology = torch_modules.topology_of(source.module_, values=_kind(source) == "values")
    torch_modules.write_into(network.module_, topology, old, new)
    return network


def classes_of(network: Any) -> np.ndarray | None:
    """Return the class labels of a classifier, None where they are unknown.

    skorch predicts the numbers of the outputs, whatever labels it knows: these are labels
    only where they are the same.
    """
    classes = np.asarray(getattr(network, "classes_", ()))
    codes = np.arange(len(classes))
    return codes if len(codes) and np.array_equal(classes, codes) else None


def feature_names_of(network: Any) -> None:
    """Return None: a net does not know the names of its inputs."""
