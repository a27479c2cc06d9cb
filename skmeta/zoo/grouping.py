"""Which runs of a zoo are trained together as stacked tensors: :func:`plan_groups`."""

from __future__ import annotations

from collections.abc import Sequence

from skmeta.networks import Architecture
from skmeta.population.blocks import run_key
from skmeta.population.mapping import at_once, numbers_per_row
from skmeta.zoo.search_space import Run

# Measured seconds on one core: per layer and step of a group, per padded weight and row, per
# padded neuron and row. They decide when padding is cheaper than another group; the total
# hardly changes when they are off by a factor of two, nor between 32 and 128 networks a group.
_SECONDS_PER_LAYER = 1e-3
_SECONDS_PER_WEIGHT = 3e-11
_SECONDS_PER_NEURON = 4e-9
_MAX_NETWORKS = 64


def plan_groups(runs: Sequence[Run]) -> list[list[int]]:
    """Group runs that share a program: equal batch size, depth and training, similar widths.

    Convolutional networks also share their images and convolutions. Groups of identical
    widths are merged as long as the padding costs less than another group would. The plan
    depends on the runs alone, so that a zoo is reproducible.

    Returns
    -------
    list of list of int
        Positions of the runs; within a group, runs with equal elementwise operations
        stand side by side.
    """
    by_program: dict[tuple, dict[tuple[int, ...], list[int]]] = {}
    for i, run in enumerate(runs):
        widths = run.architecture.widths
        program = (
            *(run.batch_size, run.architecture.depth, run.rule, run.fraction),
            repr(run.architecture.geometry),
        )
        by_program.setdefault(program, {}).setdefault(widths, []).append(i)
    groups = []
    for (batch_size, *_), by_widths in sorted(by_program.items()):
        for members in _merge(sorted(by_widths.items()), batch_size):
            members.sort(key=lambda i: (*_operations(runs[i].architecture), i))
            size = group_size(runs[members[0]])
            groups += [members[start : start + size] for start in range(0, len(members), size)]
    return groups


def group_size(run: Run) -> int:
    """Return how many networks like that of a run are trained at once."""
    architecture = run.architecture
    if architecture.input_shape is None:
        return _MAX_NETWORKS
    # Of the largest patches of a step: larger groups of convolutional networks leave the cache.
    numbers = run.batch_size * numbers_per_row(architecture, architecture.widths)
    return min(at_once(numbers / 2), _MAX_NETWORKS)


def _operations(architecture: Architecture) -> tuple:
    """Sort key that puts networks with the same operations in training side by side."""
    return run_key(architecture), tuple(layer.dropout for layer in architecture.layers)


def _merge(parts: list[tuple[tuple[int, ...], list[int]]], batch_size: int) -> list[list[int]]:
    """Merge the pair of groups that saves most until no pair saves anything."""
    while len(parts) > 1:
        savings = [
            (_saving(parts[i], parts[j], batch_size), i, j)
            for i in range(len(parts))
            for j in range(i)
        ]
        best, i, j = max(savings)
        if best <= 0:
            break
        (wide, members), (other, more) = parts.pop(i), parts.pop(j)
        parts.append((_common(wide, other), members + more))
    return [members for _, members in parts]


def _common(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(max, first, second))


def _saving(
    first: tuple[tuple[int, ...], list[int]],
    second: tuple[tuple[int, ...], list[int]],
    batch_size: int,
) -> float:
    merged = (_common(first[0], second[0]), first[1] + second[1])
    apart = _cost(*first, batch_size) + _cost(*second, batch_size)
    return apart - _cost(*merged, batch_size)


def _cost(widths: tuple[int, ...], members: list[int], batch_size: int) -> float:
    weights = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    per_row = 3 * _SECONDS_PER_WEIGHT * weights + _SECONDS_PER_NEURON * sum(widths)
    n_programs = -(-len(members) // _MAX_NETWORKS)
    overhead = n_programs * _SECONDS_PER_LAYER * (len(widths) - 1)
    return overhead + len(members) * batch_size * per_row
