"""The one way to do something for every network: in stacks, in pieces that fit, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import check_rng
from skmeta._plain import as_array
from skmeta.networks.architecture import Architecture
from skmeta.population.blocks import Block, merged, take_blocks, where_of
from skmeta.population.stack import Stack

if TYPE_CHECKING:
    from skmeta.population.sequence import NetworkSequence

_ON_CPU = 2**21
"""Numbers that are worked on at once: of more, what is freed goes back to the system, and the
page faults of what comes next cost as much as the products."""

_ELSEWHERE = 2**27
"""An accelerator has no such cache, and needs much to do at once."""

Numbers = int | Callable[[Stack], int]
"""How many numbers a function holds for each network of a stack."""


def at_once(numbers: float, device: Any = "cpu") -> int:
    """Return how many things of so many numbers each are worked on at once, 1 or more.

    All that is cut into pieces asks here.
    """
    limit = _ON_CPU if torch.device(device).type == "cpu" else _ELSEWHERE
    return max(int(limit // max(numbers, 1)), 1)


def pieces(n: int, numbers: float, device: Any = "cpu") -> Iterator[slice]:
    """Cut n things of so many numbers each into pieces."""
    size = at_once(numbers, device)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def rows_at_once(stack: Stack) -> int:
    """Return how many rows a stack runs on at once."""
    numbers = numbers_per_row(stack.architectures[0], stack.widths)
    # Patches of a convolution are held beside the states that they are made of.
    copies = 1 if stack.convolution(0) is None else 2
    return at_once(copies * len(stack) * numbers, stack.device)


def numbers_per_row(architecture: Architecture, widths: Sequence[int]) -> int:
    """Return how large the largest state is, or its patches, at the given widths."""
    largest = max(widths)
    for index, size in enumerate(architecture.image_sizes[1:]):
        patch = widths[index] * math.prod(architecture.layers[index].kernel_shape)
        largest = max(largest, math.prod(size) * max(patch, widths[index + 1]))
    return largest


def n_numbers(stack: Stack) -> int:
    """Return how many numbers each network of a stack has, padding included."""
    return sum(t[0].numel() for t in stack.params.tensors())


def map_population(
    function: Callable[..., Any],
    population: NetworkSequence,
    others: Sequence[Any],
    numbers: Numbers | None,
    exact: bool,
) -> Any:
    """Do the work of ``Population.map`` for one network or more."""
    positions, results = [], []
    for here, stack in stacks(population, numbers, exact):
        positions.append(here)
        results.append(function(stack, *(_part(other, here, stack) for other in others)))
    return _joined(results, positions, population)


def seeds_of(population: NetworkSequence, random_state: Any) -> list[int]:
    """Make a seed per network from its own weights and ``random_state``."""
    base = int(check_rng(random_state).integers(2**31))

    def seeds(stack: Stack) -> list[int]:
        weights = (record.tensors["weight"] for record in stack.records())
        return [base + crc32(b"".join(as_array(w).tobytes() for w in layers)) for layers in weights]

    return population.map(seeds, exact=True, empty=[])


def stacks(
    population: NetworkSequence, numbers: Numbers | None = None, exact: bool = False
) -> Iterator[Block]:
    """Yield stacks of one depth and geometry, or of identical widths, that are not too large."""
    blocks = population.blocks
    groups: dict[tuple, list[Block]] = {}
    for block in blocks:
        groups.setdefault((block[1].geometry, block[1].widths if exact else ()), []).append(block)
    for _, group in sorted(groups.items(), key=lambda item: len(item[0][0])):
        held = [numbers(stack) if callable(numbers) else numbers or 0 for _, stack in group]
        n_pieces = -(-sum(len(p) for p, _ in group) // at_once(max(held), group[0][1].device))
        if n_pieces == 1:
            yield merged(group)
            continue
        # Networks of similar size stand together, so that pieces have little padding.
        group.sort(key=lambda block: n_numbers(block[1]))
        order = np.concatenate([positions for positions, _ in group])
        where = where_of(blocks, len(population))
        for here in np.array_split(order, n_pieces):
            positions, stack = merged(take_blocks(blocks, where, here))
            yield here[positions], stack


def _part(other: Any, positions: np.ndarray, stack: Stack) -> Any:
    """Return what belongs to the networks of a stack."""
    if isinstance(other, Tensor):
        return other[torch.as_tensor(positions, device=other.device)]
    if isinstance(other, np.ndarray):
        return other[positions]
    if not hasattr(other, "blocks"):
        return [other[position] for position in positions]
    order, theirs = merged(other[positions].blocks)
    return theirs.select(np.argsort(order).tolist()).padded(stack.widths)


def _joined(
    parts: Sequence[Any], positions: Sequence[np.ndarray], population: NetworkSequence
) -> Any:
    """Put what a function returned for each stack into the order of the networks."""
    first, order = parts[0], np.argsort(np.concatenate(positions))
    if isinstance(first, Stack):
        return population.with_blocks(list(zip(positions, parts, strict=True)))
    if isinstance(first, Tensor):
        joined = first if len(parts) == 1 else torch.cat(list(parts))
        return joined[torch.as_tensor(order, device=first.device)]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)[order]
    if isinstance(first, dict):
        names = first.keys()
        return {k: _joined([part[k] for part in parts], positions, population) for k in names}
    if isinstance(first, tuple):
        return tuple(_joined(each, positions, population) for each in zip(*parts, strict=True))
    if isinstance(first, list):
        values = [value for part in parts for value in part]
        return [values[i] for i in order]
    return None
