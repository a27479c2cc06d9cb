"""The classifier with a budget among the tools of scikit-learn, skorch, fairlearn and polars."""

import warnings

import numpy as np
import pandas as pd
import polars
import pytest
from fairlearn.metrics import equalized_odds_difference, plot_model_comparison
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import accuracy_score, balanced_accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import EditedClassifier
from skmeta.estimators import classifier_front
from tests.estimators.budgets import NETWORK, fit, people

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The network of EditedClassifier is weak:UserWarning"),
]


@pytest.fixture(scope="module")
def table():
    return people()


@pytest.fixture(scope="module")
def fitted(table):
    return fit(table, max_accuracy_drop=0.02)


def test_fairlearn_draws_it_beside_its_network(fitted, table):
    _, X, _, y, _, groups = table
    before = fitted.estimator_.predict(X.to_numpy())
    ax = plot_model_comparison(
        x_axis_metric=accuracy_score,
        y_axis_metric=equalized_odds_difference,
        y_true=y == "yes",
        y_preds={"edited": fitted.predict(X) == "yes", "before": before == "yes"},
        sensitive_features=groups,
    )
    [points] = ax.collections
    x, gap = points.get_offsets().T
    assert len(x) == 2 and gap[0] < 0.6 * gap[1]


class Grouped(EditedClassifier):
    """Makes groups of its own where scikit-learn's checks pass none, in rows enough for an edit."""

    def fit(self, X, y, *, sensitive_features=None):
        X, y = np.tile(X, (6, 1)), np.tile(y, 6)
        rank = pd.Series(y).groupby(y).cumcount()
        super().fit(X, y, sensitive_features=rank % 2)
        assert self.front_ is not None
        return self


@pytest.mark.filterwarnings("ignore:EditedClassifier has edited nothing:UserWarning")
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_dict_unchanged,
        estimator_checks.check_estimators_pickle,
        estimator_checks.check_fit_idempotent,
        estimator_checks.check_methods_subset_invariance,
    ],
)
def test_scikit_learn_checks_with_candidates(check):
    network = MLPClassifier((4,), max_iter=20)
    check("Grouped", Grouped(network, method="finetune", random_state=0))


@pytest.mark.parametrize("routing", [False, True])
def test_a_search_over_the_budget_makes_candidates_once_a_fold(
    table, routing, tmp_path, monkeypatch
):
    X, _, y, _, groups, _ = table
    fits = []
    taught = classifier_front.taught_edits
    monkeypatch.setattr(
        classifier_front, "taught_edits", lambda *args: fits.append(1) or taught(*args)
    )
    model = EditedClassifier(NETWORK, memory=str(tmp_path), random_state=0)
    with config_context(enable_metadata_routing=routing), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = make_scorer(balanced_accuracy_score)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), model),
            {"editedclassifier__max_accuracy_drop": [0.0, 0.02, 0.1]},
            cv=2,
            scoring=scorer,
            error_score="raise",
        )
        name = "sensitive_features" if routing else "editedclassifier__sensitive_features"
        search.fit(X, y, **{name: groups})
    assert len(fits) == 3  # two folds, and all rows
    assert search.best_estimator_[-1].choice_ is not None


def test_calibration_around_it(table):
    X, X_test, y, _, groups, _ = table
    model = CalibratedClassifierCV(EditedClassifier(NETWORK, random_state=0), cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, sensitive_features=groups.to_numpy())
    assert model.predict_proba(X_test).shape == (len(X_test), 2)


def test_frames_of_polars_and_nullable_columns(table, fitted):
    X, X_test, y, _, groups, _ = table
    expected = fitted.predict_proba(X_test)
    for frame, column in (
        (polars.from_pandas(X), polars.Series(groups.to_list())),
        (X.convert_dtypes(), groups.astype("string")),
    ):
        model = EditedClassifier(**fitted.get_params(deep=False))
        model.fit(frame, y, sensitive_features=column)
        np.testing.assert_array_equal(model.predict_proba(X_test), expected)


def test_a_row_of_weight_two_is_there_twice(table):
    X, X_test, y, _, groups, _ = table
    model = EditedClassifier(NETWORK, max_accuracy_drop=0.05, random_state=0)
    weights = np.where(np.arange(len(X)) % 2 == 0, 2.0, 1.0)
    model.fit(X, y, sensitive_features=groups, sample_weight=weights)
    n_held, n_seen = len(model._fitted.held.y), len(model._fitted.seen.y)
    assert n_held + n_seen == weights.sum()
    assert model.choice_["gap_after"] < model.choice_["gap_before"]


def test_skorch_nets(table):
    module = nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 2))
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, max_epochs=10, lr=0.1, verbose=0
    )
    model = fit(table, net, max_accuracy_drop=0.05)
    assert type(model.edited_estimator_) is NeuralNetClassifier
    assert model.choice_["gap_after"] < 0.7 * model.choice_["gap_before"]


def test_same_seed_same_choice_and_another_seed_another(table, fitted):
    again, other = fit(table, max_accuracy_drop=0.02), fit(table, random_state=1)
    pd.testing.assert_frame_equal(fitted.front_, again.front_)
    assert not fitted.front_["gap"].equals(other.front_["gap"])
