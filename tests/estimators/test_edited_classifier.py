"""The tabular classifier as scikit-learn users meet it."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import equalized_odds_difference
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmeta import EditedClassifier, Population, Task
from skmeta.datasets import fetch_adult, make_biased_classification
from skmeta.requirements import DataMinimization, Pruning

SMALL = MLPClassifier((8,), solver="lbfgs", max_iter=50)
FAST = {
    "method": "editor",
    "lam": 0.1,
    "n_networks": 2,
    "zoo_epochs": 1,
    "max_epochs": 1,
    "random_state": 0,
}
LEARNING = {
    "method": "editor",
    "lam": 0.1,
    "n_networks": 8,
    "zoo_epochs": 3,
    "max_epochs": 10,
    "random_state": 0,
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Small groups are fast, and what these tests hold does not depend on their luck.
    pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning"),
    pytest.mark.filterwarnings("ignore:The network of EditedClassifier is weak:UserWarning"),
]


@pytest.fixture(scope="module")
def table():
    bunch = make_biased_classification(3000, random_state=0)
    X = bunch.data.drop(columns="group")
    return train_test_split(X, bunch.target, bunch.sensitive_features["group"], random_state=0)


@pytest.fixture(scope="module")
def fitted(table):
    X, _, y, _, groups, _ = table
    classifier = EditedClassifier(SMALL, lam_range=(0.03, 0.5), **LEARNING)
    return classifier.fit(X, y, sensitive_features=groups)


def fit(table, estimator=SMALL, **params):
    X, _, y, _, groups, _ = table
    return EditedClassifier(estimator, **{**FAST, **params}).fit(X, y, sensitive_features=groups)


# The checks know no groups: fit warns, and they look at the classifier without an edit.
@pytest.mark.filterwarnings("ignore:EditedClassifier has edited nothing:UserWarning")
@estimator_checks.parametrize_with_checks([EditedClassifier(SMALL, **FAST)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


class Grouped(EditedClassifier):
    """Makes groups of its own where scikit-learn's checks pass none, in rows enough for an edit."""

    def fit(self, X, y, *, sensitive_features=None):
        X, y = np.tile(X, (6, 1)), np.tile(y, 6)
        rank = pd.Series(y).groupby(y).cumcount()
        super().fit(X, y, sensitive_features=rank % 2)
        assert self.edited_estimator_ is not self.estimator_
        return self


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_dict_unchanged,
        estimator_checks.check_estimators_pickle,
        estimator_checks.check_fit_idempotent,
        estimator_checks.check_methods_subset_invariance,
        estimator_checks.check_readonly_memmap_input,
    ],
)
def test_scikit_learn_checks_with_an_edit(check):
    check("Grouped", Grouped(SMALL, **FAST))


def test_the_edit_reduces_the_objective_on_new_rows(fitted, table):
    _, X, _, y, _, groups = table
    lam = 0.3
    fitted = pickle.loads(pickle.dumps(fitted)).set_params(lam=lam).reedit()
    report = fitted.report(X, y, sensitive_features=groups).iloc[0]
    after = report["divergence"] + lam * report["measure_after"]
    assert after < 0.8 * lam * report["measure_before"]
    # The report speaks of what predict does.
    gap = gap_of("yes")(y, fitted.predict(X), sensitive_features=groups)
    assert gap == pytest.approx(report["measure_after"], abs=1e-5)
    assert fitted.score(X, y) == pytest.approx(report["accuracy_after"], abs=1e-6)


def test_predictions_are_those_of_the_edited_network(fitted, table):
    X = table[1]
    probabilities = fitted.predict_proba(X)
    assert np.array_equal(probabilities, fitted.edited_estimator_.predict_proba(X.to_numpy()))
    assert np.array_equal(fitted.predict(X), fitted.edited_estimator_.predict(X.to_numpy()))
    original = fitted.estimator_.predict_proba(X.to_numpy())
    assert np.abs(probabilities - original).max() > 1e-3
    assert isinstance(fitted.edited_estimator_, MLPClassifier)
    assert list(fitted.feature_names_in_) == list(X.columns)
    assert fitted.classes_.tolist() == ["no", "yes"]


