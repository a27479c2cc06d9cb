"""Parameters that change after fit are obeyed or refused by name, never ignored."""

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from skmeta import ComplianceEditor, EditedClassifier, WeightSpaceRegressor
from skmeta.baselines import (
    CalibratedEqOdds,
    FineTune,
    GroupShift,
    LinearPost,
    PermutationSelection,
    Prune,
    RejectOption,
    Swap,
    ThresholdOptimizer,
)
from skmeta.datasets import Task
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.requirements import DataMinimization, EqualizedOdds, Pruning
from tests.reports.small_table import table

pytestmark = pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning")

FAST = {"max_epochs": 1, "hidden_channels": 8, "n_layers": 1, "random_state": 0}


@pytest.fixture(scope="module")
def task():
    X, y, groups = table()
    return Task(X, y, sensitive_features=groups)


@pytest.fixture(scope="module")
def networks():
    return Population.initialize(Architecture.mlp((4, 6, 2)), 6, random_state=0)


@pytest.fixture(scope="module")
def classifier():
    X, y, groups = table()
    small = MLPClassifier((4,), solver="lbfgs", max_iter=30, tol=1e-1, random_state=0)
    model = EditedClassifier(
        small,
        method="editor",
        lam=0.3,
        lam_range=(0.1, 3),
        n_networks=4,
        zoo_epochs=1,
        max_epochs=2,
        random_state=0,
    )
    return model.fit(X, y, sensitive_features=groups)


def is_edited(classifier):
    X = table()[0]
    original = classifier.estimator_.predict_proba(X)
    return not np.array_equal(classifier.predict_proba(X), original)


def test_reedit_obeys_a_guard_that_was_set_after_fit(classifier):
    try:
        assert is_edited(classifier)
        classifier.set_params(guard={"max_divergence": 0.0}).reedit()
        assert not is_edited(classifier)
        assert classifier.editor_.guard == {"max_divergence": 0.0}
        with pytest.raises(ValueError, match=r"guard\['max_divergence'\].*Got -1"):
            classifier.set_params(guard={"max_divergence": -1}).reedit()
    finally:
        classifier.set_params(guard=None).reedit()
    assert is_edited(classifier)


@pytest.mark.parametrize(
    "change",
    [
        {"requirement": "demographic_parity"},
        {"requirement": EqualizedOdds()},
        {"lam_range": (0.2, 3)},
        {"estimator__alpha": 0.5},
        {"n_networks": 5},
        {"zoo_epochs": 2},
        {"max_epochs": 3},
        {"random_state": 1},
    ],
    ids=str,
)
def test_reedit_refuses_by_name_what_needs_another_fit(classifier, change):
    before = {name: classifier.get_params()[name] for name in change}
    (name,) = change
    try:
        with pytest.raises(ValueError, match=f"'{name.split('__')[0]}' parameter of EditedC.*reed"):
            classifier.set_params(**change).reedit()
    finally:
        classifier.set_params(**before).reedit()


def test_an_editor_refuses_by_name_what_needs_another_fit(task, networks):
    editor = ComplianceEditor(EqualizedOdds(), **FAST).fit(networks, task=task)
    for change in (
        {"requirement__temperature": 1.0},
        {"requirement": "demographic_parity"},
        {"features": "cells"},
        {"lam_range": (0.01, 1.0)},
        {"n_layers": 2},
    ):
        before = {name: editor.get_params()[name] for name in change}
        name = next(iter(change)).split("__")[0]
        for method in (editor.transform, editor.score, editor.report, editor.card):
            with pytest.raises(ValueError, match=f"'{name}' parameter.* Set them back"):
                editor.set_params(**change)
                method(networks)
        editor.set_params(**before).transform(networks[:1])


def test_an_editor_takes_a_new_mask_that_differs_in_budget_only(task, networks):
    editor = ComplianceEditor(Pruning(budget=0.5), **FAST).fit(networks, task=task)
    shares = []
    for mask in (Pruning(budget=0.5), Pruning(budget=0.25)):
        shares.append(editor.set_params(requirement=mask).report(networks)["kept_share"].max())
    assert shares[1] < 0.3 < shares[0]
    with pytest.raises(ValueError, match="'requirement' parameter of ComplianceEditor was changed"):
        editor.set_params(requirement=DataMinimization(budget=2)).transform(networks)


def test_score_after_another_lam_weighs_with_that_lam(task, networks):
    def fit():
        editor = ComplianceEditor(lam=0.2, lam_range=(0.1, 2), **FAST)
        return editor.fit(networks, task=task)

    editor = fit().set_params(lam=1.0)
    frame = editor.report(networks, n_bootstrap=2)
    expected = frame["divergence"] + 1.0 * frame["measure_after"]
    assert fit().set_params(lam=1.0).score(networks) == pytest.approx(-expected.mean(), rel=1e-4)


def test_the_ratios_of_several_lam_need_another_fit(task, networks):
    both = ["equalized_odds", "demographic_parity"]
    lam = {"equalized_odds": 0.1, "demographic_parity": 0.1}
    editor = ComplianceEditor(both, lam=lam, lam_range=(0.01, 1), **FAST).fit(networks, task=task)
    editor.set_params(lam={name: 0.2 for name in lam}).transform(networks[:1])
    with pytest.raises(ValueError, match="'lam' parameter .*ratios"):
        editor.set_params(lam={**lam, "demographic_parity": 0.01}).transform(networks[:1])


RIVALS = [
    (Swap(random_state=0), {"lam": 10.0}),
    (FineTune(n_steps=1, random_state=0), {"n_steps": -1}),
    (GroupShift(random_state=0), {"predicted": True}),
    (LinearPost(random_state=0), {"requirement": "demographic_parity"}),
    (RejectOption(), {"thetas": (0.1,)}),
    (CalibratedEqOdds(random_state=0), {"cost": "fnrr"}),
    (ThresholdOptimizer(random_state=0), {"scores": "harder"}),
    (Prune("magnitude"), {"criterion": "magic"}),
    (PermutationSelection(shared=False), {"shared": True}),
]


@pytest.mark.parametrize("rival, change", RIVALS, ids=lambda value: type(value).__name__)
def test_a_rival_refuses_parameters_that_changed_after_fit(rival, change, task, networks):
    rival.fit(networks, task=task).predict_logits(networks, task)
    before = {name: rival.get_params()[name] for name in change}
    rival.set_params(**change)
    try:
        with pytest.raises(ValueError, match=f"'{next(iter(change))}' parameter of .* fit again"):
            rival.predict_logits(networks, task)
    finally:
        rival.set_params(**before)


def test_a_reader_refuses_a_loss_that_changed_after_fit(networks):
    y = np.linspace(0, 1, len(networks))
    reader = WeightSpaceRegressor(metanet="statistics", **FAST).fit(networks, y)
    with pytest.raises(ValueError, match="'loss' parameter of WeightSpaceRegressor was changed"):
        reader.set_params(loss="bce").predict(networks)
