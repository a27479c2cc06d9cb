"""Physically smaller networks with the same outputs: :func:`shrink`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skmeta.networks.adapters import sklearn_mlp
from skmeta.networks.architecture import Architecture
from skmeta.networks.modules import to_module
from skmeta.networks.record import Record
from skmeta.population.forward import forward
from skmeta.population.population import Population
from skmeta.population.running import check_no_images
from skmeta.population.stack import Stack
from skmeta.population.symmetries import apply_permutations, tied_neurons


class Shrunk(NamedTuple):
    """What :func:`shrink` returns.

    Attributes
    ----------
    networks : Population or list of networks
        The smaller networks, a Population if one came in.
    kept_inputs : list of ndarray
        For each network the ascending indices of the inputs that it uses. Never empty: a
        network that uses none keeps the first.
    """

    networks: Any
    kept_inputs: list[np.ndarray]


def shrink(networks: Any, *, drop_inputs: bool = False) -> Shrunk:
    """Remove neurons that zero weights have made superfluous.

    A hidden neuron is removed if all its outgoing weights are zero, or if all its incoming
    weights are: it is then a constant, which goes into the next layer's bias. What becomes
    superfluous by that is removed, too. Neurons that a layer normalisation or a skip
    connection mixes with others stay, and one neuron of every layer does.

    Parameters
    ----------
    networks : Population or sequence of networks
        For instance what a :class:`~skmeta.ComplianceEditor` for pruning gave back.
    drop_inputs : bool, default=False
        Also drop the unused inputs: a network then takes ``X[:, kept]`` with its own
        ``kept_inputs``. A skip connection from the input uses all inputs.

    Returns
    -------
    Shrunk
        ``networks`` and ``kept_inputs``. A network that cannot shrink comes back as it came.
        Of a smaller one the outputs are the same in evaluation mode, up to rounding; an
        estimator of scikit-learn stays one, everything else becomes an
        :class:`~skmeta.networks.MLP`, whose outputs are logits (two for a binary
        classifier) or values.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skmeta.population import shrink
    >>> network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with torch.no_grad():
    ...     network[0].weight[:, 1] = 0  # the second input is not used,
    ...     network[2].weight[:, :5] = 0  # nor are five neurons
    >>> (smaller,), (kept,) = shrink([network], drop_inputs=True)
    >>> smaller.architecture.widths, kept
    ((2, 3, 2), array([0, 2]))
    """
    population = networks if isinstance(networks, Population) else Population(networks)
    check_no_images(population.architectures, "shrink")
    smaller, kept_inputs = [], []
    for network, record in zip(population.to_networks(), population.records(), strict=True):
        folded = _fold_constants(record)
        kept = _cut_dead(folded)
        kept_inputs.append(kept[0].cpu().numpy())
        if not drop_inputs:
            kept[0] = torch.arange(record.architecture.n_inputs)
        widths = tuple(map(len, kept))
        fits = widths == record.architecture.widths
        smaller.append(network if fits else _resized(network, record, folded, kept))
    if isinstance(networks, Population):
        return Shrunk(Population(smaller, metadata=population.metadata), kept_inputs)
    return Shrunk(smaller, kept_inputs)


def _fold_constants(record: Record) -> Record:
    """Return a network with the same outputs in which nothing depends on constant neurons."""
    tensors = {name: t.detach().clone() for name, t in record.tensors.items()}
    stages, states = list(record.architecture.stages), []
    stack = Stack.from_records([record]).to(dtype=torch.float64)
    # A constant neuron has its value on any row, also on one of zeros.
    with torch.no_grad():
        nothing = stack.weights.flat.new_zeros(1, stack.widths[0])
        forward(stack, nothing, see=lambda _, h: states.append(h[0, 0]))
    for state, free in enumerate(_free_neurons(record.architecture)[:-1]):
        if state == 0:
            continue
        weight, below = tensors[f"{state}.weight"], tensors[f"{state - 1}.weight"]
        constant = free.to(weight.device) & (below == 0).all(1)
        push = weight.double()[:, constant] @ states[state][constant]
        # That nothing depends on it may make a neuron of the next stage constant.
        weight[:, constant] = 0
        stage = stages[state]
        if stage.mix.bias or push.any():
            bias = tensors.get(f"{state}.bias", torch.zeros_like(push))
            tensors[f"{state}.bias"] = (bias.double() + push).to(weight)
            stages[state] = stage.with_width(stage.width, bias=True)
    return Record(replace(record.architecture, stages=tuple(stages)), tensors)


def _cut_dead(record: Record) -> list[Tensor]:
    """Zero, in place, the weights into neurons that nothing depends on.

    Returns
    -------
    list of Tensor
        Indices of the other neurons of every state, of the input to the output.
    """
    architecture = record.architecture
    kept = [torch.arange(architecture.n_outputs)]
    for state, free in reversed(list(enumerate(_free_neurons(architecture)[:-1]))):
        weight = record.tensors[f"{state}.weight"]
        dead = free.to(weight.device) & (weight == 0).all(0)
        if state:
            record.tensors[f"{state - 1}.weight"][dead] = 0
        if dead.all():
            dead[0] = False
        kept.insert(0, (~dead).nonzero().flatten().cpu())
    return kept


def _free_neurons(architecture: Architecture) -> list[Tensor]:
    """Return, for every state, which neurons could go without any other noticing."""
    free = [torch.zeros(width, dtype=torch.bool) for width in architecture.widths]
    for states, indices in tied_neurons(architecture):
        # A layer normalisation computes with all its neurons, used or not.
        if len(states) == 1 and architecture.stages[states[0] - 1].norm != "layer":
            free[states[0]][indices] = True
    free[0][:] = not any(0 in stage.skips for stage in architecture.stages)
    return free


def _resized(network: Any, record: Record, folded: Record, kept: Sequence[Tensor]) -> Any:
    """Return a network with the kept neurons of ``folded``."""
    new = _cut(folded, kept)
    if not sklearn_mlp.handles(network):
        return to_module(new)
    estimator = copy.copy(network)
    rows = [index.numpy() for index in kept]
    rows[-1] = np.arange(network.coefs_[-1].shape[1])  # one logistic unit is held as two logits
    estimator.coefs_ = [
        coef[np.ix_(source, target)]
        for coef, source, target in zip(network.coefs_, rows, rows[1:], strict=False)
    ]
    estimator.intercepts_ = [
        intercept[target] for intercept, target in zip(network.intercepts_, rows[1:], strict=True)
    ]
    estimator.hidden_layer_sizes = tuple(map(len, rows[1:-1]))
    estimator.n_features_in_ = len(rows[0])
    if hasattr(network, "feature_names_in_"):
        estimator.feature_names_in_ = network.feature_names_in_[rows[0]]
    # Only what was folded differs: the rest keeps the estimator's own precision.
    skeleton, weights = sklearn_mlp.take_apart(estimator)
    return skeleton.network(skeleton.moved(weights, _cut(record, kept), new))


def _cut(record: Record, kept: Sequence[Tensor]) -> Record:
    """Return a record with the neurons of the given indices."""
    stages = tuple(
        stage.with_width(len(index))
        for stage, index in zip(record.architecture.stages, kept[1:], strict=True)
    )
    architecture = replace(record.architecture, n_inputs=len(kept[0]), stages=stages)
    return Record(architecture, apply_permutations(record, kept).tensors)
