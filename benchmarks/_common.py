"""Timing for benchmarks: contestants take turns in one process, on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from threadpoolctl import threadpool_limits

torch.set_num_threads(1)
threadpool_limits(1)  # numpy's and scikit-learn's


def interleaved(
    contestants: Mapping[str, Callable[[], object]], *, rounds: int = 5
) -> dict[str, float]:
    """Return the median CPU seconds of each contestant; each has a turn in every round.

    Noise of the machine then hits all of them alike. The first turns only warm up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def matmul(size: int = 512) -> tuple[Callable[[], object], float]:
    """Return a contestant that multiplies large float32 matrices, and its FLOPs."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    repeats = 8

    def run() -> None:
        for _ in range(repeats):
            torch.mm(a, b)

    return run, repeats * 2.0 * size**3


def print_table(title: str, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Print rows in aligned columns."""
    table = [header, *(tuple(map(_text, row)) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    print(f"\n{title}")
    for row in table:
        first, *rest = (
            cell.ljust(widths[0]) if not i else cell.rjust(widths[i]) for i, cell in enumerate(row)
        )
        print("  ".join([first, *rest]))


def _text(value: object) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and value < 1000
        else (f"{value:,.0f}" if isinstance(value, float) else str(value))
    )
