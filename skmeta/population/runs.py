"""Runs of neighbours that share a key: what is alike is computed at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

Run = tuple[int, int, tuple]
"""Consecutive networks ``start:stop`` of a stack that share a key."""


def runs_of(keys: Sequence[tuple]) -> tuple[Run, ...]:
    """Split a sequence of keys into runs of equal neighbours."""
    runs, start = [], 0
    for key, group in groupby(keys):
        stop = start + sum(1 for _ in group)
        runs.append((start, stop, key))
        start = stop
    return tuple(runs)
