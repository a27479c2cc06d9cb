"""What readers are trained with: :data:`LOSSES`, and the scale of what they predict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class RankingLoss(nn.Module):
    """Mean over all pairs of a batch of ``softplus(-(s_i - s_j))``, where ``y_i > y_j``.

    References
    ----------
    .. [1] Burges et al., "Learning to rank using gradient descent", 2005.
    """

    def forward(self, scores: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compare scores with targets, both ``(n, 1)``; a batch without a pair has loss 0.

        With weights ``(n,)`` a pair counts as often as the product of both.
        """
        ordered = targets > targets.T
        losses = nn.functional.softplus(scores.T - scores).where(ordered, 0.0)
        if weights is None:
            return losses.sum() / ordered.sum().clamp_min(1)
        pairs = torch.outer(weights, weights) * ordered
        return (losses * pairs).sum() / pairs.sum().clamp_min(1e-12)


LOSSES: dict[str, type[nn.Module]] = {
    "mse": nn.MSELoss,
    "bce": nn.BCEWithLogitsLoss,
    "ranking": RankingLoss,
}
"""Losses of readers of one number, by name."""


class Weighted(nn.Module):
    """A loss in which every network counts as often as it weighs.

    Over all batches that is the loss of a population with repeated networks.

    Parameters
    ----------
    criterion : Module class
        Of the loss.
    """

    def __init__(self, criterion: type[nn.Module]) -> None:
        super().__init__()
        of_pairs = criterion is RankingLoss
        self.criterion = criterion() if of_pairs else criterion(reduction="none")

    def forward(self, outputs: Tensor, weighted: Sequence[Tensor]) -> Tensor:
        """Compare outputs with targets, which come with weights ``(n,)`` of mean 1."""
        targets, weights = weighted
        if isinstance(self.criterion, RankingLoss):
            return self.criterion(outputs, targets, weights)
        return (self.criterion(outputs, targets).flatten() * weights).mean()


def standard(y: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """Return the mean and the standard deviation, or 1, of targets ``(n,)``."""
    mean = np.average(y, weights=weights)
    deviation = np.sqrt(np.average((y - mean) ** 2, weights=weights))
    return float(mean), float(deviation) or 1.0


def line(outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """Return offset and slope of the line from outputs to targets, both ``(n,)``."""
    mean = np.average(outputs, weights=weights)
    centred = outputs - mean
    weighted = centred if weights is None else centred * weights
    slope = float(weighted @ y / (weighted @ centred or 1.0))
    return float(np.average(y, weights=weights) - slope * mean), slope
