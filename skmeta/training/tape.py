"""What training does to a forward pass: :class:`Dropout` and :class:`TrainingTape`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.population import Stack, Tape


class Dropout:
    """Draws which elements of hidden states are dropped, with one random stream per network.

    The factors of a state lie in the same memory at every draw.
    """

    def __init__(self, stack: Stack) -> None:
        self.rates = torch.tensor(
            [[x.dropout for x in a.layers] for a in stack.architectures], dtype=torch.float32
        ).T
        self.true_widths = [a.widths for a in stack.architectures]
        self._memory: dict[tuple[int, torch.Size], _Draw | None] = {}

    def draw(self, generators: Sequence[torch.Generator], index: int, h: Tensor) -> Tensor | None:
        """Draw the factors of a state, zeros and 1 / (1 - rate); None without dropout."""
        key = (index, h.shape)
        if key not in self._memory:
            rates = self.rates[index - 1] if index else torch.zeros(())
            widths = [widths[index] for widths in self.true_widths]
            self._memory[key] = _Draw(h.shape, rates, widths) if rates.any() else None
        draw = self._memory[key]
        return None if draw is None else draw(generators).to(h)


class _Draw:
    """Memory for the factors of one state, and what of it belongs to which network."""

    def __init__(self, shape: torch.Size, rates: Tensor, widths: Sequence[int]) -> None:
        n, n_rows, width = shape
        # Sixteen random bits per element, four elements in a word, drawn for the true neurons
        # only: the stream of a network does not depend on its padding.
        words = torch.zeros(n, n_rows, -(-width // 4), dtype=torch.int64)
        drawn = rates.nonzero().flatten().tolist()
        self.words = [(i, words[i, :, : -(-widths[i] // 4)]) for i in drawn]
        self.factors = torch.ones(shape)
        some = slice(drawn[0], drawn[-1] + 1)
        self._part, self._bits = self.factors[some], words.view(torch.int16)[some, :, :width]
        # Kept are the bits at or above a threshold, as arithmetic: comparisons are slow. The
        # differences are at least a half, and stretched so far that they end at the factors.
        threshold = (rates[some, None, None] * 65536).round_() - 32768
        self._kept = 1 / (1 - rates[some, None, None])
        self._stretch = 2.0 ** math.ceil(math.log2(2 * self._kept.max()))
        self._offset = (0.5 - threshold) * self._stretch

    def __call__(self, generators: Sequence[torch.Generator]) -> Tensor:
        for i, words in self.words:
            words.random_(-(2**63), None, generator=generators[i])
        part = self._part.copy_(self._bits)
        torch.add(self._offset, part, alpha=self._stretch, out=part)
        torch.minimum(part.clamp_min_(0), self._kept, out=part)
        return self.factors


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
