"""Any ``torch.nn.Module`` whose graph is that of an :class:`Architecture`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from skmeta.population.adapters._common import (
    Answer,
    Reading,
    UnsupportedNetworkError,
    check_absent,
    check_not_replaced,
    join_logistic,
    moved,
    read_tensor,
    same,
    split_logistic,
)
from skmeta.population.adapters._states import Topology
from skmeta.population.adapters._topology import read_topology
from skmeta.population.adapters._twins import copied, give_hooks, twin_of
from skmeta.population.architecture import Architecture
from skmeta.population.modules import CNN, MLP, tensor_names
from skmeta.population.stack import Record


def handles(network: Any) -> bool:
    """Whether this adapter reads the network."""
    return isinstance(network, nn.Module)


_WRAPPERS = {
    nn.DataParallel: "module",
    nn.parallel.DistributedDataParallel: "module",
    torch.optim.swa_utils.AveragedModel: "module",
}


def topology_of(module: nn.Module, *, values: bool = False) -> Topology:
    """Return what a module computes; an :class:`MLP` or a :class:`CNN` knows it itself."""
    return _topology(twin_of(module), values)


def _topology(twin: nn.Module, values: bool = False) -> Topology:
    if (spec := _own_spec(twin)) is not None:
        return Topology(spec.widths[0], spec.layers, tensor_names(spec), "none", spec.input_shape)
    return read_topology(twin, values=values)


def _own_spec(module: nn.Module) -> Architecture | None:
    # A subclass may compute something else.
    return module.architecture if type(module) is MLP or type(module) is CNN else None


def _is_inert(module: nn.Module) -> bool:
    """Whether running a module changes nothing in it, and draws nothing."""
    spec = _own_spec(module)
    if spec is None:
        return False
    moving = any(layer.dropout or layer.norm == "batch" for layer in spec.layers)
    return not (moving and any(part.training for part in module.modules()))


def read(network: nn.Module, input_shape: tuple[int, int, int] | None = None) -> Reading:
    """Read a module.

    A softmax at the end is left out: its inputs are the logits. A sigmoid at the end means
    probabilities, of two classes for one output and of one label per output for several.
    One output without a sigmoid is a regressor's value, as are outputs behind any other
    activation.
    """
    return read_as(network, lambda topology: meaning_of(network, topology), input_shape)


def read_as(
    module: nn.Module,
    meaning: Callable[[Topology], str],
    input_shape: tuple[int, int, int] | None = None,
    *,
    values: bool = False,
) -> Reading:
    """Read a module whose outputs have a meaning: an architecture's output or "binary"."""
    check_not_wrapped(module)
    for part in module.modules():
        check_not_replaced(part, ("forward",))
    twin = module if _is_inert(module) else twin_of(module)
    topology = _topology(twin, values)
    kind = meaning(topology)
    record = record_of(module, topology, kind, input_shape)
    give_hooks(twin, module)
    like = module.get_parameter(topology.names[0]["weight"])
    shape = record.architecture.input_shape if topology.input_shape is None else None

    def inputs(rows: Tensor) -> Tensor:
        rows = rows.to(like.device, like.dtype)
        return rows if shape is None else rows.reshape(-1, *shape)

    answer = Answer(
        "forward",
        lambda rows: twin(inputs(rows)),
        _LINKS["binary" if kind == "binary" else "", topology.tail],
        "Something beside its layers changes the values, perhaps a forward hook or a __call__ of "
        "its own. Take it away.",
        # Half precision and the convolutions of accelerators round more coarsely.
        max(1e-5, 30 * torch.finfo(like.dtype).eps, 2e-3 * (like.device.type != "cpu")),
    )
    return Reading(record, (answer,), topology.scaling, inputs)


def check_not_wrapped(module: nn.Module, path: str = "network") -> None:
    """Refuse what only runs another module."""
    name = "_orig_mod" if "_orig_mod" in module._modules else _WRAPPERS.get(type(module))
    if name is not None:
        raise UnsupportedNetworkError(
            f"a {type(module).__name__} only runs another module. Pass {path}.{name}."
        )


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


def meaning_of(network: nn.Module, topology: Topology) -> str:
    """Return what the outputs of a module mean, from how it ends."""
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
        tensors = {field: _floating(state, name) for field, name in names.items()}
        if index == 0 and topology.scaling is not None:
            tensors = _apply(topology.scaling.fold, tensors)
        for field, tensor in tensors.items():
            split = binary and index == len(layers) - 1
            tensor = tensor.float()
            record.tensors[field][index] = split_logistic(tensor) if split else tensor
    return record


def _apply(change: Callable[..., tuple[Tensor, Tensor]], tensors: dict[str, Tensor]) -> dict:
    """Fold or unfold a scaling of the inputs; a layer without a bias stays one."""
    bias = tensors.get("bias", tensors["weight"].new_zeros(len(tensors["weight"])))
    changed = dict(zip(("weight", "bias"), change(tensors["weight"], bias), strict=True))
    return tensors | {field: changed[field] for field in changed.keys() & tensors.keys()}


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
    dense = tensor.layout is torch.strided
    if not tensor.is_floating_point() or tensor.is_meta or not dense:
        raise UnsupportedNetworkError(
            f"'{name}' is not a dense floating-point tensor ({tensor.dtype}, {tensor.device}, "
            f"{tensor.layout}). Convert it, for instance with to_dense()."
        )
    return read_tensor(tensor, tensor.dtype)


def write(source: nn.Module, old: Record, new: Record) -> nn.Module:
    """Return a copy of a module with its weights changed by ``new - old``."""
    network = copied(source)
    write_into(network, topology_of(source), old, new)
    return network


def write_into(module: nn.Module, topology: Topology, old: Record, new: Record) -> None:
    """Change the weights of a module in place by ``new - old``."""
    check_absent(topology.names, old, new)
    state = module.state_dict(keep_vars=True)
    binary = old.architecture.n_outputs != topology.layers[-1].width
    with torch.no_grad():
        for index, names in enumerate(topology.names):
            pairs = []
            for record in (old, new):
                values = {field: record.tensors[field][index] for field in names}
                if binary and index == len(topology.names) - 1:
                    values = {field: join_logistic(value) for field, value in values.items()}
                if index == 0 and topology.scaling is not None:
                    values = _apply(topology.scaling.unfold, values)
                pairs.append(values)
            for field, name in names.items():
                state[name].copy_(moved(state[name], *(values[field] for values in pairs)))


def classes_of(network: nn.Module) -> None:
    """Return None: a module does not know its class labels."""


def feature_names_of(network: nn.Module) -> None:
    """Return None: a module does not know the names of its inputs."""
