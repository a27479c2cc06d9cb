"""Which rows each network sees next: shuffled passes and stratified draws.

Every network draws from a generator of its own, so that what it sees does not depend on
the other networks that train beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import check_in_range
from skmeta.population.mapping import pieces


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
        for name, value in (("n_rows", n_rows), ("batch_size", batch_size)):
            check_in_range(name, value, owner="ShuffledRows", low=1, kind="int")
        self.n_rows, self.batch_size = n_rows, min(batch_size, n_rows)

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Draw batches until every row was seen once.

        Parameters
        ----------
        generators : sequence of torch.Generator
            One per network.

        Yields
        ------
        Tensor of int of shape (n, batch_size)
            Numbers of the rows that each network sees.
        """
        draws = [torch.randperm(self.n_rows, generator=g, device=g.device) for g in generators]
        order = torch.stack(draws)
        n_steps = self.n_rows // self.batch_size
        batches = order[:, : n_steps * self.batch_size].unflatten(1, (n_steps, self.batch_size))
        yield from batches.transpose(0, 1).contiguous()


class ShuffledSteps:
    """Passes over all rows in random order, in pieces of so many steps each.

    A pass goes on in the next piece: one of these belongs to one training.

    Parameters
    ----------
    n_rows : int
        Number of rows of the task.
    batch_size : int
        Rows per step; at most ``n_rows`` are used.
    n_steps : int
        Steps of all pieces together.
    n_pieces : int, default=1
        Into which they are divided, as evenly as they can be.
    """

    def __init__(self, n_rows: int, batch_size: int, n_steps: int, n_pieces: int = 1) -> None:
        self._rows = ShuffledRows(n_rows, batch_size)
        self._pass: Iterator[Tensor] = iter(())
        ends = [n_steps * piece // n_pieces for piece in range(n_pieces + 1)]
        self._sizes = iter([end - start for start, end in itertools.pairwise(ends)])

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Draw the batches of the next piece.

        Parameters
        ----------
        generators : sequence of torch.Generator
            One per network.

        Yields
        ------
        Tensor of int of shape (n, batch_size)
            Numbers of the rows that each network sees.
        """
        for _ in range(next(self._sizes)):
            rows = next(self._pass, None)
            if rows is None:
                self._pass = self._rows.epoch(generators)
                rows = next(self._pass)
            yield rows


class StratifiedRows:
    """Batches with a fixed number of rows from every cell, drawn with replacement.

    Parameters
    ----------
    cells : array of int of shape (n_rows,)
        Cell of each row, for instance label by group.
    n_per_cell : int or array of int of shape (n_cells,)
        Rows per cell and step; of cells that have rows.
    n_steps : int
        Steps that make an epoch.
    """

    def __init__(self, cells: np.ndarray, n_per_cell: int | np.ndarray, n_steps: int) -> None:
        _, codes, counts = np.unique(cells, return_inverse=True, return_counts=True)
        self._rows = torch.from_numpy(np.argsort(codes, kind="stable"))
        # One entry per row of a batch: the size of its cell and where the cell begins.
        self._counts, self._starts = (
            torch.from_numpy(np.repeat(values, n_per_cell))
            for values in (counts, np.cumsum(counts) - counts)
        )
        self.n_steps, self.batch_size = n_steps, len(self._counts)

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Draw the batches of an epoch.

        Parameters
        ----------
        generators : sequence of torch.Generator
            One per network.

        Yields
        ------
        Tensor of int of shape (n, batch_size)
            Numbers of the rows that each network sees, cell by cell.
        """
        device = generators[0].device  # what is drawn is where it is drawn
        rows, counts, starts = (t.to(device) for t in (self._rows, self._counts, self._starts))
        for steps in pieces(self.n_steps, len(generators) * self.batch_size, device):
            shape = len(generators), steps.stop - steps.start, self.batch_size
            draws = torch.empty(shape, dtype=torch.float64, device=device)
            for draw, generator in zip(draws, generators, strict=True):
                draw.uniform_(generator=generator)
            picks = draws.mul_(counts).long().add_(starts)
            yield from rows[picks].transpose(0, 1).contiguous()
