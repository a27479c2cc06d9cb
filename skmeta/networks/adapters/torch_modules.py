"""Any ``torch.nn.Module`` whose graph is that of an :class:`Architecture`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skmeta.networks.adapters import _hollow
from skmeta.networks.adapters._common import (
    Answer,
    UnsupportedNetworkError,
    check_absent,
    check_not_replaced,
    join_logistic,
    read_tensor,
    same,
    split_logistic,
)
from skmeta.networks.adapters._hollow import Known, Twin, without_hooks
from skmeta.networks.adapters._states import Topology
from skmeta.networks.adapters._topology import read_topology
from skmeta.networks.adapters.keeping import Skeleton, Source, Weights, places_of
from skmeta.networks.architecture import Architecture
from skmeta.networks.modules import CNN, MLP, tensor_names
from skmeta.networks.record import Record


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, nn.Module)


def topology_of(hollow: nn.Module, weights: Weights, *, values: bool = False) -> Topology:
    """Return what a module computes; an :class:`MLP` or a :class:`CNN` knows it itself."""
    if (spec := _own_spec(hollow)) is not None:
        return Topology(spec.widths[0], spec.layers, tensor_names(spec), "none", spec.input_shape)
    owned = {name: value.clone() for name, value in weights.items()}
    twin = without_hooks(_hollow.fill(hollow, module_of, owned)).eval()
    return read_topology(twin, values=values)


def _own_spec(module: nn.Module) -> Architecture | None:
    # A subclass may compute something else.
    return module.architecture if type(module) is MLP or type(module) is CNN else None


def is_own(network: Any, source: Source) -> bool:
    """Whether a network is one that its record alone gives back."""
    if not handles(network) or _own_spec(network) is None or network.training or source.own:
        return False
    tensors = network.state_dict(keep_vars=True).values()
    like_new = all(
        t.device.type == "cpu" and t.dtype in (torch.float32, torch.int64) for t in tensors
    )
    hooked = _hollow.is_hooked(network)
    return like_new and all(p.requires_grad for p in network.parameters()) and not hooked


_WRAPPERS = {
    nn.DataParallel: "module",
    nn.parallel.DistributedDataParallel: "module",
    torch.optim.swa_utils.AveragedModel: "module",
}


def take_apart(
    network: nn.Module, input_shape: tuple[int, int, int] | None, known: Known
) -> tuple[Skeleton, Weights]:
    """Return a module as all but its weights, and its weights.

    A softmax at the end is left out: its inputs are the logits. A sigmoid at the end means
    probabilities, of two classes for one output and of one label per output for several.
    One output without a sigmoid is a regressor's value, as are outputs behind any other
    activation.
    """
    check_plain(network)

    def make(hollow: nn.Module, weights: Weights) -> ModuleSkeleton:
        topology = topology_of(hollow, weights)
        return ModuleSkeleton(hollow, weights, topology, meaning_of(network, topology), input_shape)

    return _hollow.take_apart(network, network, known, make)


def meaning_of(network: nn.Module, topology: Topology) -> str:
    """Return what the outputs of a module mean: an architecture's output, or "binary"."""
    last = topology.layers[-1]
    if (spec := _own_spec(network)) is not None:
        return spec.output
    if topology.tail == "sigmoid":
        return "binary" if last.width == 1 else "multilabel"
    if topology.tail == "none" and (last.width == 1 or last.activation != "identity"):
        return "values"
    return "logits"


