"""skorch nets. skorch is imported only if the caller has done so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skmeta.networks.adapters import _hollow, torch_modules
from skmeta.networks.adapters._common import (
    Answer,
    UnsupportedNetworkError,
    check_not_replaced,
    check_predicts_likeliest,
    probabilities,
)
from skmeta.networks.adapters._hollow import Known, Twin
from skmeta.networks.adapters._states import Topology
from skmeta.networks.adapters.keeping import Skeleton, Weights

_METHODS = ("predict", "predict_proba", "forward_iter", "evaluation_step", "infer")

_CLASSES = {  # the first is a class of the second
    "binary": "NeuralNetBinaryClassifier",
    "logits": "NeuralNetClassifier",
    "values": "NeuralNetRegressor",
}

_WORKERS = ("num_workers", "persistent_workers", "prefetch_factor", "multiprocessing_context")


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
    ``NeuralNetClassifier``. A plain ``NeuralNet`` is read like its module, unless its
    criterion is a binary cross-entropy.
    """
    if not getattr(network, "initialized_", False):
        raise NotFittedError(f"This {type(network).__name__} is not initialized. Call fit first.")
    check_not_replaced(network, _METHODS)
    torch_modules.check_plain(network.module_, "network.module_")
    kind = _kind(network)
    if kind in ("binary", "logits"):
        base = getattr(sys.modules["skorch"], _CLASSES[kind])
        check_predicts_likeliest(network, base, "predict")
    if kind == "binary" and network.threshold != 0.5:
        raise UnsupportedNetworkError(
            f"its threshold is {network.threshold}, but the classes of a Population are the "
            "likeliest ones. Set threshold=0.5, and compare the probabilities with a threshold "
            "of your own."
        )

    def make(hollow: Any, weights: Weights) -> torch_modules.ModuleSkeleton:
        topology = torch_modules.topology_of(hollow.module_, weights, values=kind == "values")
        meaning = _meaning(network, topology)
        return torch_modules.ModuleSkeleton(hollow, weights, topology, meaning, input_shape)

    return _hollow.take_apart(network, network.module_, known, make)


def _meaning(network: Any, topology: Topology) -> str:
    """Return what the outputs are; refuse an end of the module that does not fit the net."""
    kind, criterion = _kind(network), network.criterion_
    if kind == "plain":
        if not isinstance(criterion, nn.BCEWithLogitsLoss | nn.BCELoss):
            return torch_modules.meaning_of(network.module_, topology)
        kind = "binary" if topology.stages[-1].width == 1 else "multilabel"
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


def _kind(network: Any) -> str:
    for kind, name in _CLASSES.items():
        if isinstance(network, getattr(sys.modules["skorch"], name)):
            return kind
    return "plain"


def routine(network: Any, skeleton: Any) -> None:
    """Return None: each is asked by itself."""


def answers(
    network: Any,
    skeleton: torch_modules.ModuleSkeleton,
    weights: Weights,
    twins: dict[int, Twin],
) -> tuple[Answer, ...]:
    """Return what to ask a net, and its module: its rules may make other numbers of those."""
    twin = torch_modules.twin_of(skeleton, weights, twins).host
    _without_draws(twin)
    module = torch_modules.answer_of(skeleton, weights, twin.module_)
    like = weights[skeleton.names["0.weight"]]

    def ask(method: str) -> Callable[[Tensor], Any]:
        return lambda rows: getattr(twin, method)(skeleton.inputs(rows, like).cpu().numpy())

    cause = (
        "A net must say the outputs of its module, or the probabilities that its criterion asks "
        f"for; its predict_nonlinearity is {network.predict_nonlinearity!r}."
    )
    kind, output = _kind(network), skeleton.architecture.output
    if output == "multilabel":
        return (module,)  # two columns for one label is all that skorch's own rules know
    says_outputs = output == "values" or (
        kind == "plain" and not isinstance(network.criterion_, _CLASSIFYING)
    )
    method, link = ("predict", module.link) if says_outputs else ("predict_proba", probabilities)
    return module, Answer(method, ask(method), link, cause, module.rounding)


_CLASSIFYING = nn.CrossEntropyLoss | nn.BCEWithLogitsLoss | nn.BCELoss


def _without_draws(net: Any) -> None:
    """Make a net predict without the global generator."""
    if isinstance(net.iterator_valid, type) and issubclass(net.iterator_valid, DataLoader):
        # A DataLoader draws a seed for its workers, even if it has none.
        vars(net)["iterator_valid__generator"] = torch.Generator().manual_seed(0)
        for name in _WORKERS:
            vars(net).pop(f"iterator_valid__{name}", None)
