"""What is seen of the samples of a set of gradients: :func:`describe`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skmeta.gradients import FisherSamples
from skmeta.metanets import SampleStates
from skmeta.metanets.sample_weights import N_RANKS

N_FEATURES = 2 * N_RANKS + 3
N_AMOUNTS = 2


def describe(samples: FisherSamples, X: Tensor) -> SampleStates:
    """Say of each sample what no permutation of neurons changes.

    Parameters
    ----------
    samples : FisherSamples
        Gradients on the rows.
    X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
        The rows.

    Returns
    -------
    SampleStates
    """
    stack, n_samples = samples.stack, samples.n_samples
    squares, logs = samples.squares, []
    totals = stack.weights.flat.new_zeros(len(stack), n_samples)
    for stage, (h, delta, _) in squares.items():
        inputs, outputs = h.sum(-1), delta.sum(-1)
        totals = totals + (inputs + 1) * outputs
        sizes = [
            (x / stack.true_neurons(s).sum(1)[:, None]).clamp_min(1e-20).log() / 2
            for x, s in ((inputs, stage), (outputs, stage + 1))
        ]
        logs.append(torch.stack(sizes, -1))
    stages = torch.stack(logs, 2)
    last = samples.factors[0].outer[stack.depth - 1].h
    last = last.unflatten(1, (n_samples, -1)).mean(2)
    near, far = _distances(X.expand(len(stack), -1, -1)), _distances(last)
    parts = [_neighbours(near), _neighbours(far), stages[:, :, 0, :1], stages[:, :, -1, 1:]]
    tokens = torch.cat([*parts, totals.clamp_min(1e-20).log()[..., None] / 2], -1)
    return SampleStates(
        tokens - tokens.mean(1, keepdim=True),
        stages - stages.mean(1, keepdim=True),
        near,
        amounts_of(samples),
    )


def amounts_of(samples: FisherSamples) -> Tensor:
    """Return what says of each stage how far to shrink it, ``(n, depth, N_AMOUNTS)``.

    That is what a closed form finds, and the logarithm of the number of rows.
    """
    shrinkage = samples.shrinkage()
    count = torch.full_like(shrinkage, np.log(samples.n_samples) - 4)
    return torch.stack([shrinkage, count], -1)


def _distances(rows: Tensor) -> Tensor:
    """Return distances between rows of standardised columns, in units of their mean."""
    centred = rows - rows.mean(1, keepdim=True)
    centred = centred / centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    squares = centred.square().sum(-1)
    found = squares[:, :, None] + squares[:, None] - 2 * centred @ centred.mT
    found = found.clamp_min(0).sqrt()
    return found / found.mean((1, 2), keepdim=True).clamp_min(1e-12)


def _neighbours(distances: Tensor) -> Tensor:
    """Return logarithms of the distances to the nearest rows, ``(n, n_samples, N_RANKS)``."""
    last = distances.shape[1] - 1
    ranks = [min(2**k, last) for k in range(N_RANKS)]
    nearest = distances.topk(max(ranks) + 1, dim=-1, largest=False).values
    return (nearest[..., ranks] + 1e-3).log()
