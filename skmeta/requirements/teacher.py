"""Whom an edit learns from: :class:`FairTeacher`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.validation import check_is_fitted

from skmeta._checks import check_in_range, check_rng
from skmeta._plain import StablePickle
from skmeta.datasets import Cells, Task, stratified_folds
from skmeta.datasets.checks import check_task
from skmeta.requirements.group_fairness import GroupFairness
from skmeta.requirements.optimum import FairOptimum, solve_fair_optimum
from skmeta.requirements.resolve import resolve_requirement


class FairTeacher(StablePickle, BaseEstimator):
    """The best group-blind decisions whose rates agree between groups, with costs of classes.

    Boosted trees learn ``P(y, group | x)``; the decisions that cost least among those that
    keep the tolerance follow from it (see :func:`solve_fair_optimum`). A network that is trained
    on them gets there with its own weights, and needs neither trees nor groups then.

    Parameters
    ----------
    requirement : str or GroupFairness, default="equalized_odds"
        Which rates must agree; any number of groups and classes.
    tolerance : float, default=0.05
        Largest difference of two groups in a rate, as the trees see it.
    cost_power : float, default=0.5
        To miss a row of class k costs ``P(y = k) ** -cost_power``: at 0 decisions are made for
        accuracy, at 1 for balanced accuracy.
    temperature : float, default=0.05
        How soft decisions are near a tie, where an error costs 1 on average.
    n_folds : int, default=3
        The probabilities of the rows of ``fit`` come from trees that have not seen them. Trees
        are too sure of rows that they know: decisions made of those left twice the gap.
    max_iter : int, default=50
        Trees of each fold, per label and group.
    random_state : int, RandomState or None
        Seed of the folds.

    Attributes
    ----------
    joint_ : ndarray of shape (n_samples, n_classes, n_groups)
        ``P(y, group | x)`` of the rows of ``fit``, cross-fitted.
    models_ : list of HistGradientBoostingClassifier
        One per fold; they predict ``label * n_groups + group``.
    class_shares_ : ndarray of shape (n_classes,)
        Of the rows of ``fit``.
    optimum_ : FairOptimum
        Decisions at the parameters.

    References
    ----------
    .. [1] R. Xian, H. Zhao, "Optimal group fair classifiers from linear post-processing",
       arXiv:2405.04025, 2024.

    Examples
    --------
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.requirements import FairTeacher
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, _, test = split_tasks(bunch, "group")
    >>> teacher = FairTeacher(random_state=0).fit(train)
    >>> teacher.soft_labels().shape, teacher.predict_proba(test).shape
    ((800, 2), (600, 2))
    """

    def __init__(
        self,
        requirement: Any = "equalized_odds",
        *,
        tolerance: float = 0.05,
        cost_power: float = 0.5,
        temperature: float = 0.05,
        n_folds: int = 3,
        max_iter: int = 50,
        random_state: Any = None,
    ) -> None:
        self.requirement = requirement
        self.tolerance = tolerance
        self.cost_power = cost_power
        self.temperature = temperature
        self.n_folds = n_folds
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, task: Task, *, counts: NDArray[np.int64] | None = None) -> FairTeacher:
        """Learn label and group from the rows, and solve for the decisions.

        Parameters
        ----------
        task : Task
            Rows with labels and sensitive features.
        counts : ndarray of int of shape (n_samples,), optional
            How often each row counts; by default once.

        Returns
        -------
        FairTeacher
            Itself.
        """
        owner = "FairTeacher"
        check_task(task, owner).require_sensitive(owner)
        self._requirement = teachable(self.requirement, owner)
        self._requirement.check_cells(Cells.of(task))
        check_in_range("n_folds", self.n_folds, owner=owner, low=2, kind="int")
        check_in_range("max_iter", self.max_iter, owner=owner, low=1, kind="int")
        rng = check_rng(self.random_state)
        self._shape = task.n_classes, task.n_groups
        cells = task.cells()
        folds = stratified_folds(cells, self.n_folds, rng)
        seed = int(rng.integers(2**31))
        self.joint_, self.models_ = np.empty((task.n_samples, *self._shape)), []
        for fold in np.unique(folds):
            model = HistGradientBoostingClassifier(
                max_iter=self.max_iter, max_leaf_nodes=15, early_stopping=False, random_state=seed
            )
            rest = folds != fold
            weights = None if counts is None else counts[rest]
            self.models_.append(model.fit(task.X[rest], cells[rest], sample_weight=weights))
            self.joint_[folds == fold] = self._joint(model, task.X[folds == fold])
        self._counts = np.ones(task.n_samples, dtype=int) if counts is None else counts
        shares = np.bincount(task.y, weights=self._counts, minlength=task.n_classes)
        self.class_shares_ = shares / self._counts.sum()
        self.optimum_ = self.solve(self.tolerance, self.cost_power)
        return self

    def solve(self, tolerance: float, cost_power: float) -> FairOptimum:
        """Solve for the decisions at other parameters, with the same trees.

        Parameters
        ----------
        tolerance, cost_power : float
            As the parameters of these names.

        Returns
        -------
        FairOptimum
        """
        check_is_fitted(self, "joint_")
        check_in_range("cost_power", cost_power, owner="FairTeacher", low=0)
        costs = self.class_shares_**-cost_power
        costs /= costs @ self.class_shares_
        return solve_fair_optimum(
            np.repeat(self.joint_, self._counts, axis=0),
            self._requirement,
            tolerance=tolerance,
            costs=costs,
            temperature=self.temperature,
        )

    def soft_labels(self, optimum: FairOptimum | None = None) -> NDArray[np.float64]:
        """Give the decisions on the rows of ``fit``, by trees that have not seen them.

        Parameters
        ----------
        optimum : FairOptimum, optional
            Of :meth:`solve`; by default that at the parameters.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        check_is_fitted(self)
        return (self.optimum_ if optimum is None else optimum).predict_proba(self.joint_)

    def predict_proba(self, task: Task, optimum: FairOptimum | None = None) -> NDArray[np.float64]:
        """Give the decisions on other rows, by the mean of all folds' trees.

        Parameters
        ----------
        task : Task
            Rows; neither labels nor groups are looked at.
        optimum : FairOptimum, optional
            Of :meth:`solve`; by default that at the parameters.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        joint = self.predict_joint(task)
        return (self.optimum_ if optimum is None else optimum).predict_proba(joint)

    def predict_joint(self, task: Task) -> NDArray[np.float64]:
        """Predict label and group of other rows, by the mean of all folds' trees.

        Parameters
        ----------
        task : Task
            Rows; neither labels nor groups are looked at.

        Returns
        -------
        ndarray of shape (n_samples, n_classes, n_groups)
            ``P(y, group | x)``.
        """
        check_is_fitted(self)
        return np.mean([self._joint(model, task.X) for model in self.models_], axis=0)

    def _joint(
        self, model: HistGradientBoostingClassifier, X: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        shares = np.zeros((len(X), self._shape[0] * self._shape[1]))
        shares[:, model.classes_] = model.predict_proba(X)  # a fold may lack a small cell
        return shares.reshape(-1, *self._shape)


def teachable(requirement: Any, owner: str) -> GroupFairness:
    """Resolve a requirement whose optimum is known, or raise.

    Parameters
    ----------
    requirement : str or Requirement
        What the user passed.
    owner : str
        Who asks, for messages.

    Returns
    -------
    GroupFairness
        The same object if it is one already.
    """
    resolved = resolve_requirement(requirement, owner)
    if not isinstance(resolved, GroupFairness):
        raise ValueError(
            f"The 'requirement' parameter of {owner} must compare rates of groups: "
            "'equalized_odds', 'equal_opportunity' or 'demographic_parity'. Got "
            f"{requirement!r} instead. ComplianceEditor and FineTune take others."
        )
    return resolved
