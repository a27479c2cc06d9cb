"""The rival that every blind edit learns from: the optimum itself, without a network."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import check_rng
from skmeta.baselines.labels import LabelPostProcessor
from skmeta.datasets import Task
from skmeta.requirements import FairTeacher


@dataclass(eq=False, repr=False)
class BlindOptimum(LabelPostProcessor):
    """Decide as a :class:`~skmeta.requirements.FairTeacher` does, whatever the network says.

    Boosted trees and class-dependent costs instead of the network's scores: linear
    post-processing [1]_ of trees. It needs no group to predict, but the trees: an edit that was
    taught by it needs the network alone.

    Parameters
    ----------
    requirement : str or GroupFairness, default="equalized_odds"
        Which rates must agree.
    tolerance : float, default=0.05
        Largest difference of two groups in a rate, as the trees see it.
    cost_power : float, default=0.5
        To miss a row of class k costs ``P(y = k) ** -cost_power``.
    randomised : bool, default=False
        Draw each decision with its probability, in place of the more probable one. The rates
        agree in expectation, then, but the same row may be decided in two ways.
    scores : {"minimal", "hard"}, default="minimal"
        As of :class:`ThresholdOptimizer`.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    teacher_ : FairTeacher
        Fitted to the reference rows.

    References
    ----------
    .. [1] R. Xian, H. Zhao, "Optimal group fair classifiers from linear post-processing",
       arXiv:2405.04025, 2024.

    Examples
    --------
    >>> from skmeta.baselines import BlindOptimum
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> networks = Population.initialize(Architecture.mlp((10, 8, 2)), 3, random_state=0)
    >>> rival = BlindOptimum(random_state=0).fit(networks, task=reference)
    >>> rival.predict_logits(networks, test).shape
    torch.Size([3, 600, 2])
    """

    requirement: Any = "equalized_odds"
    _: KW_ONLY
    tolerance: float = 0.05
    cost_power: float = 0.5
    randomised: bool = False
    scores: str = "minimal"
    random_state: Any = None

    options = {**LabelPostProcessor.options, "randomised": [False, True]}

    def _fit(self, networks: Any, task: Task) -> None:
        rng = check_rng(self.random_state)
        seed, self._noise_seed = rng.integers(2**31, size=2).tolist()
        teacher = FairTeacher(
            self.requirement,
            tolerance=self.tolerance,
            cost_power=self.cost_power,
            random_state=seed,
        )
        self.teacher_ = teacher.fit(task)

    def _choose(self, reference: Tensor) -> None:
        """Do nothing: the decisions are the same for all networks."""

    def _apply(self, settings: None, logits: Tensor, task: Task) -> Tensor:
        chance = torch.from_numpy(self.teacher_.predict_proba(task)[:, 1])
        bar = torch.full_like(chance, 0.5)
        if self.randomised:
            rng = np.random.default_rng(self._noise_seed)
            bar = torch.from_numpy(rng.random(task.n_samples))
        return self._score(logits, (chance > bar).expand(logits.shape[:2]).to(logits.device))
