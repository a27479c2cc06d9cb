"""Any ``torch.nn.Module`` whose graph is that of an :class:`Architecture`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skmeta.population.adapters import _hollow
from skmeta.population.adapters._common import (
    UnsupportedNetworkError,
    check_absent,
    join_logistic,
    moved,
    read_tensor,
    split_logistic,
)
from skmeta.population.adapters._hollow import Known
from skmeta.population.adapters._topology import Topology, read_topology
from skmeta.population.adapters.keeping import Skeleton, Source, Weights
from skmeta.population.architecture import Architecture
from skmeta.population.modules import CNN, MLP, tensor_names
from skmeta.population.tensors import Record


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, nn.Module)


def topology_of(module: nn.Module, *, values: bool = False) -> Topology:
    """Return what a module computes; an :class:`MLP` or a :class:`CNN` knows it itself."""
    if (spec := _own_spec(module)) is not None:
        return Topology(spec.widths[0], spec.layers, tensor_names(spec), "none", spec.input_shape)
    return read_topology(module, values=values)


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
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
    return like_new and all(p.requires_grad for p in network.parameters()) and not hooked


def take_apart(
    network: nn.Module, input_shape: tuple[int, int, int] | None, known: Known
) -> tuple[Skeleton, Weights]:
    """Return a module as all but its weights, and its weights.

    A softmax at the end is left out: its inputs are the logits. A sigmoid at the end means
    probabilities, of two classes for one output and of one label per output for several.
    One output without a sigmoid is a regressor's value, as are outputs behind any other
    activation.
    """

    def make(hollow: nn.Module, weights: Weights) -> ModuleSkeleton:
        topology = topology_of(network)
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
        self.spec = {name: (tuple(w.shape), w.dtype, w.device) for name, w in weights.items()}
        self.names = topology.names
        self.binary = meaning == "binary"
        self.architecture = _architecture(topology, meaning, input_shape)

    @property
    def kind(self) -> type:
        """The class of the module or the net."""
        return type(self.hollow)

    @property
    def classes(self) -> np.ndarray | None:
        """The labels of a net; a module does not know its own."""
        return getattr(self.hollow, "classes_", None)

    def blank(self) -> Weights:
        """Return zeros of the shapes, dtypes and places of the tensors."""
        return {
            name: torch.zeros(shape, dtype=dtype, device=device)
            for name, (shape, dtype, device) in self.spec.items()
        }

    def record(self, weights: Weights) -> Record:
        """Return the float32 record; one logit of two classes becomes two."""
        record = Record.blank(self.architecture)
        for index, names in enumerate(self.names):
            for field, name in names.items():
                tensor = _floating(name, weights[name])
                split = self.binary and index == len(self.names) - 1
                record.tensors[field][index] = split_logistic(tensor) if split else tensor
        return record

    def check_edit(self, old: Record, new: Record) -> None:
        """Refuse an edit of parameters that the module does not have."""
        check_absent(self.names, old, new)

    def moved(self, weights: Weights, old: Record, new: Record) -> Weights:
        """Return weights changed by ``new - old``, where two logits are their difference."""
        out = dict(weights)
        for index, names in enumerate(self.names):
            for field, name in names.items():
                pair = [record.tensors[field][index] for record in (old, new)]
                if self.binary and index == len(self.names) - 1:
                    pair = [join_logistic(value) for value in pair]
                out[name] = moved(weights[name], *pair)
        return out

    def network(self, weights: Weights) -> Any:
        """Return a module, or a net around one."""
        return _hollow.fill(self.hollow, module_of, weights)


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
    if not tensor.is_floating_point() or tensor.is_meta or tensor.is_sparse:
        raise UnsupportedNetworkError(
            f"'{name}' is not a dense floating-point tensor ({tensor.dtype}, {tensor.device})."
        )
    return read_tensor(tensor)
