"""The best decisions that treat groups alike without seeing them: :func:`solve_fair_optimum`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from skmeta._checks import check_in_range
from skmeta.requirements.group_fairness import GroupFairness

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FairOptimum:
    """Decisions by what is probable of a row, with a charge for what sets groups apart.

    Class k of a row has the score ``costs[k] * P(y = k | x) - sum(charges * excess)``. The excess
    of a rate in a group says how much more a row counts there than in the mean of all groups.

    Attributes
    ----------
    requirement : GroupFairness
        Which rates are compared.
    temperature : float
        Of the softmax of the scores that makes decisions of them.
    costs : ndarray of shape (n_classes,)
        What it costs to miss a row of each class.
    charges : ndarray of shape (n_rates, n_groups)
        Multipliers of the constraints.
    shares : ndarray of shape (n_classes, n_groups)
        How probable each label and group is, over all rows.
    """

    requirement: GroupFairness
    temperature: float
    costs: Array
    charges: Array
    shares: Array

    def scores(self, joint: Array) -> Array:
        """Score the classes of rows; the largest score is the hard decision.

        Parameters
        ----------
        joint : ndarray of shape (n_samples, n_classes, n_groups)
            ``P(y, group | x)`` of each row.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        classes, excess = _excess(self.requirement, joint, self.shares)
        return _scores(self.costs * joint.sum(2), classes, excess, self.charges)

    def predict_proba(self, joint: Array) -> Array:
        """Say how probable each decision is.

        Parameters
        ----------
        joint : ndarray of shape (n_samples, n_classes, n_groups)
            ``P(y, group | x)`` of each row.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return softmax(self.scores(joint) / self.temperature, axis=1)


def solve_fair_optimum(
    joint: Array,
    requirement: GroupFairness,
    *,
    tolerance: float,
    costs: Array,
    temperature: float = 0.05,
) -> FairOptimum:
    r"""Find the decisions that cost least among those whose rates agree between groups.

    Decisions h maximise the worth of what they get right, softened by their entropy H,

    .. math::

        \max_h \; E\Big[\sum_k h_k(x)\, c_k\, P(y = k \mid x) + \tau H(h(x))\Big]
        \quad \text{subject to} \quad
        \Big|r_{js}(h) - \tfrac{1}{S} \sum_t r_{jt}(h)\Big| \le \tfrac{1}{2}\,\text{tolerance}

    for each rate j that the requirement compares and each group s. The rates are linear in h
    when the joint probability of label and group is known, so two groups differ by at most
    the tolerance, and h is a softmax of linear scores: the linear post-processing of [1]_ with
    class-dependent costs and a temperature. The multipliers solve the dual problem, which is
    smooth and convex; L-BFGS-B finds them.

    Parameters
    ----------
    joint : ndarray of shape (n_samples, n_classes, n_groups)
        ``P(y, group | x)`` of each row; no group is needed to apply what comes out.
    requirement : GroupFairness
        Which rates must agree.
    tolerance : float
        Largest difference of two groups in a rate, on these rows and by these probabilities.
    costs : ndarray of shape (n_classes,)
        What it costs to miss a row of each class: equal ones make for accuracy, those in inverse
        proportion to the classes' shares for balanced accuracy.
    temperature : float, default=0.05
        The weight of the entropy. Decisions are softer where the scores of two classes are nearer
        to each other than that.

    Returns
    -------
    FairOptimum

    References
    ----------
    .. [1] R. Xian, H. Zhao, "Optimal group fair classifiers from linear post-processing",
       arXiv:2405.04025, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.requirements import DemographicParity, solve_fair_optimum
    >>> chance = np.array([0.9, 0.8, 0.6, 0.3])  # of y = 1; the first two rows are of group 0
    >>> joint = np.einsum("ny,ns->nys", np.stack([1 - chance, chance], 1), np.eye(2)[[0, 0, 1, 1]])
    >>> equal = {"requirement": DemographicParity(), "costs": np.ones(2), "temperature": 1e-3}
    >>> solve_fair_optimum(joint, tolerance=1.0, **equal).predict_proba(joint)[:, 1].round(2)
    array([1., 1., 1., 0.])
    >>> solve_fair_optimum(joint, tolerance=0.0, **equal).predict_proba(joint)[:, 1].round(2)
    array([1., 1., 1., 1.])
    """
    owner = "solve_fair_optimum"
    check_in_range("tolerance", tolerance, owner=owner, low=0, high=1)
    check_in_range("temperature", temperature, owner=owner, low=0, closed="neither")
    shares = joint.mean(0)
    classes, excess = _excess(requirement, joint, shares)
    worth, (n_samples, n_rates, n_groups) = costs * joint.sum(2), excess.shape
    flat = excess.reshape(n_samples, -1)

    def dual(parts: Array) -> tuple[float, Array]:
        """Value and gradient; the parts are those of the charges above and below zero."""
        charges = (parts[0::2] - parts[1::2]).reshape(n_rates, n_groups)
        scores = _scores(worth, classes, excess, charges) / temperature
        total = logsumexp(scores, axis=1)
        decided = np.exp(scores - total[:, None])[:, np.repeat(classes, n_groups)]
        slope = np.einsum("nc,nc->c", decided, flat) / n_samples
        value = temperature * total.mean() + tolerance / 2 * parts.sum()
        return value, np.stack([-slope, slope], 1).ravel() + tolerance / 2

    start = np.zeros(2 * n_rates * n_groups)
    solved = minimize(dual, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start))
    charges = (solved.x[0::2] - solved.x[1::2]).reshape(n_rates, n_groups)
    return FairOptimum(requirement, temperature, costs, charges, shares)


def _excess(
    requirement: GroupFairness, joint: Array, shares: Array
) -> tuple[NDArray[np.int64], Array]:
    """Return the class of each rate, and how much more rows count in a group than in the mean.

    The second has shape (n_samples, n_rates, n_groups).
    """
    compared = requirement.compared_rates(joint.shape[1])
    counted = np.stack([joint[:, y].sum(1) / shares[y].sum(0) for _, y in compared], 1)
    return np.array([k for k, _ in compared]), counted - counted.mean(2, keepdims=True)


def _scores(worth: Array, classes: NDArray[np.int64], excess: Array, charges: Array) -> Array:
    scores = worth.copy()
    for rate, k in enumerate(classes):
        scores[:, k] -= excess[:, rate] @ charges[rate]
    return scores
