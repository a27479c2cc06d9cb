"""Masks, joint and own requirements, and the guard, through the editor."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

from skmeta import ComplianceEditor, Population, Task
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.editing import measure_edits
from skmeta.population import run_networks
from skmeta.requirements import (
    DataMinimization,
    DemographicParity,
    EqualizedOdds,
    Pruning,
    jensen_shannon,
    split_requirements,
)
from skmeta.zoo import MLPSearchSpace, make_zoo
from tests.stages import of_field

FAST = {"max_epochs": 2, "hidden_channels": 16, "n_layers": 1, "random_state": 0}


@pytest.fixture(scope="module")
def tasks():
    return split_tasks(make_biased_classification(4000, gap=0.3, random_state=0), "group")


@pytest.fixture(scope="module")
def zoo(tasks):
    space = MLPSearchSpace(hidden_widths=(8, 16), learning_rate=(5e-3, 1e-2))
    return make_zoo(tasks[0], 4, search_space=space, epochs=4, progress=False, random_state=3)


@pytest.fixture(scope="module")
def pruner(zoo, tasks):
    return ComplianceEditor(Pruning(budget=0.3), **FAST).fit(zoo, task=tasks[1])


def share_of(networks, mask):
    shares = np.empty(len(networks))
    for positions, stack in networks.blocks:
        shares[positions] = mask.measure_weights(stack)
    return shares


def test_a_budget_of_weights_is_met_and_compensation_pays(pruner, zoo, tasks):
    edited = pruner.transform(zoo)
    totals = [
        sum(a * b for a, b in zip(x.widths, x.widths[1:], strict=False)) for x in zoo.architectures
    ]
    expected = [round(0.3 * n) / n for n in totals]
    np.testing.assert_allclose(share_of(edited, Pruning()), expected, atol=1e-6)
    only = ComplianceEditor(Pruning(budget=0.3, compensate=False), **FAST).fit(zoo, task=tasks[1])
    assert only.net_ is None and only.metanet_ is None
    masked = only.transform(zoo)
    np.testing.assert_allclose(share_of(masked, Pruning()), expected, atol=1e-6)
    for after, before in zip(masked.records(), zoo.records(), strict=True):
        for new, old in zip(of_field(after, "weight"), of_field(before, "weight"), strict=True):
            assert ((new == old) | (new == 0)).all()
    divergence = {
        name: measure_edits(zoo, networks, tasks[2], None)["divergence"].mean()
        for name, networks in (("edited", edited), ("masked", masked))
    }
    assert divergence["edited"] < 0.5 * divergence["masked"]


def test_an_edit_is_not_worse_than_the_closed_form_on_the_reference_rows(pruner, zoo, tasks):
    kept, pruner.editor_ = pruner.editor_, replace(pruner.editor_, metanet=None)
    closed = pruner.transform(zoo)
    pruner.editor_ = kept
    builder = kept.builder
    X = builder.X
    weights = builder.cells.row_weights().float()

    def divergence(networks):
        return jensen_shannon(zoo.forward(X), networks.forward(X)) @ weights

    with torch.no_grad():
        assert (divergence(pruner.transform(zoo)) <= divergence(closed) + 1e-7).all()


def test_inputs_are_reported_by_name(zoo, tasks):
    editor = ComplianceEditor(DataMinimization(budget=4), **FAST).fit(zoo, task=tasks[1])
    report = editor.report(zoo, task=tasks[2], n_bootstrap=10)
    assert (report["n_kept"] == 4).all()
    edited = editor.transform(zoo)
    X = tasks[2].X.copy()
    for i, names in enumerate(report["kept"]):
        assert len(names) == 4 and set(names) <= set(tasks[2].feature_names)
        dropped = [j for j, name in enumerate(tasks[2].feature_names) if name not in names]
        noisy = X.copy()
        noisy[:, dropped] = np.random.default_rng(0).normal(size=(len(X), len(dropped)))
        one = edited[i : i + 1]
        np.testing.assert_allclose(one.predict_proba(noisy), one.predict_proba(X), atol=1e-6)


def test_lam_decides_where_there_is_no_budget(zoo, tasks):
    shares = []
    for lam in (1e-4, 0.02, 10.0):
        editor = ComplianceEditor(Pruning(compensate=False), lam=lam, **FAST)
        editor.fit(zoo, task=tasks[1])
        shares.append(share_of(editor.transform(zoo), Pruning()).mean())
        assert editor.score(zoo, task=tasks[2]) < 0
    assert shares[0] > shares[1] > shares[2]
    with pytest.raises(ValueError, match="'lam' of an edit is for requirements on predictions"):
        editor.transform(zoo, lam=0.02)
    editor.set_params(lam_range=(0.01, 0.1))
    with pytest.raises(ValueError, match="'lam_range' parameter of ComplianceEditor is for"):
        editor.fit(zoo, task=tasks[1])


def test_grid_reaches_the_budget(zoo, tasks):
    grid = {"requirement__budget": [0.9, 0.2]}
    editor = ComplianceEditor(Pruning(budget=0.5, compensate=False), **FAST)
    search = GridSearchCV(editor, grid, cv=2).fit(zoo, task=tasks[1])
    assert search.best_params_ == {"requirement__budget": 0.9}


def test_sklearn_networks_come_back_with_true_zeros(zoo, tasks):
    task = tasks[1]
    with pytest.warns(UserWarning, match="Maximum iterations"):
        network = MLPClassifier((16,), max_iter=3, random_state=0).fit(task.X, task.y)
    editor = ComplianceEditor(Pruning(budget=0.3, compensate=False), **FAST).fit(zoo, task=task)
    (edited,) = editor.transform([network])
    assert isinstance(edited, MLPClassifier)
    assert 0.2 < np.mean(edited.coefs_[0] == 0.0) < 0.95


def test_joint_requirement_meets_the_budget_and_narrows_the_gap(zoo, tasks):
    editor = ComplianceEditor([EqualizedOdds(), Pruning(budget=0.4)], lam=0.3, **FAST)
    editor.fit(zoo, task=tasks[1])
    edited = editor.transform(zoo)
    assert (np.abs(share_of(edited, Pruning()) - 0.4) < 0.01).all()
    frame = measure_edits(zoo, edited, tasks[2], "equalized_odds")
    assert frame["measure_change"].mean() < 0
    report = editor.report(zoo, task=tasks[2], n_bootstrap=10)
    assert {"measure_after", "kept_share", "status"} <= set(report)
    refined = editor.set_params(refine_steps=3).transform(zoo)
    assert (np.abs(share_of(refined, Pruning()) - 0.4) < 0.01).all()


def test_lam_by_name_weighs_two_requirements():
    lam = {"equalized_odds": 0.2, "demographic_parity": 0.05}
    plan = split_requirements(["equalized_odds", DemographicParity()], lam, "X")
    assert plan.lam == 0.2 and plan.requirement.weights == [1.0, 0.25]
    with pytest.raises(ValueError, match=r"keys \['demographic_parity', 'equalized_odds'\]"):
        split_requirements(["equalized_odds", "demographic_parity"], {"equalized_odds": 1}, "X")
    with pytest.raises(ValueError, match="may hold one mask"):
        split_requirements(["pruning", "data_minimization"], 0.1, "X")
    with pytest.raises(ValueError, match="empty list"):
        split_requirements([], 0.1, "X")


def test_own_function_and_no_groups(zoo, tasks):
    def too_many_positives(probabilities, labels, groups):
        return (probabilities[..., 1].mean(1) - 0.1).relu()

    blind = Task(tasks[1].X, tasks[1].y)
    editor = ComplianceEditor(too_many_positives, lam=0.3, **FAST).fit(zoo, task=blind)
    before, after = (run_networks(x, tasks[2]) for x in (zoo, editor.transform(zoo)))
    positives = [logits.softmax(-1)[..., 1].mean(1) for logits in (before, after)]
    assert (positives[1] <= positives[0] + 1e-3).all() and positives[1].mean() < positives[0].mean()
    assert "measure_change" in editor.report(zoo, n_bootstrap=10)


@pytest.mark.parametrize("requirement", ["demographic_parity", "equal_opportunity"])
def test_other_group_requirements(requirement, zoo, tasks):
    editor = ComplianceEditor(requirement, lam=0.3, **FAST).fit(zoo, task=tasks[1])
    frame = measure_edits(zoo, editor.transform(zoo), tasks[2], requirement)
    assert frame["measure_change"].mean() < 0


def test_guard_rolls_back_bit_by_bit(zoo, tasks):
    free = ComplianceEditor(lam=2.0, **FAST).fit(zoo, task=tasks[1])
    frame = measure_edits(zoo, free.transform(zoo), tasks[1], None)
    bound = float(frame["divergence"].median())
    guarded = free.set_params(guard={"max_divergence": bound})
    edited = guarded.transform(zoo)
    after = measure_edits(zoo, edited, tasks[1], None)
    assert (after["divergence"] <= bound).all()
    back = (frame["divergence"] > bound).to_numpy()
    assert 0 < back.sum() < len(zoo)
    status = guarded.report(zoo, n_bootstrap=10)["status"]
    assert ((status == "rolled back").to_numpy() == back).all()
    for i in np.flatnonzero(back):
        for new, old in zip(
            of_field(edited.records()[i], "weight"),
            of_field(zoo.records()[i], "weight"),
            strict=True,
        ):
            assert torch.equal(new, old)
    strict = free.set_params(guard={"max_accuracy_drop": 0.0}).transform(zoo)
    assert (measure_edits(zoo, strict, tasks[1], None)["accuracy_change"] >= 0).all()


@pytest.mark.parametrize(
    "params, error, match",
    [
        ({"guard": {"max_jsd": 1}}, ValueError, "one or both of the keys"),
        ({"guard": {"max_divergence": -1}}, ValueError, r"guard\['max_divergence'\]"),
        ({"guard": 0.1}, ValueError, "must be a dict"),
        ({"requirement": Pruning(budget=1.5)}, ValueError, "'budget' parameter of Pruning in"),
        ({"requirement": "pruning", "features": "cells"}, ValueError, "with a mask must be one"),
        ({"requirement": ["equalized_odds", 3]}, TypeError, "Got 3 instead"),
    ],
)
def test_wrong_parameters(params, error, match, zoo, tasks):
    with pytest.raises(error, match=match):
        ComplianceEditor(**{**FAST, **params}).fit(zoo, task=tasks[1])


def test_population_and_list_agree(pruner, zoo):
    edited = pruner.transform(zoo[:3])
    again = pruner.transform(list(zoo[:3]))
    assert isinstance(again, list)
    X = pruner.task_.X[:50]
    np.testing.assert_allclose(
        Population(again).predict_proba(X), edited.predict_proba(X), atol=1e-5
    )
