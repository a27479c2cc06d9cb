"""What an EditedClassifier refuses, before anything is trained."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from skmeta import EditedClassifier
from skmeta.requirements import EqualizedOdds

SMALL = MLPClassifier((8,), solver="lbfgs", max_iter=50)
FAST = {"method": "editor", "lam": 0.1, "n_networks": 2, "zoo_epochs": 1, "max_epochs": 1}


def rows(n=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), np.arange(n) % 2, np.arange(n) // 2 % 2


BAD_ESTIMATORS = {
    "no probabilities": (LinearSVC(), "Got LinearSVC, .*and which has no predict_proba"),
    "regressor": (MLPRegressor(), "Got MLPRegressor, which is no classifier"),
    "class": (MLPClassifier, "which is no classifier"),
    "module": (nn.Linear(3, 2), "Got Linear, which is no classifier"),
}


@pytest.mark.parametrize("name", BAD_ESTIMATORS)
def test_estimators_that_cannot_be_edited_are_refused_before_training(name):
    estimator, message = BAD_ESTIMATORS[name]
    X, y, groups = rows()
    with pytest.raises(TypeError, match=f"'estimator' parameter of EditedClassifier.*{message}"):
        EditedClassifier(estimator).fit(X, y, sensitive_features=groups)


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), SMALL)], ids=["linear", "p"]
)
def test_an_editor_needs_a_network(estimator):
    X, y, groups = rows()
    with pytest.raises(TypeError, match="'estimator' parameter .*weights a Population cannot read"):
        EditedClassifier(estimator, **FAST).fit(X, y, sensitive_features=groups)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_networks": 0}, "'n_networks' parameter of EditedClassifier"),
        ({"zoo_epochs": 0}, "'zoo_epochs' parameter of EditedClassifier"),
        ({"max_epochs": 0}, "'max_epochs' parameter of EditedClassifier"),
        ({"lam": -1}, "'lam' parameter of EditedClassifier"),
        ({"lam_range": (0.3, 0.5)}, "must lie in 'lam_range'"),
        ({"requirement": "equalised_odds"}, "Did you mean 'equalized_odds'"),
    ],
)
def test_bad_parameters(params, message):
    X, y, groups = rows()
    with pytest.raises(ValueError, match=message):
        EditedClassifier(SMALL, **{**FAST, **params}).fit(X, y, sensitive_features=groups)


def test_bad_rows():
    X, y, groups = rows()
    rare = np.where((np.arange(40) < 8) & (y == 1), "c", groups.astype(str))
    for labels, came, message in (
        (np.zeros(40, int), groups, "at least two classes. Got 1 class"),
        (y, np.zeros(40), "at least two groups"),
        (y, rare, "Got 0 of label .*0.* in group 'c'"),
        (y, groups[:-1], "one value for each of the 40 rows"),
    ):
        with pytest.raises(ValueError, match=message):
            EditedClassifier(SMALL, **FAST).fit(X, labels, sensitive_features=came)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"max_accuracy_drop": 0.1, "max_gap": 0.1}, "At most one of 'max_accuracy_drop', 'max_g"),
        ({"max_accuracy_drop": 0.1, "lam": 0.1}, "Got max_accuracy_drop=0.1, lam=0.1. Set the"),
        ({"max_accuracy_drop": 2.0}, "'max_accuracy_drop' parameter of EditedClassifier"),
        ({"max_gap": -0.1}, "'max_gap' parameter of EditedClassifier"),
        ({"confidence": 1.0}, "'confidence' parameter of EditedClassifier"),
        ({"confidence": 0.2}, "'confidence' parameter of EditedClassifier"),
        ({"max_recall_drop": 1.5}, "'max_recall_drop' parameter of EditedClassifier"),
        ({"method": "tune"}, "'method' parameter of EditedClassifier"),
        ({"scoring": "acuracy"}, "Did you mean 'accuracy'"),
        ({"guard": {"max_divergence": 0.1}}, "'guard' parameter .* is for method='editor'"),
        ({"lam_range": (0.1, 0.2)}, "'lam_range' parameter .* is for method='editor'"),
        ({"requirement": "pruning", "max_gap": 0.1}, "needs method='editor' and 'lam'"),
        ({"requirement": "pruning", "method": "finetune"}, "needs method='editor' and 'lam'"),
    ],
)
def test_bad_parameters_of_a_budget(params, message):
    with pytest.raises(ValueError, match=message):
        X, y, groups = rows()
        EditedClassifier(SMALL, **params).fit(X, y, sensitive_features=groups)


def test_scorers_of_anything_but_labels_are_refused_before_training():
    X, y, groups = rows()
    names = np.where(y == 1, "yes", "no")
    for scoring, error, message in (
        ("roc_auc", ValueError, "'scoring' parameter .*score predicted labels.*Got 'roc_auc'"),
        ("f1", ValueError, "'scoring' parameter .*Got 'f1', which raises.*pos_label"),
        (0.5, TypeError, "'scoring' parameter .* must be the name of a scorer.*Got 0.5"),
        ({"f1": "f1"}, TypeError, "'scoring' parameter .* must be the name of a scorer"),
        ({"gap": make_scorer(accuracy_score)}, ValueError, "Got 'gap'. Call it 'my gap'"),
        ({"accuracy": make_scorer(accuracy_score)}, ValueError, "name of a column of front_"),
        ({"recall_yes": make_scorer(accuracy_score)}, ValueError, "name of a column of front_"),
        ((), TypeError, "'scoring' parameter .* must be the name of a scorer"),
    ):
        with pytest.raises(error, match=message):
            EditedClassifier(Untrained(), scoring=scoring).fit(X, names, sensitive_features=groups)


def test_other_thresholds_are_refused_where_labels_are_chosen_by():
    X, y, groups = rows()
    requirement = EqualizedOdds(thresholds=(0.2, 0.4))
    for given in (requirement, [requirement, "demographic_parity"]):
        with pytest.raises(
            ValueError, match="'requirement' .*thresholds=.0.2, 0.4.. Take Complian"
        ):
            EditedClassifier(Untrained(), requirement=given).fit(X, y, sensitive_features=groups)


class Untrained(MLPClassifier):
    def fit(self, X, y):
        raise AssertionError("trained")


def test_a_label_of_two_rows_is_named_where_labels_are_not_compared():
    X, y, groups = rows()
    y = np.where(np.arange(40) < 2, 2, y)
    with pytest.raises(ValueError, match="at least 3 rows of every label. Got 2 of label .*2"):
        EditedClassifier(SMALL, requirement="demographic_parity").fit(
            X, y, sensitive_features=groups
        )
