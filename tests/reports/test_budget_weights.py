"""Rows that weigh: as often as they weigh, and no surer than they are."""

import warnings

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import EditedClassifier
from skmeta.datasets import Task, make_biased_classification
from skmeta.estimators.classifier_rows import copies
from skmeta.requirements import FairTeacher

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The network of EditedClassifier is weak:UserWarning"),
]

NETWORK = MLPClassifier((16,), early_stopping=True)


@pytest.fixture(scope="module")
def table():
    bunch = make_biased_classification(2400, gap=0.4, proxy_strength=4.0, random_state=1)
    return bunch.data.drop(columns="group").to_numpy(), bunch.target, bunch.data["group"]


def fit(table, **params):
    X, y, groups = table
    model = EditedClassifier(params.pop("estimator", NETWORK), max_accuracy_drop=0.05)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "EditedClassifier has edited nothing")
        return model.set_params(random_state=0).fit(X, y, sensitive_features=groups, **params)


def test_weights_that_are_numbers_of_rows_count_rows_in_all_parts_alike(table):
    weights = np.full(2400, 2.0)
    weights[7] = 1.0
    model = fit(table, sample_weight=weights)
    held, seen = model._fitted.held, model._fitted.seen
    assert len(held.y) + len(seen.y) == 4799 and held.evidence == 1.0
    assert len(held.y) == pytest.approx(1600, abs=1)
    ids = np.concatenate([held.ids, seen.ids])
    assert np.array_equal(np.bincount(ids), weights)


def test_weights_of_about_one_make_nothing_surer(table):
    weights = np.random.default_rng(0).uniform(0.9, 1.1, 2400)
    plain, weighted = fit(table), fit(table, sample_weight=weights)
    for skill in ("accuracy", "balanced_accuracy"):
        errors = [model.front_[f"{skill}_loss_se"].iloc[1:].mean() for model in (plain, weighted)]
        assert errors[1] == pytest.approx(errors[0], rel=0.15)
    # What the teacher's trees know of rows held out from them is no more, either.
    right = [np.mean(model._fitted.trees == model._fitted.held.y) for model in (plain, weighted)]
    assert right[1] == pytest.approx(right[0], abs=0.03)
    lot = np.random.default_rng(1).permutation(table[2])
    by_lot = fit((*table[:2], lot), sample_weight=weights)
    assert by_lot.choice_["status"] == "kept" and "could be" in by_lot.choice_["reason"]


def test_copies_are_worth_as_many_rows_as_kish_says():
    weights = np.random.default_rng(0).uniform(0.2, 3.0, 500)
    counts, evidence = copies(weights)
    assert counts.min() >= 1 and counts.sum() == pytest.approx(5000, abs=2)
    np.testing.assert_allclose(counts / 10, weights / weights.mean(), atol=0.2)
    assert counts.sum() * evidence == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert copies(np.array([3.0, 6.0, 9.0])).counts.tolist() == [1, 2, 3]


def test_a_teacher_counts_rows_and_keeps_copies_in_one_fold():
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(600, 3)), rng.integers(2, size=600), rng.integers(2, size=600)
    counts = np.where(y == 1, 4, 1)
    teacher = FairTeacher(random_state=0).fit(Task(X, y, sensitive_features=groups), counts=counts)
    share = np.average(y, weights=counts)
    assert teacher.class_shares_[1] == pytest.approx(share)
    # The labels are noise: trees that had seen copies of these rows would know them.
    assert np.corrcoef(teacher.joint_.sum(2)[:, 1], y)[0, 1] < 0.2


@pytest.mark.parametrize("scaled", [False, True], ids=["takes weights", "takes none"])
def test_what_teaches_a_network_weighs_its_rows(table, scaled):
    source = LogisticRegression()
    source = make_pipeline(StandardScaler(), source) if scaled else source
    weights = np.where(table[1] == "yes", 5.0, 1.0)
    model = fit(table, estimator=source, sample_weight=weights)
    shares = [np.mean(m.predict(table[0]) == "yes") for m in (model.source_, model.estimator_)]
    assert shares[1] == pytest.approx(shares[0], abs=0.08)
    assert shares[0] > np.mean(table[1] == "yes") + 0.1


@pytest.mark.filterwarnings("ignore:The estimator of EditedClassifier is weak:UserWarning")
def test_trees_weigh_with_routing_enabled(table):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        model = fit(
            table,
            estimator=HistGradientBoostingClassifier(max_iter=5),
            sample_weight=np.linspace(1, 2, 2400),
        )
    assert model.source_ is not None
