"""Which rows each network sees next: shuffled passes and stratified draws.

Every network draws from a generator of its own, so that what it sees does not depend on
the other networks that train beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


class ShuffledRows:
    """Passes over all rows in random order; a last incomplete batch is left out.

    Parameters
    ----------
    n_rows : int
        Number of rows of the task.
    batch_size : int
        Rows per step; at most ``n_rows`` are used.
    """

    def __init__(self, n_rows: int, batch_size: int) -> None:
        self.n_rows, self.batch_size = n_rows, min(batch_size, n_rows)

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Yield row numbers ``(n, batch_size)`` until every row was seen once."""
        order = torch.stack([torch.randperm(self.n_rows, generator=g) for g in generators])
        for start in range(0, self.n_rows - self.batch_size + 1, self.batch_size):
            yield order[:, start : start + self.batch_size]


class StratifiedRows:
    """Batches with the same number of rows from every cell, drawn with replacement.

    Parameters
    ----------
    cells : array of int of shape (n_rows,)
        Cell of each row, for instance label by group.
    n_per_cell : int
        Rows per cell and step.
    n_steps : int
        Steps that make an epoch.
    """

    def __init__(self, cells: np.ndarray, n_per_cell: int, n_steps: int) -> None:
        self.members = [torch.from_numpy(np.flatnonzero(cells == c)) for c in np.unique(cells)]
        self.n_per_cell, self.n_steps = n_per_cell, n_steps

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Yield row numbers ``(n, n_cells * n_per_cell)``, cell by cell."""
        for _ in range(self.n_steps):
            yield torch.stack([self.draw(g) for g in generators])

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one batch of row numbers, cell by cell."""
        picks = [
            rows[torch.randint(len(rows), (self.n_per_cell,), generator=generator)]
            for rows in self.members
        ]
        return torch.cat(picks)