def test_the_reference_rows_are_new_to_the_network_and_stratified(fitted, table):
    X, _, y, _, groups, _ = table
    reference = fitted.editor_.task_
    assert reference.feature_names == list(X.columns)
    everything = Task(X, y, sensitive_features=groups)
    shares = np.bincount(reference.cells()) / np.bincount(everything.cells())
    np.testing.assert_allclose(shares, 1 / 3, atol=0.01)
    # The network was trained on the others: the same fit on them gives the same network.
    held_back = {row.tobytes() for row in reference.X}
    rest = np.array([row.tobytes() not in held_back for row in everything.X])
    assert rest.mean() == pytest.approx(2 / 3, abs=0.01)
    again = MLPClassifier(**fitted.estimator_.get_params()).fit(X.to_numpy()[rest], y[rest])
    assert all(map(np.array_equal, again.coefs_, fitted.estimator_.coefs_))


def test_reedit_moves_along_the_front(fitted, table):
    X = table[1]
    fitted = pickle.loads(pickle.dumps(fitted))
    shifts = []
    for lam in (0.03, 0.5):
        before = fitted.predict_proba(X)
        fitted.set_params(lam=lam)
        assert np.array_equal(fitted.predict_proba(X), before)
        fitted.reedit()
        (expected,) = fitted.editor_.transform([fitted.estimator_], lam=lam)
        assert np.array_equal(fitted.predict_proba(X), expected.predict_proba(X.to_numpy()))
        original = fitted.estimator_.predict_proba(X.to_numpy())
        shifts.append(np.abs(fitted.predict_proba(X) - original).mean())
    assert shifts[0] < shifts[1]
    with pytest.raises(ValueError, match=r"\[0.03, 0.5\].*Got 2"):
        fitted.set_params(lam=2.0).reedit()
    assert fitted.lam_ == 0.5


def test_requirements_at_once_and_a_guard(table):
    X, _, y, _, groups, _ = table
    requirements = ["equalized_odds", Pruning(budget=0.5)]
    classifier = fit(table, requirement=requirements, lam={"equalized_odds": 0.3})
    pruned, original = (
        np.concatenate([w.ravel() for w in e.coefs_])
        for e in (classifier.edited_estimator_, classifier.estimator_)
    )
    # Half of the weights of two logits, which the classifier holds as their difference.
    assert 0.45 < (pruned == 0).mean() < 0.55 and (original != 0).all()
    minimal = fit(table, requirement=DataMinimization(budget=3))
    assert (np.abs(minimal.edited_estimator_.coefs_[0]).sum(1) > 0).sum() == 3

    strict = fit(table, lam=5.0, guard={"max_divergence": 1e-6})
    (status,) = strict.report(X, y, sensitive_features=groups)["status"]
    assert status == "rolled back"
    np.testing.assert_array_equal(
        strict.predict_proba(X), strict.estimator_.predict_proba(X.to_numpy())
    )


def test_reedit_needs_a_range(table):
    classifier = fit(table).set_params(lam=0.2)
    with pytest.raises(ValueError, match="lam_range"):
        classifier.reedit()


def test_without_groups_nothing_is_edited_and_it_says_so(table):
    X, X_test, y, *_ = table
    classifier = EditedClassifier(SMALL, **FAST)
    with pytest.warns(UserWarning, match="edited nothing: EqualizedOdds compares groups"):
        classifier.fit(X, y)
    assert classifier.edited_estimator_ is classifier.estimator_
    assert classifier.editor_ is None
    # All rows train the network: nothing is held back for an editor.
    seed = classifier.estimator_.random_state
    whole = MLPClassifier((8,), solver="lbfgs", max_iter=50, random_state=seed)
    expected = whole.fit(X.to_numpy(), y).predict(X_test.to_numpy())
    assert np.array_equal(classifier.predict(X_test), expected)
    with pytest.raises(ValueError, match="reedit needs an edit"):
        classifier.reedit()
    with pytest.raises(ValueError, match="report needs an edit"):
        classifier.report(X, y)


def test_same_seed_same_classifier_and_the_global_generators_are_left_alone(table):
    torch.manual_seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = fit(table), fit(table, n_jobs=2)
    assert np.array_equal(first.predict_proba(table[1]), second.predict_proba(table[1]))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert not hasattr(SMALL, "coefs_")
    assert fit(table, MLPClassifier((4,), random_state=7)).estimator_.random_state == 7


def net(kind, n_outputs, n_inputs=9):
    module = nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Linear(8, n_outputs))
    loss = {} if n_outputs == 1 else {"criterion": nn.CrossEntropyLoss}
    return kind(module, max_epochs=2, lr=0.1, verbose=0, **loss)


