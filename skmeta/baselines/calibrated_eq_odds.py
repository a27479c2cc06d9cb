"""Withhold the score of a favoured group now and then: :class:`CalibratedEqOdds`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_generator, check_rng
from skmeta.baselines.base import PostProcessor
from skmeta.baselines.group_search import membership
from skmeta.datasets import Cells, Task


@dataclass(eq=False, repr=False)
class CalibratedEqOdds(PostProcessor):
    """Calibrated equalized odds [1]_: mix the scores of favoured groups with their base rate.

    The generalised cost of a group is the mean score of its negatives ("fpr"), one minus the
    mean score of its positives ("fnr"), or their sum by frequency ("weighted"). The group with
    the largest cost stays as it is. In every other group a share alpha of the scores gives
    way to the base rate of the group, which makes all costs equal and keeps calibrated scores
    calibrated. A group whose base rate alone costs less than the largest cost gets alpha = 1.

    The original is for two groups; here any number is lifted to the worst. It neither aims at
    the labels nor at the divergence: it is for comparison with what the literature does.

    Parameters
    ----------
    cost : {"fnr", "fpr", "weighted"}, default="fnr"
        Which cost to make equal.
    mixing : {"drawn", "mean"}, default="drawn"
        "drawn": whose score is withheld is drawn by lot, as in the paper. "mean": everybody
        gets the expectation of that, (1 - alpha) * score + alpha * base rate, which has the
        same costs and less divergence, but is no longer calibrated.
    random_state : int, RandomState or None
        Seed of the lot.

    References
    ----------
    .. [1] G. Pleiss, M. Raghavan, F. Wu, J. Kleinberg, K. Weinberger, "On fairness and
       calibration", NeurIPS 2017.

    Examples
    --------
    >>> from skmeta.baselines import CalibratedEqOdds
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> networks = Population.initialize(Architecture.mlp((10, 8, 2)), 3, random_state=0)
    >>> rival = CalibratedEqOdds(mixing="mean").fit(networks, task=reference)
    >>> rival.predict_logits(networks, test).shape
    torch.Size([3, 600, 2])
    """

    needs_sensitive_at_prediction = True
    binary_only = True
    options = {"cost": ["fnr", "fpr", "weighted"], "mixing": ["drawn", "mean"]}

    _: KW_ONLY
    cost: str = "fnr"
    mixing: str = "drawn"
    random_state: Any = None

    def _fit(self, networks: Any, task: Task) -> None:
        Cells.of(task).require_all("CalibratedEqOdds")
        self._seed = int(check_rng(self.random_state).integers(2**31))

    def _choose(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the shares alpha ``(n, n_groups)``; the base rates are ``(n_groups,)``."""
        groups = membership(self.task_, reference)
        _, labels, _ = self.task_.tensors(reference.device)
        counts = torch.stack([groups[labels == y].sum(0) for y in (0, 1)])  # (label, group)
        score = reference.softmax(-1)[..., 1]
        means = [
            score[:, labels == y] @ groups[labels == y] / count for y, count in enumerate(counts)
        ]
        base = counts[1] / counts.sum(0)
        now = self._cost(means[0], 1 - means[1], base)
        trivial = self._cost(base, 1 - base, base)
        missing, room = now.amax(1, keepdim=True) - now, trivial - now
        alpha = torch.where(missing < room, missing / room, (missing > 0).to(now))
        return alpha, base

    def _cost(self, false_positive: Tensor, false_negative: Tensor, base: Tensor) -> Tensor:
        if self.cost == "fnr":
            return false_negative
        if self.cost == "fpr":
            return false_positive
        return (1 - base) * false_positive + base * false_negative

    def _apply(self, settings: tuple[Tensor, Tensor], logits: Tensor, task: Task) -> Tensor:
        alpha, base = settings
        groups = membership(task, logits)
        # (n, n_samples), (n_samples,)
        share, constant = alpha @ groups.T, (groups @ base).clamp(1e-6, 1 - 1e-6)
        if self.mixing == "drawn":
            # The same lot for each network: its result does not depend on the others.
            generator = check_generator(self._seed, logits.device)
            lot = torch.rand(task.n_samples, generator=generator, device=logits.device)
            share = (lot < share).to(logits)
        score = (1 - share) * logits.softmax(-1)[..., 1] + share * constant
        mixed = torch.stack([(1 - score).log(), score.log()], -1)
        return torch.where((share > 0)[..., None], mixed, logits)
