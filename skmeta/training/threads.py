"""How a process computes: on one thread, and without giving memory back at every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch on one thread, and restore the setting afterwards.

    The order of summation depends on the number of threads; with one, a zoo is the same
    whatever ``n_jobs``.

    Yields
    ------
    None
        To a ``with`` block.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Make the C library keep freed tensors for the next ones of their size.

    By default glibc returns every tensor of a megabyte to the system when it is freed, and
    the page faults of the next one cost more than what is computed on it. Freeing a large
    block once raises that limit to its size (see ``M_MMAP_THRESHOLD`` in mallopt(3)); the
    block is never touched, so it takes no memory. Other allocators take no notice.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)
