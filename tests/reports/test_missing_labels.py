"""Demographic parity where a group lacks a label: the number that fairlearn gives."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference
from sklearn.neural_network import MLPClassifier

from skmeta import ComplianceEditor, EditedClassifier, Population
from skmeta import baselines as rivals
from skmeta.datasets import Task
from skmeta.editing import measure_edits, network_intervals
from skmeta.evaluation import compare
from skmeta.networks import Architecture
from skmeta.population import run_networks
from skmeta.requirements import DemographicParity

FAST = {"max_epochs": 2, "hidden_channels": 4, "n_layers": 1, "random_state": 0}
PARITY = "demographic_parity"

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def rows(n_rare=0):
    """Nobody in group 'a' has label 1, or only a few."""
    rng = np.random.default_rng(0)
    groups = np.array(["a", "b", "c"])[np.arange(300) % 3]
    X = rng.normal(size=(300, 4)) + (groups == "b")[:, None]
    y = (X[:, 0] > 0.2).astype(int)
    y[groups == "a"] = 0
    y[np.flatnonzero(groups == "a")[:n_rare]] = 1
    return X, y, groups


@pytest.fixture(scope="module")
def task():
    X, y, groups = rows()
    return Task(X, y, sensitive_features=groups)


@pytest.fixture(scope="module")
def networks():
    return Population.initialize(Architecture.mlp((4, 8, 2)), 6, random_state=0)


def by_fairlearn(logits, task):
    groups = task.groups[task.sensitive]
    return [
        demographic_parity_difference(task.y, p, sensitive_features=groups)
        for p in logits.argmax(-1).numpy()
    ]


def test_the_measure_is_that_of_fairlearn(task, networks):
    logits = run_networks(networks, task)
    frame = measure_edits(logits, logits, task, PARITY)
    np.testing.assert_allclose(frame["measure"], by_fairlearn(logits, task), atol=1e-5)
    assert np.isfinite(frame).all(axis=None)
    intervals = network_intervals(logits, logits, task, PARITY, n_bootstrap=50, random_state=0)
    assert (intervals["measure_low"] <= frame["measure"]).all()
    assert np.isfinite(intervals).all(axis=None)


@pytest.mark.parametrize("features", ["gradients", "cells", "probes", "weights"])
def test_editors_work_with_it(features, task, networks):
    editor = ComplianceEditor(PARITY, features=features, lam=0.5, **FAST)
    editor.fit(networks, task=task)
    report = editor.report(networks, n_bootstrap=20)
    edited = run_networks(editor.transform(networks), task)
    np.testing.assert_allclose(report["measure_after"], by_fairlearn(edited, task), atol=1e-5)
    assert np.isfinite(editor.score(networks))
    assert "| 1 | 0 |" in editor.card(networks).replace("'", "")


@pytest.mark.parametrize(
    "rival",
    [
        rivals.FineTune(PARITY, n_steps=2, random_state=0),
        rivals.Swap(PARITY, random_state=0),
        rivals.GroupShift(PARITY, random_state=0),
        rivals.GroupThresholds(PARITY, random_state=0),
        rivals.RejectOption(PARITY),
        rivals.LinearPost(PARITY, random_state=0),
        rivals.LinearPost(PARITY, aware=True, random_state=0),
        rivals.AdditiveCorrection(PARITY, n_steps=2, random_state=0),
        rivals.RandomPerturbation(PARITY, n_candidates=3, random_state=0),
    ],
    ids=lambda rival: type(rival).__name__,
)
def test_rivals_work_with_it(rival, task, networks):
    rival.fit(networks, task=task)
    result = compare({"rival": rival}, networks, task, PARITY, n_bootstrap=5)
    expected = np.mean(by_fairlearn(rival.predict_logits(networks, task), task))
    assert result.loc["rival", "measure"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("n_rare", [0, 2])
def test_a_table_whose_group_lacks_a_label_can_be_edited(n_rare):
    X, y, groups = rows(n_rare)
    small = MLPClassifier((4,), solver="lbfgs", max_iter=30, tol=1e-1, random_state=0)
    model = EditedClassifier(
        small,
        requirement=PARITY,
        method="editor",
        lam=0.5,
        n_networks=3,
        zoo_epochs=1,
        max_epochs=2,
        random_state=0,
    ).fit(X, y, sensitive_features=groups)
    report = model.report(X, y, sensitive_features=groups, n_bootstrap=5).iloc[0]
    expected = demographic_parity_difference(y, model.predict(X), sensitive_features=groups)
    assert report["measure_after"] == pytest.approx(expected, abs=1e-5)


def test_what_compares_label_by_label_names_the_cell_that_is_empty(task, networks):
    logits = run_networks(networks, task)
    for requirement in ("equalized_odds", "equal_opportunity", ["equalized_odds", PARITY]):
        editor = ComplianceEditor(requirement, **FAST)
        with pytest.raises(ValueError, match="Got none of label '1' in group 'a'.*'demographic_p"):
            editor.fit(networks, task=task)
    with pytest.raises(ValueError, match="EqualizedOdds needs .* label '1' in group 'a'"):
        measure_edits(logits, logits, task)
    without = task.subset(task.sensitive != 2)
    with pytest.raises(ValueError, match="DemographicParity needs .* every group.*none of 'c'"):
        measure_edits(networks, networks, without, DemographicParity())
