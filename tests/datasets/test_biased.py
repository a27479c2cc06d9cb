"""make_biased_classification: the gap that it promises is the gap that classifiers show."""

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skmeta.datasets import make_biased_classification, split_tasks


def measured_gap(model, *, drop_sensitive=False, n_samples=40_000, **arguments):
    bunch = make_biased_classification(n_samples, random_state=0, **arguments)
    train, _, test = split_tasks(bunch, "group", drop_sensitive=drop_sensitive)
    predicted = model.fit(train.X, train.y).predict(test.X)
    return equalized_odds_difference(test.y, predicted, sensitive_features=test.sensitive)


def test_the_bunch_is_that_of_the_fetchers():
    bunch = make_biased_classification(200, n_features=6, random_state=0)
    assert bunch.feature_names == ["group", "proxy_0", "proxy_1", "merit_0", "merit_1", "merit_2"]
    assert bunch.data.shape == (200, 6)
    assert set(bunch.target) == {"no", "yes"}
    assert list(bunch.sensitive_features) == ["group"]
    assert list(bunch.frame) == [*bunch.feature_names, "decision"]
    assert "0.2" in bunch.DESCR


def test_seeds_repeat():
    first, again, other = (make_biased_classification(50, random_state=i).frame for i in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)


def test_the_rates_are_those_of_the_model():
    """Against the formula of the docstring, sampled."""
    bunch = make_biased_classification(gap=0.3, n_samples=10)
    z = np.random.default_rng(0).standard_normal(1_000_000)
    for group, sign in (("A", 1), ("B", -1)):
        logit = 1.5 * z - 1 + sign * bunch.log_odds_shift / 2
        chance, positive = expit(logit), logit > 0
        sampled = [
            chance[positive].sum() / chance.sum(),
            (1 - chance[positive]).sum() / (1 - chance).sum(),
            chance.mean(),
        ]
        np.testing.assert_allclose(bunch.true_rates.loc[group], sampled, atol=2e-3)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.2, 0.9])
def test_the_true_gap_is_the_parameter(gap):
    rates = make_biased_classification(10, gap=gap).true_rates
    difference = (rates.loc["A"] - rates.loc["B"])[["tpr", "fpr"]].max()
    assert difference == pytest.approx(gap, abs=1e-9)
    assert (rates.loc["A", "base_rate"] > rates.loc["B", "base_rate"]) == (gap > 0)


def test_a_classifier_shows_the_gap():
    gaps = [measured_gap(LogisticRegression(), gap=gap) for gap in (0, 0.1, 0.2, 0.4)]
    assert gaps == sorted(gaps)
    np.testing.assert_allclose(gaps, [0, 0.1, 0.2, 0.4], atol=0.04)


def test_an_mlp_shows_the_gap_and_the_proxies_carry_part_of_it():
    mlp = MLPClassifier(16, early_stopping=True, random_state=0)
    assert measured_gap(mlp, n_samples=20_000) > 0.12
    assert 0.06 < measured_gap(LogisticRegression(), drop_sensitive=True) < 0.18
    assert measured_gap(LogisticRegression(), drop_sensitive=True, proxy_strength=1) < 0.05


def test_shares():
    bunch = make_biased_classification(20_000, group_share=0.1, random_state=0)
    assert (bunch.data["group"] == "B").mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"gap": 1.0}, ValueError),
        ({"gap": "big"}, TypeError),
        ({"n_features": 3}, ValueError),
        ({"group_share": 0}, ValueError),
        ({"proxy_strength": -1}, ValueError),
        ({"n_samples": 0}, ValueError),
    ],
)
def test_bad_parameters(arguments, error):
    (name,) = arguments
    with pytest.raises(error, match=f"The '{name}' parameter of make_biased_classification must"):
        make_biased_classification(**arguments)
