"""Score the gap of ordinary classifiers in searches: :class:`GapScorer`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from torch.nn.functional import one_hot

from skmeta.datasets import Cells, Task
from skmeta.requirements import GroupFairness, resolve_requirement


class GapScorer(BaseEstimator):
    """Score the gap between groups of any classifier and any labels; greater is better.

    It asks for ``sensitive_features``: with metadata routing enabled they reach it through
    ``GridSearchCV``, ``cross_validate`` and a Pipeline without a further call. A constant
    classifier has no gap: score skill beside it.

    Parameters
    ----------
    requirement : str or GroupFairness, default="equalized_odds"
        Whose exact measure is taken, of the predicted labels.

    Examples
    --------
    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from skmeta.datasets import make_biased_classification
    >>> from skmeta.evaluation import GapScorer
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> X, y = bunch.data.drop(columns="group"), bunch.target
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     scores = cross_validate(
    ...         LogisticRegression(),
    ...         X,
    ...         y,
    ...         params={"sensitive_features": bunch.sensitive_features["group"]},
    ...         scoring={"gap": GapScorer(), "balanced": "balanced_accuracy"},
    ...     )
    >>> bool((scores["test_gap"] < 0).all())
    True
    """

    # Estimator, rows and labels are no metadata.
    __metadata_request__score = {"sensitive_features": True, "estimator": UNUSED}

    def __init__(self, requirement: Any = "equalized_odds") -> None:
        # Searches turn an error of score into nan: a wrong requirement is refused here.
        _resolved(requirement)
        self.requirement = requirement

    def score(self, estimator: Any, X: Any, y: Any, *, sensitive_features: Any = None) -> float:
        """Predict rows and score the gap.

        Parameters
        ----------
        estimator : fitted classifier
            With ``predict``.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            Their groups.

        Returns
        -------
        float
            Minus the gap.
        """
        if sensitive_features is None:
            raise ValueError(
                "GapScorer needs the groups of the rows. Pass sensitive_features: with metadata "
                "routing enabled to fit or params=, else scorer(estimator, X, y, "
                "sensitive_features=groups)."
            )
        truth, decided = np.asarray(y), np.asarray(estimator.predict(X))
        classes = np.unique(np.concatenate([truth, decided]))
        codes = np.searchsorted(classes, truth)
        task = Task(np.zeros((len(codes), 1)), codes, sensitive_features=sensitive_features)
        logits = one_hot(torch.from_numpy(np.searchsorted(classes, decided)), len(classes))
        return -_resolved(self.requirement).measure(logits[None].double(), Cells.of(task)).item()

    __call__ = score


def _resolved(requirement: Any) -> GroupFairness:
    resolved = resolve_requirement(requirement, "GapScorer")
    if not isinstance(resolved, GroupFairness):
        raise ValueError(
            "The 'requirement' parameter of GapScorer must compare rates of groups: "
            "'equalized_odds', 'equal_opportunity' or 'demographic_parity'. Got "
            f"{requirement!r} instead. EditScorer scores editors of networks."
        )
    return resolved
