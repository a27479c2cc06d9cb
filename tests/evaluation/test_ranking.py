"""Kendall's tau as a scorer."""

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

from skmeta.evaluation import kendall_tau


class FunctionRegressor:
    def __init__(self, predict):
        self.predict = predict


def test_kendall_tau():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = X[:, 0] + rng.normal(size=40)
    model = LinearRegression().fit(X, y)
    assert kendall_tau(model, X, y) == pytest.approx(kendalltau(y, model.predict(X)).statistic)
    scores = cross_val_score(model, X, y, scoring=kendall_tau, cv=4)
    assert scores.shape == (4,) and 0 < scores.mean() < 1
    assert kendall_tau(DummyRegressor().fit(X, y), X, y) == 0.0
    assert kendall_tau(model, X[:1], y[:1]) == 0.0


def test_what_cannot_be_ordered_is_no_order_of_zero():
    X, y = np.arange(6.0)[:, None], np.arange(6.0)
    model = LinearRegression().fit(X, y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        kendall_tau(model, X, np.where(y > 4, np.nan, y))
    with pytest.raises(ValueError, match="predictions contains NaN"):
        kendall_tau(FunctionRegressor(lambda X: np.full(len(X), np.nan)), X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kendall_tau(model, X, y[:2])
