"""Running all networks of a stack at once: :func:`forward`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skmeta.networks.ops.conv import as_positions
from skmeta.population.columns import Pass
from skmeta.population.stack import Stack
from skmeta.population.weights import Weights

See = Callable[[int, Tensor], None]
"""Told the number of a state and the state ``(n, rows, width)``; positions of images are rows."""


def forward(
    stack: Stack, X: Tensor, weights: Weights | None = None, *, see: See | None = None
) -> Tensor:
    """Run every network of a stack on the same rows or on rows of its own.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
        Shared rows, or rows per network; of images, their pixels (channels first).
    weights : Weights, optional
        In place of the stack's own (edited or trained ones).
    see : callable, optional
        Told the number of each state, 0 for the input, and the state.

    Returns
    -------
    Tensor of shape (n, n_samples, n_outputs)
        Outputs of the last stage, differentiable in ``weights`` and ``X``.
    """
    return run(stack, X, Pass(stack.values(weights or stack.weights)), see)


def run(stack: Stack, X: Tensor, passing: Pass, see: See | None = None) -> Tensor:
    """Run the stages; ``passing`` says how, and keeps what a backward pass needs."""
    values = passing.values
    h = X.expand(len(stack), *X.shape) if X.ndim == 2 else X
    if see is not None:
        see(0, h)
    if stack.plan[0].size is not None:
        h = as_positions(h, stack.widths[0])
    for index, stage in enumerate(stack.plan):
        if passing.keep or index in stack.skip_sources:
            passing.states[index] = h
        weight, bias = values[f"{index}.weight"], values.get(f"{index}.bias")
        h = stage.mix.forward(h, weight, bias, stage.size)
        passing.owned = not torch.is_grad_enabled()
        saved = []
        for column in stage.columns:
            h, kept = column.forward(h, passing)
            saved.append(kept)
        if passing.keep:
            passing.saved.append(saved)
        if see is not None:
            see(index + 1, h)
    return h
