"""Any ``torch.nn.Module`` whose graph is that of an :class:`Architecture`."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.population.adapters._common import (
    UnsupportedNetworkError,
    check_absent,
    join_logistic,
    moved,
    read_tensor,
    split_logistic,
)
from skmeta.population.adapters._topology import Topology, read_topology
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


def read(network: nn.Module, input_shape: tuple[int, int, int] | None = None) -> Record:
    """Return a module as a record.

    A softmax at the end is left out: its inputs are the logits. A sigmoid at the end means
    probabilities, of two classes for one output and of one label per output for several.
    One output without a sigmoid is a regressor's value, as are outputs behind any other
    activation.
    """
    topology = topology_of(network)
    return record_of(network, topology, _meaning(network, topology), input_shape)


def _meaning(network: nn.Module, topology: Topology) -> str:
    last = topology.layers[-1]
    if (spec := _own_spec(network)) is not None:
        return spec.output
    if topology.tail == "sigmoid":
        return "binary" if last.width == 1 else "multilabel"
    if topology.tail == "none" and (last.width == 1 or last.activation != "identity"):
        return "values"
    return "logits"


def record_of(
    module: nn.Module,
    topology: Topology,
    meaning: str,
    input_shape: tuple[int, int, int] | None = None,
) -> Record:
    """Collect the tensors of a module; ``meaning`` is an architecture's output or "binary"."""
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
    output = "logits" if binary else meaning
    record = Record.blank(Architecture(n_inputs, layers, output, shape))
    state = module.state_dict(keep_vars=True)
    for index, names in enumerate(topology.names):
        for field, name in names.items():
            tensor = _floating(state, name)
            split = binary and index == len(layers) - 1
            record.tensors[field][index] = split_logistic(tensor) if split else tensor
    return record


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


def _floating(state: dict[str, Tensor], name: str) -> Tensor:
    tensor = state[name]
    if not tensor.is_floating_point() or tensor.is_meta or tensor.is_sparse:
        raise UnsupportedNetworkError(
            f"'{name}' is not a dense floating-point tensor ({tensor.dtype}, {tensor.device})."
        )
    return read_tensor(tensor)


def write(source: nn.Module, old: Record, new: Record) -> nn.Module:
    """Return a copy of a module with its weights changed by ``new - old``."""
    network = copy.deepcopy(source)
    write_into(network, topology_of(source), old, new)
    return network


def write_into(module: nn.Module, topology: Topology, old: Record, new: Record) -> None:
    """Change the weights of a module in place by ``new - old``."""
    check_absent(topology.names, old, new)
    state = module.state_dict(keep_vars=True)
    binary = old.architecture.n_outputs != topology.layers[-1].width
    with torch.no_grad():
        for index, names in enumerate(topology.names):
            for field, name in names.items():
                pair = [record.tensors[field][index] for record in (old, new)]
                if binary and index == len(topology.names) - 1:
                    pair = [join_logistic(value) for value in pair]
                state[name].copy_(moved(state[name], *pair))


def classes_of(network: nn.Module) -> None:
    """Return None: a module does not know its class labels."""
