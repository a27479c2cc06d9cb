"""Which elements of hidden states are dropped in training: :class:`Dropout`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.population import Stack


class Dropout:
    """Draws which elements of hidden states are dropped, with one random stream per network.

    The factors of a state lie in the same memory at every draw.
    """

    def __init__(self, stack: Stack) -> None:
        self.true_widths = [a.widths for a in stack.architectures]
        self._memory: dict[tuple[int, torch.Size], _Draw] = {}

    def draw(
        self, generators: Sequence[torch.Generator], stage: int, h: Tensor, rates: Tensor
    ) -> Tensor:
        """Draw the factors of a state, zeros and 1 / (1 - rate).

        Parameters
        ----------
        generators : sequence of torch.Generator
            One per network.
        stage : int
            Whose outputs they are.
        h : Tensor of shape (n, rows, width)
            The state.
        rates : Tensor of shape (n,)
            Shares of the elements that are dropped.

        Returns
        -------
        Tensor of shape (n, rows, width)
            Overwritten by the next draw for this stage.
        """
        key = (stage, h.shape)
        if key not in self._memory:
            widths = [widths[stage + 1] for widths in self.true_widths]
            self._memory[key] = _Draw(h.shape, rates, widths)
        return self._memory[key](generators).to(h)


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