class ModuleSkeleton(Skeleton):
    """A module, or a net around one, without its tensors.

    Parameters
    ----------
    hollow : nn.Module or skorch net
        The network with holes.
    weights : dict of str to Tensor
        Its tensors.
    topology : Topology
        What its module computes.
    meaning : str
        An architecture's output, or "binary".
    input_shape : tuple, optional
        The shape of the images that the user named.
    """

    def __init__(
        self,
        hollow: Any,
        weights: Weights,
        topology: Topology,
        meaning: str,
        input_shape: tuple[int, int, int] | None,
    ) -> None:
        self.hollow = hollow
        self.places = places_of(weights)
        self.names = topology.names
        self.tail = topology.tail
        self.scaling = topology.scaling
        self.binary = meaning == "binary"
        self.takes_images = topology.layers[0].kernel is not None and not topology.input_shape
        self.architecture = _architecture(topology, meaning, input_shape)

    @property
    def kind(self) -> type:
        """The class of the module or the net."""
        return type(self.hollow)

    @property
    def classes(self) -> np.ndarray | None:
        """The numbers of a net's outputs if it takes them for labels; None of a module.

        skorch predicts these numbers, whatever labels it knows.
        """
        classes = np.asarray(getattr(self.hollow, "classes_", ()))
        codes = np.arange(len(classes))
        return codes if len(codes) and np.array_equal(classes, codes) else None

    def record(self, weights: Weights) -> Record:
        """Return the float32 record; one logit of two classes becomes two."""
        record = Record.blank(self.architecture)
        for index, names in enumerate(self.names):
            tensors = {field: _floating(name, weights[name]) for field, name in names.items()}
            if index == 0 and self.scaling is not None:
                bias = tensors.get("bias", torch.zeros(len(tensors["weight"])))
                tensors["weight"], bias = self.scaling.fold(tensors["weight"], bias)
                tensors |= {"bias": bias} if "bias" in names else {}
            for field, tensor in tensors.items():
                split = self.binary and index == len(self.names) - 1
                tensor = tensor.float()
                record.tensors[field][index] = split_logistic(tensor) if split else tensor
        return record

    def inputs(self, rows: Tensor, like: Tensor) -> Tensor:
        """Return rows as the module takes them, in the type and place of its weights."""
        rows, shape = rows.to(like.device, like.dtype), self.architecture.input_shape
        return rows.reshape(-1, *shape) if self.takes_images and shape is not None else rows

    def check_edit(self, old: Record, new: Record) -> None:
        """Refuse an edit of parameters that the module does not have."""
        check_absent(self.names, old, new)

    def values(self, record: Record) -> Weights:
        """Return the weights of a record behind the scaling, one logit in place of two."""
        out = {}
        record = record if self.scaling is None else self.scaling.unfolded(record)
        for index, names in enumerate(self.names):
            for field, name in names.items():
                value = record.tensors[field][index].detach()
                joined = self.binary and index == len(self.names) - 1
                out[name] = join_logistic(value) if joined else value
        return out

    def network(self, weights: Weights) -> Any:
        """Return a module, or a net around one."""
        return _hollow.fill(self.hollow, module_of, weights)


_MANY = 32
"""How many copies of networks are held at once, to run others with the same skeleton."""


def answers(
    network: nn.Module, skeleton: ModuleSkeleton, weights: Weights, twins: dict[int, Twin]
) -> tuple[Answer, ...]:
    """Return what to ask a module: a copy of it is run."""
    twin = twin_of(skeleton, weights, twins).host
    return (answer_of(skeleton, weights, twin),)


def routine(network: nn.Module, skeleton: ModuleSkeleton) -> Hashable:
    """Return what networks have in common that can be run at once; None with hooks."""
    return None if _hollow.is_hooked(network) else id(skeleton)


def say_together(skeleton: ModuleSkeleton, weights: Sequence[Weights], rows: Tensor) -> Any:
    """Return what modules of one skeleton say on the same rows, run at once.

    Parameters
    ----------
    skeleton : ModuleSkeleton
        What they share.
    weights : sequence of dict
        What they do not.
    rows : Tensor of shape (n_samples, n_inputs)
        Rows in float64.

    Returns
    -------
    Tensor or None
        Outputs of each. None if they have to be asked one by one: what a forward does in
        numpy, or lets depend on numbers, cannot be run so.
    """
    module = Twin(skeleton, weights[0], module_of).host
    like = weights[0][skeleton.names[0]["weight"]]
    inputs = skeleton.inputs(rows.clone(), like)  # a forward may change them in place
    stacked = {name: torch.stack([w[name] for w in weights]) for name in weights[0]}
    try:
        with torch.no_grad():
            return torch.vmap(lambda w: torch.func.functional_call(module, w, inputs))(stacked)
    except Exception:
        return None


def twin_of(skeleton: ModuleSkeleton, weights: Weights, twins: dict[int, Twin]) -> Twin:
    """Return a copy of a network; those with one skeleton use the same, one by one."""
    if id(skeleton) not in twins:
        if len(twins) == _MANY:  # networks that share nothing would all be held twice
            twins.clear()
        twins[id(skeleton)] = Twin(skeleton, weights, module_of)
    return twins[id(skeleton)].given(weights)


