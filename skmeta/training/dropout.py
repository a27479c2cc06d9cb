"""Which elements of hidden states are dropped in training: :func:`draw_kept`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_kept(
    generators: Sequence[torch.Generator], widths: Sequence[int], h: Tensor, rates: Tensor
) -> Tensor:
    """Draw the factors of a state, zeros and 1 / (1 - rate), with one random stream per network.

    Parameters
    ----------
    generators : sequence of torch.Generator
        One per network.
    widths : sequence of int
        True widths of the state in each network.
    h : Tensor of shape (n, rows, width)
        The state.
    rates : Tensor of shape (n,)
        Shares of the elements that are dropped.

    Returns
    -------
    Tensor of shape (n, rows, width)
        What to multiply the state by.
    """
    n, n_rows, width = h.shape
    # Sixteen random bits per element, four elements in a word, drawn for the true neurons
    # only: the stream of a network does not depend on its padding.
    words = torch.zeros(n, n_rows, -(-width // 4), dtype=torch.int64)
    for i, rate in enumerate(rates.tolist()):
        if rate:
            words[i, :, : -(-widths[i] // 4)].random_(-(2**63), None, generator=generators[i])
    bits = words.view(torch.int16)[..., :width].to(torch.float32)
    # Kept are the bits at or above a threshold, as arithmetic: comparisons are slow.
    threshold = (rates * 65536).round_() - 32768
    mask = bits.sub_(threshold[:, None, None] - 1).clamp_(0, 1)
    return mask.mul_((1 / (1 - rates))[:, None, None]).to(h)
