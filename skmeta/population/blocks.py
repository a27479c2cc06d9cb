"""The stacks of a population and the positions of their networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skmeta.networks.architecture import Architecture
from skmeta.networks.record import Record
from skmeta.population.stack import Stack

Block = tuple[np.ndarray, Stack]
"""Positions in a population and the stack that holds the networks at these positions."""


def blocks_from_records(records: Sequence[Record]) -> tuple[Block, ...]:
    """Group records of identical widths and convolutions into stacks.

    Within a stack, networks with equal normalisation and activation stand together, so
    that a forward pass handles them in one operation.
    """
    groups: dict[tuple, list[int]] = {}
    for i, record in enumerate(records):
        key = record.architecture.geometry, record.architecture.widths
        groups.setdefault(key, []).append(i)
    blocks = []
    for members in groups.values():
        members.sort(key=lambda i: run_key(records[i].architecture))
        stack = Stack.from_records([records[i] for i in members])
        blocks.append((np.array(members), stack))
    return tuple(blocks)


def run_key(architecture: Architecture) -> tuple:
    """Sort key that puts networks with the same elementwise operations side by side."""
    return tuple((x.norm, x.norm_after, x.activation, x.eps) for x in architecture.layers)


def records_of(blocks: Sequence[Block], n: int) -> list[Record]:
    """Return the network at each position, unpadded."""
    out: list[Any] = [None] * n
    for positions, stack in blocks:
        for position, record in zip(positions, stack.records(), strict=True):
            out[position] = record
    return out


def exact_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """Cut padded stacks into stacks of networks with identical widths."""
    for positions, stack in blocks:
        groups: dict[tuple[int, ...], list[int]] = {}
        for row, architecture in enumerate(stack.architectures):
            groups.setdefault(architecture.widths, []).append(row)
        for widths, rows in groups.items():
            part = stack if len(groups) == 1 else stack.select(rows)
            yield np.asarray(positions)[rows], part.cropped(widths)


def where_of(blocks: Sequence[Block], n: int) -> np.ndarray:
    """Return the block of each position and its row in that block, ``(n, 2)``."""
    where = np.empty((n, 2), dtype=np.int64)
    for number, (positions, stack) in enumerate(blocks):
        where[positions, 0] = number
        where[positions, 1] = np.arange(len(stack))
    return where


def take_blocks(
    blocks: Sequence[Block], where: np.ndarray, positions: np.ndarray
) -> tuple[Block, ...]:
    """Select networks; ``where`` comes from :func:`where_of` on these blocks."""
    numbers, rows = where[positions].T
    taken = []
    for number in np.unique(numbers):
        here = np.flatnonzero(numbers == number)
        # The stored order keeps networks with equal operations side by side.
        here = here[np.argsort(rows[here], kind="stable")]
        taken.append((here, blocks[number][1].select(rows[here])))
    return tuple(taken)


def merged(blocks: Sequence[Block]) -> Block:
    """Merge blocks of one depth and the same convolutions, padded to the widest."""
    positions = np.concatenate([positions for positions, _ in blocks])
    return positions, Stack.merge([stack for _, stack in blocks])


def join_blocks(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Merge blocks of identical widths and convolutions, as :func:`blocks_from_records` does."""
    groups: dict[tuple, list[Block]] = {}
    for block in blocks:
        groups.setdefault((block[1].geometry, block[1].widths), []).append(block)
    joined = []
    for members in groups.values():
        positions, stack = merged(members)
        keys = [(run_key(a), p) for a, p in zip(stack.architectures, positions, strict=True)]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        in_order = order == list(range(len(order)))
        joined.append((positions[order], stack if in_order else stack.select(order)))
    return tuple(sorted(joined, key=lambda block: block[0].min()))