@pytest.mark.parametrize(
    "estimator", [net(NeuralNetClassifier, 2), net(NeuralNetBinaryClassifier, 1)]
)
def test_skorch_nets(table, estimator):
    classifier = fit(table, estimator)
    assert type(classifier.edited_estimator_) is type(estimator)
    assert classifier.predict_proba(table[1]).shape == (len(table[1]), 2)
    assert set(classifier.predict(table[1])) <= {"no", "yes"}
    torch.manual_seed(5)
    again = fit(table, estimator)
    assert np.array_equal(classifier.predict_proba(table[1]), again.predict_proba(table[1]))


def test_sparse_rows_are_those_rows(table):
    X, X_test, y, _, groups, _ = table
    X, X_test = X.to_numpy(), X_test.to_numpy()
    dense, sparse = (
        EditedClassifier(SMALL, **FAST)
        .fit(kind(X), y, sensitive_features=groups)
        .predict_proba(kind(X_test))
        for kind in (np.asarray, csr_array)
    )
    assert np.array_equal(dense, sparse)


def test_three_float_labels_and_few_rows():
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(36, 3)), np.tile(["a", "b"], 18)
    y = np.repeat([-1.0, 0.0, 2.0], 12)
    classifier = EditedClassifier(SMALL, **FAST).fit(X, y, sensitive_features=groups)
    assert classifier.lam_ == 0.1
    assert set(classifier.predict(X)) <= {-1.0, 0.0, 2.0}


def test_a_pipeline_without_routing(table):
    X, X_test, y, _, groups, _ = table
    pipeline = make_pipeline(StandardScaler(), EditedClassifier(SMALL, **FAST))
    pipeline.fit(X, y, editedclassifier__sensitive_features=groups)
    assert pipeline[-1].editor_ is not None
    assert len(pipeline.predict(X_test)) == len(X_test)


def gap_of(positive):
    def gap(y_true, y_pred, *, sensitive_features):
        return equalized_odds_difference(
            y_true == positive, y_pred == positive, sensitive_features=sensitive_features
        )

    return gap


def scorers(positive):
    gap = make_scorer(gap_of(positive), greater_is_better=False)
    return {"gap": gap.set_score_request(sensitive_features=True), "accuracy": "accuracy"}


@pytest.fixture(scope="module")
def adult(data_home):
    bunch = fetch_adult(data_home=data_home)
    few = np.random.default_rng(0).permutation(len(bunch.data))[:3000]
    return bunch.data.iloc[few], bunch.target.iloc[few], bunch.sensitive_features["sex"].iloc[few]


def adult_pipeline(**params):
    encode = make_column_transformer(
        (
            OneHotEncoder(handle_unknown="ignore", min_frequency=30),
            make_column_selector(dtype_exclude="number"),
        ),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    )
    return make_pipeline(encode, EditedClassifier(SMALL, **{**LEARNING, **params}))


def test_a_grid_over_lam_on_adult(adult):
    X, y, sex = adult
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            adult_pipeline(),
            {"editedclassifier__lam": [0.03, 0.3]},
            scoring=scorers(">50K"),
            refit="gap",
            cv=2,
            n_jobs=2,
            error_score="raise",
        ).fit(X, y, sensitive_features=sex)
        assert search.best_estimator_[-1].editor_ is not None
        assert search.best_estimator_[-1].editor_.task_.groups.tolist() == ["Female", "Male"]
        assert np.isfinite(search.cv_results_["mean_test_gap"]).all()
        assert (search.cv_results_["mean_test_accuracy"] > 0.75).all()
        predicted = search.predict(X)
        assert set(predicted) == {"<=50K", ">50K"}


def test_cross_validation_routes_the_rows_of_each_fold(adult):
    X, y, sex = adult
    with config_context(enable_metadata_routing=True):
        results = cross_validate(
            adult_pipeline(**FAST),
            X,
            y,
            params={"sensitive_features": sex},
            scoring=scorers(">50K"),
            cv=3,
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for fold, pipeline in enumerate(results["estimator"]):
        held_out = results["indices"]["test"][fold]
        expected = -gap_of(">50K")(
            y.iloc[held_out],
            pipeline.predict(X.iloc[held_out]),
            sensitive_features=sex.iloc[held_out],
        )
        assert results["test_gap"][fold] == pytest.approx(expected)
        trained_on = results["indices"]["train"][fold]
        assert pipeline[-1].editor_.task_.n_samples == pytest.approx(len(trained_on) / 3, abs=1)


def test_the_edited_network_joins_populations(fitted):
    both = Population([fitted.estimator_, fitted.edited_estimator_])
    assert len(both.blocks) == 1
