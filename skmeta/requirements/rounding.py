"""Discrete decisions that rounding does not take: :func:`settled`."""

from __future__ import annotations

import torch
from torch import Tensor

_BITS = 32


def settled(scores: Tensor) -> Tensor:
    """Return scores as multiples of the last of 32 bits of each network's largest.

    How a sum is rounded depends on the shapes that it is computed in, and so on the networks that
    are there beside a network: two scores that only differ by that must be a tie, whose order
    is that of the candidates. Scores in float64 differ by a millionth of the last bit at most.

    Parameters
    ----------
    scores : Tensor of shape (n, n_candidates)
        Finite.

    Returns
    -------
    Tensor of shape (n, n_candidates)
        Whole numbers in the order of the scores.

    Examples
    --------
    >>> import torch
    >>> from skmeta.requirements.rounding import settled
    >>> third = torch.tensor(1 / 3, dtype=torch.float64)
    >>> one, other = settled(torch.stack([third, third + 1e-15])[None])[0]
    >>> bool(one == other)
    True
    """
    _, exponent = torch.frexp(scores.abs().amax(1, keepdim=True))
    # In two steps: the power itself may be too small or too large for the type.
    return torch.ldexp(torch.ldexp(scores, -exponent), torch.tensor(_BITS)).round()
