"""Functionally equal networks: :func:`permute` and :func:`rescale`.

A skip connection adds neuron ``i`` of one state to neuron ``i`` of another, so both must be
moved and scaled alike. Neurons tied that way stand at the same index in a set of states;
indices with the same set of states may be exchanged, in all these states together. A set
that holds the input or the output stays in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_generator, check_in_range
from skmeta.networks.architecture import Architecture, Layer
from skmeta.networks.record import Record

HOMOGENEOUS = ("identity", "relu", "leaky_relu")
"""Activations with f(c x) = c f(x) for every c > 0."""

ODD = ("identity", "tanh")
"""Activations with f(-x) = -f(x)."""


def permute(records: Sequence[Record], random_state: Any = None) -> list[Record]:
    """Return records with randomly permuted hidden neurons."""
    generator = check_generator(random_state)
    return [
        apply_permutations(record, random_permutations(record.architecture, generator))
        for record in records
    ]


def random_permutations(architecture: Architecture, generator: torch.Generator) -> list[Tensor]:
    """Draw one permutation per state that together leave the function as it is.

    Parameters
    ----------
    architecture : Architecture
        Says which states a skip connection or a normalisation ties together.
    generator : torch.Generator
        Draws them.

    Returns
    -------
    list of Tensor
        For every state, from the input to the output, the old index of each new neuron;
        input and output are not permuted.
    """
    permutations = [torch.arange(width) for width in architecture.widths]
    for states, indices in tied_neurons(architecture):
        shuffled = indices[torch.randperm(len(indices), generator=generator)]
        for state in states:
            permutations[state][indices] = shuffled
    return permutations


def apply_permutations(record: Record, permutations: Sequence[Tensor]) -> Record:
    """Return a record (weights, or an edit in the form of one) with permuted neurons.

    Parameters
    ----------
    record : Record
        Tensors of one network.
    permutations : sequence of Tensor
        One per state, as from :func:`random_permutations`.

    Returns
    -------
    Record
        With tensors of its own.
    """
    tensors = {}
    for field, values in record.tensors.items():
        tensors[field] = [
            value[target] if value.ndim == 1 else value[target][:, source]
            for value, source, target in zip(values, permutations, permutations[1:], strict=False)
        ]
    return Record(record.architecture, tensors)


def rescale(
    records: Sequence[Record], random_state: Any = None, *, max_scale: float = 2.0
) -> list[Record]:
    """Return records with rescaled hidden neurons.

    A neuron is multiplied by a positive factor behind a positively homogeneous activation, by
    a sign behind an odd one, and by both where the scale and shift of a normalisation or the
    identity allow it. Factors are log-uniform from ``1 / max_scale`` to ``max_scale``.
    """
    check_in_range("max_scale", max_scale, owner="rescaled", low=1.0)
    generator = check_generator(random_state)
    return [_rescaled(record, generator, max_scale) for record in records]


def _rescaled(record: Record, generator: torch.Generator, max_scale: float) -> Record:
    architecture, old = record.architecture, record.tensors
    factors = [torch.ones(width, dtype=torch.float32) for width in architecture.widths]
    for states, indices in tied_neurons(architecture):
        n, layers = len(indices), [architecture.layers[s - 1] for s in states]
        factor = torch.ones(n, dtype=torch.float32)
        if all(_can_scale(layer, HOMOGENEOUS) for layer in layers):
            exponent = 2 * torch.rand(n, generator=generator, dtype=torch.float32) - 1
            factor = max_scale**exponent
        if all(_can_scale(layer, ODD) for layer in layers):
            factor = factor * (2 * torch.randint(2, (n,), generator=generator) - 1)
        for state in states:
            factors[state][indices] = factor
    tensors = {field: list(values) for field, values in old.items()}
    for index, layer in enumerate(architecture.layers):
        weight = old["weight"][index]
        source, target = (factors[i].to(weight) for i in (index, index + 1))
        # Against (out, in) or, of a convolution, (out, in, height, width).
        ones = (1,) * (weight.ndim - 2)
        weight = weight / source.view(-1, *ones)
        if layer.norm == "none":
            weight = weight * target.view(-1, 1, *ones)
            tensors["bias"][index] = old["bias"][index] * target
        elif layer.affine:
            tensors["scale"][index] = old["scale"][index] * target
            tensors["shift"][index] = old["shift"][index] * target
        tensors["weight"][index] = weight
    return Record(architecture, tensors)


def _can_scale(layer: Layer, activations: Sequence[str]) -> bool:
    """Whether scaling a layer's parameters scales its neurons' outputs.

    ``activations`` are those that commute with the factors in question.
    """
    commutes = layer.activation in activations
    if layer.norm == "none":
        return commutes
    if layer.norm_after:
        # What a skip connection adds in front of the normalisation would have to stay.
        return layer.affine and not (layer.skip_before and layer.skips)
    return layer.affine and commutes


def tied_neurons(architecture: Architecture) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Iterate over sets of hidden states and the indices at which these, and only these, are tied.

    Every hidden neuron that is not tied to the input or the output occurs in exactly one
    pair ``(states, indices)``.
    """
    widths, depth = architecture.widths, architecture.depth
    # Which states are tied at an index depends only on which states are wider than it.
    groups: dict[tuple[int, ...], list[Tensor]] = {}
    edges = sorted({0, *widths})
    for start, stop in zip(edges, edges[1:], strict=False):
        for states in _components(architecture, start):
            if 0 not in states and depth not in states:
                groups.setdefault(states, []).append(torch.arange(start, stop))
    for states, parts in groups.items():
        yield states, torch.cat(parts)


def _components(architecture: Architecture, neuron: int) -> list[tuple[int, ...]]:
    """Partition the states that have a neuron of this index by the ties at it."""
    root = {state: state for state, width in enumerate(architecture.widths) if width > neuron}
    for target, layer in enumerate(architecture.layers, start=1):
        for source in layer.skips:
            if source in root:
                old, new = root[target], root[source]
                root = {state: new if r == old else r for state, r in root.items()}
    return [tuple(s for s in root if root[s] == r) for r in sorted(set(root.values()))]
