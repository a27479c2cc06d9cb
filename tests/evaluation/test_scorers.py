"""Scorers in searches: values, routing, pipelines, processes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmeta import ComplianceEditor
from skmeta.baselines import FineTune, GroupShift, Nothing, Swap
from skmeta.datasets import Cells
from skmeta.editing import measure_edits
from skmeta.evaluation import (
    EditScorer,
    accuracy_change_scorer,
    divergence_scorer,
    least_divergence,
    measure_scorer,
)
from skmeta.population import Population, run_networks
from skmeta.requirements import DataMinimization, EqualizedOdds, jensen_shannon
from tests.stages import of_field

ALL = {
    "neg_divergence",
    "neg_measure",
    "neg_measure_over_thresholds",
    "neg_measure_soft",
    "accuracy",
    "accuracy_change",
}


class Counting(FineTune):
    """Counts the edits."""

    n_edits = 0

    def transform(self, networks):
        Counting.n_edits += 1
        return super().transform(networks)


@pytest.fixture(scope="module")
def tuned(zoo, tasks):
    return FineTune(n_steps=10, lam=0.3, random_state=0).fit(zoo, task=tasks[1])


def test_values(tuned, zoo, tasks):
    test, cells, exact = tasks[2], Cells.of(tasks[2]), EqualizedOdds()
    X, y, _ = test.tensors()
    before, after = zoo.forward(X), tuned.transform(zoo).forward(X)
    accuracies = [(logits.argmax(-1) == y).float().mean() for logits in (after, before)]
    expected = {
        "neg_divergence": -jensen_shannon(before, after).mean(),
        "neg_measure": -exact.measure(after, cells).mean(),
        "neg_measure_over_thresholds": -exact.measure_over_thresholds(after, cells).mean(),
        "neg_measure_soft": -exact.measure_soft(after, cells).mean(),
        "accuracy": accuracies[0],
        "accuracy_change": accuracies[0] - accuracies[1],
    }
    scores = EditScorer()(tuned, zoo, task=test)
    assert scores == pytest.approx({k: float(v) for k, v in expected.items()}, abs=1e-6)
    assert min(abs(v) for v in scores.values()) > 1e-5  # nothing agrees by being zero
    for scorer in (divergence_scorer, measure_scorer, accuracy_change_scorer):
        assert scorer(tuned, zoo, None, task=test) == scores[scorer.names]
    some = ["accuracy", "neg_measure_soft"]
    assert EditScorer(some)(tuned, zoo, task=test) == {name: scores[name] for name in some}


def test_the_task_of_fit_is_the_default(tuned, zoo, tasks):
    on_reference = EditScorer()(tuned, zoo, task=tasks[1])
    assert EditScorer()(tuned, zoo) == on_reference
    assert EditScorer()(make_pipeline(FunctionTransformer(), tuned), zoo) == on_reference
    assert on_reference != EditScorer()(tuned, zoo, task=tasks[2])


def test_requirements(tuned, zoo, tasks):
    parity = EditScorer("neg_measure", requirement="demographic_parity")
    edited = tuned.transform(zoo)
    frame = measure_edits(zoo, edited, tasks[2], "demographic_parity")
    assert parity(tuned, zoo, task=tasks[2]) == pytest.approx(-frame["measure"].mean())
    nothing = Nothing().fit(zoo, task=tasks[1])
    assert set(EditScorer()(nothing, zoo)) == {"neg_divergence", "accuracy", "accuracy_change"}
    assert divergence_scorer(nothing, zoo) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"requirement None must be one of 'neg_divergence'.*'neg"):
        measure_scorer(nothing, zoo)


class Masking(Nothing):
    """Sets the weights of the first three inputs to zero."""

    requirement = DataMinimization()

    def _edit(self, population):
        blocks = []
        for positions, stack in population.blocks:
            first, *rest = stack.weights.of_field("weight")
            mask = torch.ones(first.shape[2])
            mask[:3] = 0
            weights = stack.weights.replaced(weight=(first * mask, *rest))
            blocks.append((positions, stack.with_weights(weights)))
        return population.with_blocks(blocks)


def test_requirements_on_weights_are_measured_on_weights(zoo, tasks):
    masking = Masking().fit(zoo, task=tasks[1])
    share = (tasks[1].n_features - 3) / tasks[1].n_features
    scores = EditScorer()(masking, zoo)
    assert scores["neg_measure"] == pytest.approx(-share)
    assert "neg_measure_soft" not in scores and scores["neg_divergence"] < 0
    logits = run_networks(zoo, tasks[1])
    with pytest.raises(TypeError, match="DataMinimization is measured on weights. Got logits"):
        measure_edits(logits, logits, tasks[1], "data_minimization")


def test_a_rival_that_changes_predictions_only(zoo, tasks):
    shift = GroupShift(random_state=0).fit(zoo, task=tasks[1])
    logits = shift.predict_logits(zoo, tasks[2])
    frame = measure_edits(run_networks(zoo, tasks[2]), logits, tasks[2])
    assert measure_scorer(shift, zoo, task=tasks[2]) == pytest.approx(-frame["measure"].mean())


def test_a_network_that_is_not_finite_is_not_left_out(zoo, tasks):
    records = copy.deepcopy(zoo.records())  # records are views
    for weight in of_field(records[1], "weight"):
        weight.mul_(float("nan"))
    broken = Population.from_records(records)
    assert np.isnan(divergence_scorer(Nothing().fit(zoo, task=tasks[1]), broken))


def test_errors(zoo, tuned, tasks):
    with pytest.raises(ValueError, match="Got none, and Nothing has kept none in fit. Pass task="):
        divergence_scorer(Nothing().fit(zoo), zoo)
    with pytest.raises(ValueError, match="Did you mean 'neg_divergence'"):
        EditScorer("divergence")(tuned, zoo)


@pytest.mark.parametrize("routing", [True, False])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_over_a_pipeline(zoo, tasks, routing, n_jobs):
    pipeline = make_pipeline(FunctionTransformer(), FineTune(n_steps=10, random_state=0))
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            pipeline,
            {"finetune__lam": [0.01, 1.0]},
            scoring=EditScorer(),
            refit=least_divergence(max_violation=1),
            cv=2,
            n_jobs=n_jobs,
            error_score="raise",
        )
        params = {"task": tasks[1]} if routing else {"finetune__task": tasks[1]}
        search = clone(search).fit(zoo, **params)
        assert ALL <= {c.removeprefix("mean_test_") for c in search.cv_results_}
        assert search.best_params_ == {"finetune__lam": 0.01}
        half = zoo[:3]  # the first fold
        expected = EditScorer()(search.best_estimator_, half, task=tasks[1])
        for name, value in expected.items():
            assert search.cv_results_[f"split0_test_{name}"][0] == pytest.approx(value, abs=1e-6)
        # A finished search is an editor, too.
        assert EditScorer()(pickle.loads(pickle.dumps(search)), half) == pytest.approx(expected)


def test_rows_of_their_own_to_score_on(zoo, tasks):
    with config_context(enable_metadata_routing=True):
        tables = cross_validate(
            Swap(random_state=0),
            zoo,
            cv=2,
            scoring=EditScorer(["neg_measure"]).set_score_request(task="validation"),
            params={"task": tasks[1], "validation": tasks[2]},
            return_estimator=True,
            error_score="raise",
        )
    swap = tables["estimator"][0]
    assert tables["test_neg_measure"][0] == measure_scorer(swap, zoo[:3], task=tasks[2])
    assert tables["test_neg_measure"][0] != measure_scorer(swap, zoo[:3], task=tasks[1])


def test_networks_are_edited_once_per_fold(zoo, tasks):
    Counting.n_edits = 0
    with config_context(enable_metadata_routing=True):
        editor = Counting(n_steps=2, random_state=0)
        params = {"task": tasks[1]}
        tables = cross_validate(editor, zoo, cv=3, scoring=EditScorer(), params=params)
    assert Counting.n_edits == 3
    assert {f"test_{name}" for name in ALL} <= set(tables)


def test_scorers_under_names_of_ones_own(zoo, tasks):
    scoring = {"near": divergence_scorer, "accurate": accuracy_change_scorer}
    with config_context(enable_metadata_routing=True):
        tables = cross_validate(
            FineTune(n_steps=2, random_state=0),
            zoo,
            cv=2,
            scoring=scoring,
            params={"task": tasks[1]},
        )
    assert np.isfinite(tables["test_near"]).all() and np.isfinite(tables["test_accurate"]).all()


def test_learned_editors(zoo, tasks):
    editor = ComplianceEditor(max_epochs=1, hidden_channels=8, n_layers=1, random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            make_pipeline(FunctionTransformer(), editor),
            {"complianceeditor__lam": [0.05, 0.5]},
            scoring=EditScorer().set_score_request(task="validation"),
            refit=least_divergence(max_violation=1),
            cv=2,
            error_score="raise",
        ).fit(zoo, task=tasks[1], validation=tasks[2])
    assert np.isfinite(search.cv_results_["mean_test_neg_measure"]).all()
    scores = EditScorer()(search, zoo)  # on the task of fit, which the editor keeps
    assert set(scores) == ALL
    assert scores == EditScorer()(search.best_estimator_[-1], zoo, task=tasks[1])
