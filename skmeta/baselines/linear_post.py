"""The best fair labels by a linear program: :class:`LinearPost`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from skmeta._checks import check_rng
from skmeta.baselines.code_model import fit_codes, predicted_codes
from skmeta.baselines.group_search import membership
from skmeta.baselines.labels import LabelPostProcessor
from skmeta.datasets import Cells, Task
from skmeta.requirements import (
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    resolve_requirement,
)

_NOISE = 1e-4
"""Largest change of a score that breaks ties (section 3 of the second reference)."""


@dataclass(eq=False, repr=False)
class LinearPost(LabelPostProcessor):
    """LinearPost [1]_ [2]_, the "FairCls" of the paper on learned editing.

    Among all randomised rules it finds the labels with the least expected error whose rates
    differ between groups by ``tolerance`` at most, all by predicted probabilities. They are
    the solution of a linear program, and its dual variables give a rule for new rows: class 1
    if ``2 * score - 1`` exceeds a linear function of the probabilities of (label, group).
    Ties, which occur in whole groups, are broken by noise of 1e-4 on the scores, as in [2]_.

    The rates are only as right as the probabilities: there is no calibration here (it is
    optional there), so a gap remains where a network is badly calibrated within a group.

    Parameters
    ----------
    requirement : {"equalized_odds", "equal_opportunity", "demographic_parity"} or Requirement
        Which rates. Other requirements are no linear constraints.
    tolerance : float, default=0.0
        Largest difference of the (predicted) rates of two groups; 1 changes nothing.
    aware : bool, default=False
        Use the groups, which must then be known at prediction, and the network's own score as
        the probability of the label. Else boosted trees predict label and group jointly from
        X. On Adult a logistic regression in their place left twice the gap.
    scores : {"minimal", "hard"}, default="minimal"
        As of :class:`ThresholdOptimizer`.
    n_per_cell : int, default=1000
        Reference rows per (label, group) cell in the program, weighted by how frequent the
        cell is. One program is solved per network.
    random_state : int, RandomState or None
        Seed of these rows and of the noise.

    Attributes
    ----------
    cell_model_ : HistGradientBoostingClassifier or None
        Predicts ``label * n_groups + group``.

    References
    ----------
    .. [1] R. Xian, L. Yin, H. Zhao, "Fair and optimal classification via post-processing",
       ICML 2023.
    .. [2] R. Xian, H. Zhao, "Optimal group fair classifiers from linear post-processing",
       arXiv:2405.04025, 2024.

    Examples
    --------
    >>> from skmeta.baselines import LinearPost
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> networks = Population.initialize(Architecture.mlp((10, 8, 2)), 3, random_state=0)
    >>> rival = LinearPost(tolerance=0.05, random_state=0).fit(networks, task=reference)
    >>> rival.predict_logits(networks, test).shape
    torch.Size([3, 600, 2])
    """

    requirement: Any = "equalized_odds"
    _: KW_ONLY
    tolerance: float = 0.0
    aware: bool = False
    scores: str = "minimal"
    n_per_cell: int = 1000
    random_state: Any = None

    options = {**LabelPostProcessor.options, "aware": [False, True]}

    @property
    def needs_sensitive_at_prediction(self) -> bool:
        """Whether the sensitive features of new rows must be known to predict."""
        return self.aware

    def _fit(self, networks: Any, task: Task) -> None:
        requirement = resolve_requirement(self.requirement, "LinearPost")
        self._kind = type(requirement)
        if self._kind not in (EqualizedOdds, EqualOpportunity, DemographicParity):
            raise ValueError(
                "The 'requirement' parameter of LinearPost must be 'equalized_odds', "
                f"'equal_opportunity' or 'demographic_parity'. Got {self.requirement!r} instead. "
                "Use AdditiveCorrection or FineTune for others."
            )
        requirement.check_cells(Cells.of(task))
        rng = check_rng(self.random_state)
        self._rows = torch.as_tensor(task.stratified_sample(self.n_per_cell, rng))
        self._noise_seed = int(rng.integers(2**31))
        self.cell_model_ = None
        if not self.aware:
            model = HistGradientBoostingClassifier(
                max_iter=50, early_stopping=False, random_state=self._noise_seed
            )
            self.cell_model_ = fit_codes(model, task, task.cells())

    def _choose(self, reference: Tensor) -> Tensor:
        """Solve for the weights ``(n, n_rates, n_groups)``."""
        scores, shares = self._inputs(reference, self.task_)
        weights = Cells.of(self.task_).take(self._rows).row_weights().numpy()
        shares = shares.expand(len(scores), -1, -1, -1)
        solved = [
            solve_fair_labels(score.numpy(), share.numpy(), weights, self.tolerance)[1]
            for score, share in zip(scores[:, self._rows], shares[:, self._rows], strict=True)
        ]
        return torch.from_numpy(np.stack(solved))

    def _apply(self, settings: Tensor, logits: Tensor, task: Task) -> Tensor:
        scores, shares = self._inputs(logits, task)
        shift = torch.einsum("nisg,nsg->ni", shares.expand(len(scores), -1, -1, -1), settings)
        return self._score(logits, (2 * scores - 1 > shift).to(logits.device))

    def _inputs(self, logits: Tensor, task: Task) -> tuple[Tensor, Tensor]:
        """Scores ``(n, n_samples)`` and ``(n or 1, n_samples, n_rates, n_groups)`` shares.

        A share is the probability that a row counts in a rate of a group, in float64.
        """
        probabilities = logits.double().softmax(-1).cpu()
        if self.cell_model_ is None:
            groups = membership(task, probabilities)
            joint = probabilities[..., None] * groups[:, None]
        else:
            n_groups = self.task_.n_groups
            joint = predicted_codes(self.cell_model_, task, 2 * n_groups)
            joint = joint.unflatten(1, (2, n_groups))[None]
        if self._kind is EqualOpportunity:
            joint = joint[..., 1:, :]
        elif self._kind is DemographicParity:
            joint = joint.sum(-2, keepdim=True)
        rng = np.random.default_rng(self._noise_seed)
        noise = torch.from_numpy(rng.uniform(-_NOISE, _NOISE, task.n_samples))
        return probabilities[..., 1] + noise, joint


def solve_fair_labels(
    scores: NDArray[np.float64],
    shares: NDArray[np.float64],
    weights: NDArray[np.float64],
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Minimise the expected error of labels whose rates agree between groups.

    The rate s of group g is ``sum_i w_i f_isg pi_i / sum_i w_i f_isg``, where ``pi_i`` is the
    probability that row i gets class 1. It lies within ``tolerance / 2`` of a number ``q_s``.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Probabilities of class 1.
    shares : ndarray of shape (n_samples, n_rates, n_groups)
        f, the probability that a row counts in a rate of a group.
    weights : ndarray of shape (n_samples,)
        w; they sum to 1.
    tolerance : float
        Largest difference of two groups in a rate.

    Returns
    -------
    pi : ndarray of shape (n_samples,)
    weights : ndarray of shape (n_rates, n_groups)
        From the dual: ``pi`` is 1 where ``2 * score - 1 > sum(shares * weights)``, and 0 where
        it is less.

    Examples
    --------
    >>> import numpy as np
    >>> shares = np.eye(2)[[0, 0, 1, 1]][:, None]  # demographic parity of two groups
    >>> solve_fair_labels(np.array([0.9, 0.8, 0.6, 0.3]), shares, np.full(4, 0.25), 0.0)[0]
    array([1., 1., 1., 1.])
    """
    n_samples, n_rates, n_groups = shares.shape
    totals = np.einsum("i,isg->sg", weights, shares)
    rates = (weights[:, None, None] * shares / totals).reshape(n_samples, -1).T
    centres = -np.repeat(np.eye(n_rates), n_groups, axis=0)
    constraints = np.hstack([rates, centres])
    result = linprog(
        np.concatenate([weights * (1 - 2 * scores), np.zeros(n_rates)]),
        A_ub=np.vstack([constraints, -constraints]),
        b_ub=np.full(2 * len(rates), tolerance / 2),
        bounds=(0, 1),
        method="highs",
    )
    if not result.success:
        raise RuntimeError(f"LinearPost could not solve its linear program: {result.message}")
    above, below = np.split(result.ineqlin.marginals, 2)
    return result.x[:n_samples], (below - above).reshape(n_rates, n_groups) / totals
