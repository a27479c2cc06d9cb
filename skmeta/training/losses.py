"""Losses for the training loop, one value per network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy per network; softmax over a few classes is slow in torch's kernel."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        shifted = logits - logits.amax(-1, keepdim=True)
        exp = shifted.exp()
        total = exp.sum(-1, keepdim=True)
        ctx.save_for_backward(exp / total, labels)
        picked = shifted.gather(-1, labels[..., None])
        return (total.log() - picked).mean((1, 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        probabilities, labels = ctx.saved_tensors
        one = probabilities.new_full((), -1.0).expand(*labels.shape, 1)
        error = probabilities.scatter_add(-1, labels[..., None], one)
        return error * (gradients[0] / labels.shape[1])[:, None, None], None


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
