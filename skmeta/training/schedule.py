"""How learning rates change in the course of training, and how weights are averaged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WARMUP = 0.02
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """A learning rate that rises and falls, and a running mean of the weights.

    The mean of the weights over the last steps is better than the last weights, which gradients of
    single batches push about: by as much as a lower learning rate makes them, at once.

    Parameters
    ----------
    n_steps : int
        Length of the training.
    decay : Tensor of shape (n, 1)
        Power of the share of steps that are left: 0 keeps the learning rate, 1 takes it to zero
        linearly.
    window : Tensor of shape (n, 1)
        Over which share of the steps weights are averaged, exponentially; less than a step keeps
        the last weights.

    Examples
    --------
    >>> import torch
    >>> from skmeta.training import Schedule
    >>> schedule = Schedule(100, torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.1]]))
    >>> schedule.factor(0).T, schedule.factor(50).T
    (tensor([[0.5000, 0.5000]]), tensor([[1.0000, 0.5000]]))
    >>> schedule.share(99).T
    tensor([[1.0000, 0.1000]])
    """

    n_steps: int
    decay: Tensor
    window: Tensor

    def factor(self, step: int) -> Tensor:
        """Return by what the learning rate is multiplied.

        Parameters
        ----------
        step : int
            Steps that were taken before; from ``n_steps`` on, it is as in the last of them.

        Returns
        -------
        Tensor of shape (n, 1)
        """
        left = 1 - min(step, self.n_steps - 1) / self.n_steps
        risen = min(1.0, (step + 1) / (WARMUP * self.n_steps))
        return risen * torch.full_like(self.decay, left).pow(self.decay)

    def share(self, step: int) -> Tensor:
        """Return how much the weights behind a step count in their mean.

        Parameters
        ----------
        step : int
            Steps that were taken before.

        Returns
        -------
        Tensor of shape (n, 1)
            The first ones are averaged with equal weights.
        """
        window = (self.window * self.n_steps).clamp(min=1.0)
        return 1 / window.clamp(max=step + 1.0)