def answer_of(skeleton: ModuleSkeleton, weights: Weights, module: nn.Module) -> Answer:
    """Return how to ask a module for its outputs."""
    like = weights[skeleton.names[0]["weight"]]
    cause = (
        "Something beside its layers changes the values, perhaps a forward hook or a __call__ of "
        "its own. Take it away."
    )
    # Half precision and the convolutions of accelerators round more coarsely.
    rounding = max(1e-5, 30 * torch.finfo(like.dtype).eps, 2e-3 * (like.device.type != "cpu"))
    link = _LINKS["binary" if skeleton.binary else "", skeleton.tail]

    def ask(rows: Tensor) -> Tensor:
        return module(skeleton.inputs(rows, like))

    return Answer("forward", ask, link, cause, rounding)


def check_plain(module: nn.Module, path: str = "network") -> None:
    """Refuse what only runs another module, and forwards that were replaced."""
    name = "_orig_mod" if "_orig_mod" in module._modules else _WRAPPERS.get(type(module))
    if name is not None:
        raise UnsupportedNetworkError(
            f"a {type(module).__name__} only runs another module. Pass {path}.{name}."
        )
    for part in module.modules():
        check_not_replaced(part, ("forward",))


def _log_odds(outputs: Tensor) -> Tensor:
    return outputs[..., 1:] - outputs[..., :1]


_LINKS: dict[tuple[str, str], Callable[[Tensor], Tensor]] = {
    ("", "none"): same,
    ("", "softmax"): lambda outputs: outputs.softmax(-1),
    ("", "log_softmax"): lambda outputs: outputs.log_softmax(-1),
    ("", "sigmoid"): torch.sigmoid,
    ("binary", "none"): _log_odds,
    ("binary", "sigmoid"): lambda outputs: _log_odds(outputs).sigmoid(),
}
"""From the outputs of a record to those of its module, by meaning and by tail."""


def module_of(host: Any) -> nn.Module:
    """Return the module that computes a network: itself, or what a net has trained."""
    return host if isinstance(host, nn.Module) else host.module_


def _architecture(
    topology: Topology, meaning: str, input_shape: tuple[int, int, int] | None
) -> Architecture:
    """Return the spec of what a module computes; ``meaning`` may be "binary"."""
    layers, binary = topology.layers, meaning == "binary"
    if binary:
        last = layers[-1]
        if last.width != 1 or last.norm != "none" or last.skips or last.activation != "identity":
            raise UnsupportedNetworkError(
                "a binary classifier needs one plain Linear unit in front of its sigmoid, "
                "without normalisation and skip connections."
            )
        layers = (*layers[:-1], replace(last, width=2))
    elif meaning == "logits" and layers[-1].width == 1:
        raise UnsupportedNetworkError(
            "a softmax over one output is constant. Use a sigmoid, or two outputs."
        )
    shape = _image_shape(topology, input_shape)
    n_inputs = topology.n_inputs if shape is None else math.prod(shape)
    return Architecture(n_inputs, layers, "logits" if binary else meaning, shape)


def _image_shape(
    topology: Topology, given: tuple[int, int, int] | None
) -> tuple[int, int, int] | None:
    """Return the shape of the images of a convolutional network, from wherever it is known."""
    if topology.layers[0].convolution is None:
        return None
    shape = topology.input_shape or given
    way_out = (
        "Pass Population(networks, input_shape=(channels, height, width)), or start the network "
        "with nn.Unflatten(1, (channels, height, width)): it then takes rows."
    )
    if shape is None:
        raise UnsupportedNetworkError(f"the size of its images is not known. {way_out}")
    if given not in (None, shape) or len(shape) != 3 or shape[0] != topology.n_inputs:
        raise ValueError(
            f"it takes images of {topology.n_inputs} channel(s). Got the shape {shape} of the "
            f"network and input_shape={given}. {way_out}"
        )
    return shape


def _floating(name: str, tensor: Tensor) -> Tensor:
    dense = tensor.layout is torch.strided
    if not tensor.is_floating_point() or tensor.is_meta or not dense:
        raise UnsupportedNetworkError(
            f"'{name}' is not a dense floating-point tensor ({tensor.dtype}, {tensor.device}, "
            f"{tensor.layout}). Convert it, for instance with to_dense()."
        )
    return read_tensor(tensor, tensor.dtype)
