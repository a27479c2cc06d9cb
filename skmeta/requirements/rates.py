"""Rates of predictions per label and group, the raw material of group fairness."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Grid over which a measure is averaged so that scores moved past .5 do not game it."""


def soft_predictions(logits: Tensor, temperature: float) -> Tensor:
    """Relax argmax to a softmax with temperature (eq. 18 of the paper on learned editing)."""
    return (logits / temperature).softmax(-1)


def hard_predictions(logits: Tensor) -> Tensor:
    """One-hot argmax (eq. 17); nan where the largest logit is not finite."""
    one_hot = torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits)
    # Argmax would count such a row as the first class.
    return one_hot.masked_fill(~logits.amax(-1, keepdim=True).isfinite(), torch.nan)


def straight_through(logits: Tensor, temperature: float) -> Tensor:
    """Hard predictions with the gradient of the soft ones (eqs. 21 to 23)."""
    soft = soft_predictions(logits, temperature)
    return hard_predictions(logits) + soft - soft.detach()


def moved_threshold(logits: Tensor, threshold: float) -> Tensor:
    """Shift the logits of two classes so that argmax decides at a threshold on the score."""
    if threshold == 0.5:
        return logits
    if logits.shape[-1] != 2:
        raise ValueError(
            "Thresholds on the score are defined for two classes only. Got logits of "
            f"{logits.shape[-1]} classes and the threshold {threshold}. Use measure or "
            "measure_soft, and a requirement without 'thresholds'."
        )
    return logits - logits.new_tensor([0.0, math.log(threshold / (1 - threshold))])


def cell_rates(predictions: Tensor, cells: Tensor, n_labels: int, n_groups: int) -> Tensor:
    """Average predictions over the rows of each (label, group) cell.

    Parameters
    ----------
    predictions : Tensor of shape (n, n_samples, n_classes)
        Hard or soft predictions.
    cells : Tensor of int of shape (n_samples,) or (n, n_samples)
        ``label * n_groups + group`` of each row.
    n_labels, n_groups : int
        Numbers of labels and groups.

    Returns
    -------
    Tensor of shape (n, n_labels, n_groups, n_classes)
        ``P(prediction = k | label, group)``; 0 for an empty cell, which has no rate.
    """
    one_hot = torch.nn.functional.one_hot(cells, n_labels * n_groups).to(predictions)
    share = one_hot / one_hot.sum(-2, keepdim=True).clamp_min(1)
    rates = share.transpose(-1, -2) @ predictions
    return rates.unflatten(1, (n_labels, n_groups))


def range_over(values: Tensor, dim: int) -> Tensor:
    """Largest minus smallest value along a dimension: the largest difference of any pair."""
    return values.amax(dim) - values.amin(dim)


def mean_over_thresholds(
    logits: Tensor, function: Callable[[Tensor], Tensor], thresholds: Sequence[float]
) -> Tensor:
    """Average a function of logits over thresholds on the score."""
    return torch.stack([function(moved_threshold(logits, t)) for t in thresholds]).mean(0)
