"""Losses of tasks, one value per network."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Loss(ABC):
    """Maps outputs of networks and numbers of rows to one loss per network."""

    @abstractmethod
    def __call__(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """Map outputs ``(n, batch, n_outputs)`` and row numbers to losses ``(n,)``."""

    @abstractmethod
    def with_gradient(self, outputs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses and the gradient of their sum, without autograd.

        Parameters
        ----------
        outputs : Tensor of shape (n, batch, n_outputs)
            Of the networks.
        rows : Tensor of int of shape (n, batch)
            Which rows they belong to.

        Returns
        -------
        losses : Tensor of shape (n,)
            Means over the batch.
        gradient : Tensor of shape (n, batch, n_outputs)
            At the outputs.
        """


class CrossEntropy(Loss):
    """Mean cross-entropy of logits against labels, per network.

    Classes come first inside: torch is slow on a short last dimension.

    Parameters
    ----------
    labels : Tensor of int of shape (n_samples,)
        Class codes, below 32768.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import CrossEntropy
    >>> loss = CrossEntropy(torch.tensor([0, 1, 1]))
    >>> loss(torch.zeros(2, 3, 2), torch.tensor([[0, 1, 2], [2, 1, 0]]))
    tensor([0.6931, 0.6931])
    """

    def __init__(self, labels: Tensor) -> None:
        # Rows are picked at random: a small table stays in the cache.
        self.labels = labels.to(torch.int16)

    def __call__(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """Map outputs ``(n, batch, n_classes)`` and row numbers to losses ``(n,)``."""
        log_probabilities = outputs.movedim(2, 0).contiguous().log_softmax(0)
        labels = self.labels[rows].long()
        return -log_probabilities.gather(0, labels[None])[0].mean(1)

    def with_gradient(self, outputs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses and the gradient of their sum."""
        log_probabilities = outputs.movedim(2, 0).contiguous().log_softmax(0)
        labels = self.labels[rows].long()[None]
        losses = log_probabilities.gather(0, labels)[0].mean(1).neg_()
        one = log_probabilities.new_full((), -1.0).expand(labels.shape)
        error = log_probabilities.exp_().scatter_add_(0, labels, one).div_(rows.shape[1])
        return losses, error.movedim(0, 2)


class SquaredError(Loss):
    """Mean squared error of outputs against targets, per network.

    Parameters
    ----------
    targets : Tensor of shape (n_samples,), (n_samples, n_outputs) or (n, n_samples, n_outputs)
        The last form has targets of its own for each network.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import SquaredError
    >>> loss = SquaredError(torch.tensor([0.0, 1.0, 2.0]))
    >>> loss(torch.zeros(2, 2, 1), torch.tensor([[0, 1], [1, 2]]))
    tensor([0.5000, 2.5000])
    """

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets[:, None] if targets.ndim == 1 else targets

    def _errors(self, outputs: Tensor, rows: Tensor) -> Tensor:
        if self.targets.ndim == 2:
            return outputs - self.targets[rows]
        return outputs - self.targets.take_along_dim(rows[..., None], 1)

    def __call__(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """Map outputs ``(n, batch, n_outputs)`` and row numbers to losses ``(n,)``."""
        return self._errors(outputs, rows).square().mean((1, 2))

    def with_gradient(self, outputs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses and the gradient of their sum."""
        errors = self._errors(outputs, rows)
        return errors.square().mean((1, 2)), errors * (2 / errors[0].numel())
