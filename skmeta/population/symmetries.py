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
from skmeta.networks.activations import ACTIVATIONS
from skmeta.networks.architecture import Architecture
from skmeta.networks.ops import Norm, Skip
from skmeta.networks.record import Record
from skmeta.networks.stage import Stage

HOMOGENEOUS, ODD = (
    tuple(name for name, table in ACTIVATIONS.items() if group in table.groups)
    for group in ("scale", "sign")
)
"""Activations with f(c x) = c f(x) for every c > 0, and those with f(-x) = -f(x)."""


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
    for slot in record.architecture.slots:
        value = record.tensors[slot.name]
        for axis, state in enumerate(slot.axes):
            if state is not None:
                value = value.index_select(axis, permutations[state].to(value.device))
        tensors[slot.name] = value
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
    architecture, tensors = record.architecture, dict(record.tensors)
    factors = [torch.ones(width, dtype=torch.float32) for width in architecture.widths]
    for states, indices in tied_neurons(architecture):
        n, stages = len(indices), [architecture.stages[s - 1] for s in states]
        factor = torch.ones(n, dtype=torch.float32)
        if all(absorbing(stage, "scale") for stage in stages):
            exponent = 2 * torch.rand(n, generator=generator, dtype=torch.float32) - 1
            factor = max_scale**exponent
        if all(absorbing(stage, "sign") for stage in stages):
            factor = factor * (2 * torch.randint(2, (n,), generator=generator) - 1)
        for state in states:
            factors[state][indices] = factor
    for index, stage in enumerate(architecture.stages):
        name = f"{index}.weight"
        weight = tensors[name]
        source, target = (factors[i].to(weight) for i in (index, index + 1))
        # Against (out, in) or, of a convolution, (out, in, height, width).
        ones = (1,) * (weight.ndim - 2)
        weight = weight / source.view(-1, *ones)
        fields = absorbing(stage, "scale") or absorbing(stage, "sign")
        if "weight" in fields:
            weight = weight * target.view(-1, 1, *ones)
        tensors[name] = weight
        for field in fields:
            if field != "weight" and f"{index}.{field}" in tensors:
                tensors[f"{index}.{field}"] = tensors[f"{index}.{field}"] * target
    return Record(architecture, tensors)


def absorbing(stage: Stage, group: str) -> tuple[str, ...]:
    """Return the fields that take up factors of a stage's outputs; none if nothing can.

    Parameters
    ----------
    stage : Stage
        Whose outputs are multiplied.
    group : {"scale", "sign"}
        By positive numbers, or by signs.
    """
    for place, op in reversed(list(enumerate(stage.tail))):
        if not op.commutes(group):
            return ()
        if isinstance(op, Norm):
            # What a skip connection adds in front of it would have to stay.
            before = stage.tail[:place]
            return () if any(isinstance(o, Skip) for o in before) else ("scale", "shift")
    return ("weight", "bias")


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
    for target, stage in enumerate(architecture.stages, start=1):
        for source in stage.skips:
            if source in root:
                old, new = root[target], root[source]
                root = {state: new if r == old else r for state, r in root.items()}
    return [tuple(s for s in root if root[s] == r) for r in sorted(set(root.values()))]
