"""Losses for the training loop, one value per network."""

from __future__ import annotations

import torch
from torch import Tensor


class CrossEntropy:
    """Mean cross-entropy of logits against labels, per network.

    Calling it is differentiable; :meth:`with_gradient` returns the gradient as well, without
    autograd. Classes come first inside: torch is slow on a short last dimension.

    Parameters
    ----------
    labels : Tensor of int of shape (n_samples,)
        Class codes, below 32768.

    Examples
    --------
    >>> import torch
    >>> from skmeta.training import CrossEntropy
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
        """Return the losses and the gradient of their sum.

        Parameters
        ----------
        outputs : Tensor of shape (n, batch, n_classes)
            Logits.
        rows : Tensor of int of shape (n, batch)
            Which rows they belong to.

        Returns
        -------
        losses : Tensor of shape (n,)
            Means over the batch.
        gradient : Tensor of shape (n, batch, n_classes)
            At the logits.
        """
        log_probabilities = outputs.movedim(2, 0).contiguous().log_softmax(0)
        labels = self.labels[rows].long()[None]
        losses = log_probabilities.gather(0, labels)[0].mean(1).neg_()
        one = log_probabilities.new_full((), -1.0).expand(labels.shape)
        error = log_probabilities.exp_().scatter_add_(0, labels, one).div_(rows.shape[1])
        return losses, error.movedim(0, 2)
