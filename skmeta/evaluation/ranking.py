"""How well predictions order networks: :func:`kendall_tau`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import kendalltau
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_consistent_length


def kendall_tau(estimator: BaseEstimator, networks: Any, y: Any) -> float:
    """Score the order of predictions: Kendall's rank correlation (tau-b), from -1 to 1.

    It is a scorer, the ``scoring`` of ``cross_val_score`` or ``GridSearchCV``.

    Parameters
    ----------
    estimator : fitted estimator
        With ``predict``.
    networks : Population, sequence of networks, or array-like
        What it predicts from.
    y : array-like of shape (n,)
        Targets.

    Returns
    -------
    float
        0 for constant predictions and for fewer than two networks, which order nothing.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmeta.evaluation import kendall_tau
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 5.0]
    >>> kendall_tau(LinearRegression().fit(X, y), X, y)
    1.0
    """
    # Numbers that are NaN would count as an order of 0.
    y, predicted = (
        check_array(values, ensure_2d=False, dtype=None, input_name=name)
        for values, name in ((y, "y"), (estimator.predict(networks), "the predictions"))
    )
    check_consistent_length(y, predicted)
    if len(y) < 2:
        return 0.0
    return float(np.nan_to_num(kendalltau(y, predicted).statistic))
