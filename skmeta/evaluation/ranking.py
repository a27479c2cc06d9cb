"""How well predictions order networks: :data:`kendall_tau`."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau
from sklearn.metrics import make_scorer


def _tau(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Kendall's tau-b; 0 where it is undefined, since constant predictions order nothing."""
    return float(np.nan_to_num(kendalltau(y_true, y_pred).statistic))


kendall_tau = make_scorer(_tau)
"""Kendall's rank correlation (tau-b) of targets and predictions, from -1 to 1.

A scorer, for instance ``cross_val_score(estimator, networks, y, scoring=kendall_tau)``.
Constant predictions score 0.
"""
