"""How well predictions order networks: :func:`kendall_tau`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import kendalltau


def kendall_tau(estimator: Any, networks: Any, y: Any) -> float:
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
        0 for constant predictions, which order nothing.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmeta.evaluation import kendall_tau
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 5.0]
    >>> kendall_tau(LinearRegression().fit(X, y), X, y)
    1.0
    """
    return float(np.nan_to_num(kendalltau(y, estimator.predict(networks)).statistic))
