"""The scorer of a gap for ordinary classifiers, against fairlearn."""

import numpy as np
import pytest
import sklearn
from fairlearn.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta.datasets import make_biased_classification
from skmeta.evaluation import GapScorer

METRICS = {
    "equalized_odds": equalized_odds_difference,
    "demographic_parity": demographic_parity_difference,
    "equal_opportunity": equal_opportunity_difference,
}


@pytest.fixture(scope="module")
def table():
    bunch = make_biased_classification(2000, random_state=0)
    return bunch.data.drop(columns="group"), bunch.target, bunch.sensitive_features["group"]


@pytest.mark.parametrize("requirement", METRICS)
def test_it_is_fairlearns_difference_for_labels_of_any_kind(requirement, table):
    X, y, groups = table
    model = LogisticRegression().fit(X, y)
    decided = model.predict(X) == "yes"
    expected = METRICS[requirement](y == "yes", decided, sensitive_features=groups)
    score = GapScorer(requirement)(model, X, y, sensitive_features=groups)
    assert score == pytest.approx(-expected)


def test_it_goes_through_a_search_and_a_pipeline_with_routing(table):
    X, y, groups = table
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()),
            {"logisticregression__C": [1e-4, 1.0]},
            scoring={"gap": GapScorer(), "balanced": "balanced_accuracy"},
            refit="balanced",
            cv=2,
            error_score="raise",
        ).fit(X, y, sensitive_features=groups)
    gaps = search.cv_results_["mean_test_gap"]
    assert (gaps <= 0).all() and np.ptp(gaps) > 0


def test_a_constant_has_no_gap(table):
    X, y, groups = table
    model = DummyClassifier().fit(X, y)
    assert GapScorer()(model, X, y, sensitive_features=groups) == pytest.approx(0, abs=1e-9)


def test_without_groups_it_says_what_to_pass(table):
    X, y, _ = table
    with pytest.raises(ValueError, match="GapScorer needs the groups of the rows. Pass sensitive"):
        GapScorer()(LogisticRegression().fit(X, y), X, y)


@pytest.mark.parametrize("requirement", ["pruning", "equalised_odds"])
def test_other_requirements_are_refused(requirement):
    with pytest.raises(ValueError, match="'requirement' parameter of GapScorer"):
        GapScorer(requirement)
