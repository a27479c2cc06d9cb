"""Running statistics that belong to weights: :func:`recalibrated`."""

from __future__ import annotations

from torch import Tensor

from skmeta.gradients import Program
from skmeta.population import Stack, Weights


def recalibrated(stack: Stack, X: Tensor) -> Stack:
    """Measure the statistics of batch normalisations anew.

    Running statistics are those of the weights that were trained; averaged weights have others.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_inputs)
        Rows that they are trained on.

    Returns
    -------
    Stack
        Itself if there is no batch normalisation.
    """
    if not stack.statistics.flat.numel():
        return stack
    program = Program(stack)
    statistics = Weights.full(stack.statistics.layout, len(stack), stack.statistics.flat)
    _, trace = program.forward(X, train=True)
    for stage, rows, *seen in program.statistics(trace):
        mask = stack.state_mask(stage + 1)
        for name, value in zip(("mean", "var"), seen, strict=True):
            mine = statistics[f"{stage}.{name}"][rows]
            mine.copy_(value[:, 0] if mask is None else value[:, 0].where(mask[rows] > 0, mine))
    return stack.with_weights(stack.weights, statistics)
