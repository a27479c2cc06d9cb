"""Calls one after the other and at once."""

from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any


def in_threads(jobs: Sequence[Callable[[], Any]]) -> tuple[list, list]:
    """Return results of calls one after the other, and of four at a time."""
    serial = [job() for job in jobs]
    with ThreadPool(4) as pool:
        return serial, pool.map(lambda job: job(), jobs)
