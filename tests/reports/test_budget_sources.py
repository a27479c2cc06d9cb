"""A classifier that teaches a network: what is measured of it is what it predicts."""

import pickle

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import EditedClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore:EditedClassifier has edited nothing:UserWarning"),
    pytest.mark.filterwarnings("ignore:The estimator of EditedClassifier is weak:UserWarning"),
]


def people(offset=0.0, n=2400):
    """Columns of two decimals, at which trees cut, of any size; their labels and groups."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).round(2)
    groups = np.where(rng.random(n) < 0.5, "a", "b")
    signal = X.sum(1) + (groups == "a") + rng.logistic(size=n)
    return X + offset, np.where(signal > 0.5, "yes", "no"), groups


SOURCES = {
    "trees": (HistGradientBoostingClassifier(max_iter=30), 0.0),
    "trees, minutes since 1970": (HistGradientBoostingClassifier(max_iter=30), 1.6e9 / 60),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), 1.6e9 / 60),
}


@pytest.mark.parametrize("name", SOURCES)
def test_reports_measure_what_is_predicted(name):
    source, offset = SOURCES[name]
    X, y, groups = people(offset)
    (X, X_new), (y, y_new), (s, s_new) = (np.split(part, 2) for part in (X, y, groups))
    model = EditedClassifier(source, method="finetune", max_gap=0.0, random_state=0)
    model.fit(X, y, sensitive_features=s)
    assert model.choice_["candidate"] == 0
    predicted = model.predict(X_new)
    [row] = model.report(X_new, y_new, sensitive_features=s_new).to_dict("records")
    assert row["accuracy_before"] == pytest.approx(np.mean(predicted == y_new), abs=1e-6)
    gap = equalized_odds_difference(y_new == "yes", predicted == "yes", sensitive_features=s_new)
    assert row["measure_before"] == pytest.approx(gap, abs=1e-6)
    rates = model.report_by_group(X_new, y_new, sensitive_features=s_new)
    for group in ("a", "b"):
        selected = np.mean(predicted[s_new == group] == "yes")
        assert rates.loc[group, ("selection_rate", "before")] == pytest.approx(selected)
    seen = model._fitted.seen.decisions[0]
    assert np.array_equal(model.classes_[seen], model.predict(X))


def test_no_edit_after_an_edit_and_a_pickle():
    X, y, groups = people()
    source = LogisticRegression()
    model = EditedClassifier(source, max_accuracy_drop=0.1, confidence=0.5, random_state=0)
    model.fit(X, y, sensitive_features=groups)
    for one in (model, pickle.loads(pickle.dumps(model))):
        one.reedit(max_gap=0.0, max_accuracy_drop=None)
        assert one.edited_estimator_ is one.source_
        report = one.report(X, y, sensitive_features=groups)
        assert report.loc[0, "status"] == "kept"
        one.report_by_group(X, y, sensitive_features=groups)
        again = pickle.loads(pickle.dumps(one))
        pd.testing.assert_frame_equal(again.report(X, y, sensitive_features=groups), report)


def test_what_decides_by_a_threshold_of_its_own_is_refused():
    X, y, groups = people(n=600)
    tuned = FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label="yes")
    with pytest.raises(ValueError, match="'estimator' .*highest predict_proba.* % of the rows"):
        EditedClassifier(tuned, random_state=0).fit(X, y, sensitive_features=groups)


def test_the_source_is_no_network_of_the_front():
    X, y, groups = people(n=600)
    model = EditedClassifier(LogisticRegression(), method="finetune", random_state=0)
    model.fit(X, y, sensitive_features=groups)
    with pytest.raises(ValueError, match="no network"):
        model._fitted.front.network(0)
    assert len(model._fitted.front.network(1)) == 1
