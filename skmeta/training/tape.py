"""What training does to a forward pass: :class:`Dropout` and :class:`TrainingTape`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.population import Stack, Tape


class Dropout:
    """Draws which elements of hidden states are dropped, with one random stream per network."""

    def __init__(self, stack: Stack) -> None:
        rates = torch.tensor(
            [[x.dropout for x in a.layers] for a in stack.architectures], dtype=torch.float32
        )
        self.rates = [r if r.any() else None for r in rates.T]
        self.true_widths = [a.widths for a in stack.architectures]

    def draw(self, generators: Sequence[torch.Generator], index: int, h: Tensor) -> Tensor | None:
        """Draw the factors of a state, zeros and 1 / (1 - rate); None without dropout."""
        rates = self.rates[index - 1] if index else None
        if rates is None:
            return None
        n, n_rows, width = h.shape
        # Sixteen random bits per element, four elements in a word, drawn for the true neurons
        # only: the stream of a network does not depend on its padding.
        words = torch.zeros(n, n_rows, -(-width // 4), dtype=torch.int64)
        for i, rate in enumerate(rates.tolist()):
            if rate:
                true = words[i, :, : -(-self.true_widths[i][index] // 4)]
                true.random_(-(2**63), None, generator=generators[i])
        bits = words.view(torch.int16)[..., :width].to(torch.float32)
        # Kept are the bits at or above a threshold, as arithmetic: comparisons are slow.
        threshold = (rates * 65536).round_() - 32768
        mask = bits.sub_(threshold[:, None, None] - 1).clamp_(0, 1)
        return mask.mul_((1 / (1 - rates))[:, None, None]).to(h)


class TrainingTape(Tape):
    """Dropout and batch statistics of one pass."""

    train = True

    def __init__(self, dropout: Dropout, generators: Sequence[torch.Generator]) -> None:
        self._dropout, self.generators = dropout, generators
        self.seen: dict[tuple[int, tuple[int, int]], tuple[Tensor, Tensor]] = {}

    def dropout(self, index: int, h: Tensor) -> Tensor | None:
        """Draw the factors of a state; None without dropout."""
        return self._dropout.draw(self.generators, index, h)

    def state(self, index: int, h: Tensor) -> Tensor:
        """Drop elements of hidden states."""
        mask = self.dropout(index, h)
        return h if mask is None else h * mask

    def batch_statistics(self, index: int, rows: slice, mean: Tensor, var: Tensor) -> None:
        """Remember the statistics of batch normalisation."""
        self.seen[index, (rows.start, rows.stop)] = (mean.detach(), var.detach())
