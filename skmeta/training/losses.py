"""Losses for the training loop, one value per network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy per network, classes first: torch is slow on a short last dimension."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        log_probabilities = logits.movedim(2, 0).contiguous().log_softmax(0)
        ctx.save_for_backward(log_probabilities, labels)
        return log_probabilities.gather(0, labels[None])[0].mean(1).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        log_probabilities, labels = ctx.saved_tensors
        one = log_probabilities.new_full((), -1.0).expand(1, *labels.shape)
        error = log_probabilities.exp().scatter_add_(0, labels[None], one)
        return error.mul_(gradients[0][:, None] / labels.shape[1]).movedim(0, 2), None


def cross_entropy(labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean cross-entropy of logits against the labels of a task.

    Parameters
    ----------
    labels : Tensor of int of shape (n_samples,)
        Class codes, below 32768.

    Examples
    --------
    >>> import torch
    >>> from skmeta.training import cross_entropy
    >>> loss = cross_entropy(torch.tensor([0, 1, 1]))
    >>> loss(torch.zeros(2, 3, 2), torch.tensor([[0, 1, 2], [2, 1, 0]]))
    tensor([0.6931, 0.6931])
    """
    # Rows are picked at random: a small table stays in the cache.
    table = labels.to(torch.int16)
    return lambda outputs, rows: _CrossEntropy.apply(outputs, table[rows].long())
