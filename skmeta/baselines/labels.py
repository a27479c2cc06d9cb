"""From labels to scores: what rivals that decide, and do not score, have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from skmeta.baselines.base import PostProcessor

_CERTAIN = 20.0
"""Logit of a hard label; its probability is 1 - 2e-9."""

_JUST_PAST = 1e-3
"""Difference of the logits of a score that has just crossed .5."""


def move_just_past(logits: Tensor, positive: Tensor) -> Tensor:
    """Give binary scores the wanted labels with the smallest change.

    A score whose label changes is moved to just past .5, the others stay where they are:
    no scores with these labels have a lower divergence from the original ones.

    Parameters
    ----------
    logits : Tensor of shape (n, n_samples, 2)
        Original scores.
    positive : Tensor of bool of shape (n, n_samples)
        Wanted labels.

    Returns
    -------
    Tensor of shape (n, n_samples, 2)

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[0.0, 2.0], [0.0, 2.0]]])
    >>> move_just_past(logits, torch.tensor([[True, False]])).softmax(-1)[..., 1]
    tensor([[0.88, 0.50]])
    """
    past = torch.where(positive, _JUST_PAST / 2, -_JUST_PAST / 2)
    moved = torch.stack([-past, past], -1).to(logits)
    stays = (logits[..., 1] > logits[..., 0]) == positive
    return torch.where(stays[..., None], logits, moved)


class LabelPostProcessor(PostProcessor):
    """A post-processor that gives labels; its parameter ``scores`` says what they score.

    Labels have no divergence from scores of their own. With "minimal", a score whose label
    changed is moved to just past .5, which is the least change that gives these labels. With
    "hard", the labels themselves are certain scores, and the divergence is inherently large.
    """

    binary_only = True
    options = {"scores": ["minimal", "hard"]}
    scores: str

    @property
    def games_threshold(self) -> bool:
        """Whether a score moves only if its label at .5 changes."""
        return self.scores == "minimal"

    def _score(self, logits: Tensor, positive: Tensor) -> Tensor:
        """Turn the labels ``(n, n_samples)`` of logits into logits."""
        if self.scores == "minimal":
            return move_just_past(logits, positive)
        side = torch.where(positive, _CERTAIN / 2, -_CERTAIN / 2).to(logits)
        return torch.stack([-side, side], -1)
