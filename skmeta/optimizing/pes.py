"""Gradients of long trainings from short pieces of them: :class:`PersistentES`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PersistentES:
    """Persistent evolution strategies [1]_: unbiased gradients through any number of steps.

    Pairs of trainings go on piece by piece, one with what is learned plus noise, one minus it, with
    fresh noise in each piece. A loss is blamed on all the noise since the beginning, so that what
    was done in one piece answers for the losses of later ones.

    Parameters
    ----------
    sigma : float
        Size of the noise.
    n_pairs : int
        Pairs of trainings.
    n_numbers : int
        How many numbers are learned.
    generator : Generator
        Of the noise.

    References
    ----------
    .. [1] Vicol, Metz and Sohl-Dickstein (2021), "Unbiased gradient estimation in unrolled
       computation graphs with persistent evolution strategies".

    Examples
    --------
    The loss of ``x``, after three steps of ``x <- x - rate * x`` from 1:

    >>> import torch
    >>> from skmeta.optimizing import PersistentES
    >>> es = PersistentES(0.01, 20_000, 1, torch.Generator().manual_seed(0))
    >>> rate, total = torch.tensor([0.1], dtype=torch.float64), 0.0
    >>> x = torch.ones(40_000, dtype=torch.float64)
    >>> for is_last in (False, False, True):
    ...     x = x * (1 - es.draw(rate)[:, 0])
    ...     total = total + es.gradient(is_last * x.square() / 2)
    >>> round(float(total), 1), round(-3 * 0.9**5, 1)
    (-1.8, -1.8)
    """

    sigma: float
    n_pairs: int
    n_numbers: int
    generator: torch.Generator

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget the noise: all trainings begin anew."""
        self._blamed = torch.zeros(self.n_pairs, self.n_numbers, dtype=torch.float64)

    def draw(self, learned: Tensor) -> Tensor:
        """Return the numbers of the next piece of each training.

        Parameters
        ----------
        learned : Tensor of shape (n_numbers,)
            What is learned.

        Returns
        -------
        Tensor of shape (2 * n_pairs, n_numbers)
            Those with added noise first.
        """
        shape = self.n_pairs, self.n_numbers
        noise = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        noise = self.sigma * noise
        self._blamed += noise
        return torch.cat([learned + noise, learned - noise])

    def gradient(self, losses: Tensor) -> Tensor:
        """Return the gradient of the mean loss of a piece.

        Parameters
        ----------
        losses : Tensor of shape (2 * n_pairs,)
            Of all trainings, in that piece.

        Returns
        -------
        Tensor of shape (n_numbers,)
        """
        plus, minus = losses.double().cpu().chunk(2)
        blame = self._blamed * (plus - minus)[:, None]
        return blame.mean(0) / (2 * self.sigma**2)
