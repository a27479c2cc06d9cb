"""The editor as scikit-learn users meet it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skmeta import ComplianceEditor, Population, Task, make_zoo
from skmeta.baselines.finetune import fine_tune
from skmeta.datasets import Cells
from skmeta.editing.cost import cost_of, zoo_seconds
from skmeta.requirements import EqualizedOdds, Objective
from skmeta.zoo import MLPSearchSpace

FAST = {"max_epochs": 2, "hidden_channels": 16, "n_layers": 1, "random_state": 0}


def objective(before, after, task, lam):
    X, _, _ = task.tensors()
    lams = torch.full((len(before),), lam)
    exact = Objective(EqualizedOdds()).exact
    return exact(before.forward(X), after.forward(X), Cells.of(task), lams)


def test_edits_improve_the_objective_on_new_rows(editor, zoo, tasks):
    for lam in (0.1, 0.3):
        before = objective(zoo, zoo, tasks[2], lam)
        after = objective(zoo, editor.transform(zoo, lam=lam), tasks[2], lam)
        assert after.mean() < 0.8 * before.mean()


def test_score_is_minus_the_mean_objective(editor, zoo, tasks):
    expected = -objective(zoo, editor.transform(zoo), tasks[2], editor.lam).mean()
    assert editor.score(zoo, task=tasks[2]) == pytest.approx(float(expected), rel=1e-5)


def test_edits_do_not_depend_on_company(editor, zoo):
    together = editor.transform(zoo).records()[3]
    alone = editor.transform(zoo[3:4]).records()[0]
    before = zoo.records()[3]
    for a, b, old in zip(
        together.tensors["weight"], alone.tensors["weight"], before.tensors["weight"], strict=True
    ):
        assert (a - old).abs().max() > 1e-4
        torch.testing.assert_close(a - old, b - old, rtol=1e-3, atol=2e-6)


def test_mixed_kinds_in_one_list(editor, tasks):
    train, _, test = tasks
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(train.n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)
    )
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(train.n_features, 8), nn.Tanh(), nn.Linear(8, 2)),
        criterion=nn.CrossEntropyLoss,
        max_epochs=1,
        verbose=0,
        train_split=None,
    ).fit(train.X, train.y)
    model = MLPClassifier((8,), max_iter=200, random_state=0, tol=1e-2).fit(train.X, train.y)
    edited = editor.transform([module, net, model], lam=0.3)
    assert [type(e) for e in edited] == [nn.Sequential, NeuralNetClassifier, MLPClassifier]
    assert np.abs(edited[1].predict_proba(test.X) - net.predict_proba(test.X)).max() > 1e-3


def test_float64_populations(editor, zoo):
    wide = editor.transform(zoo[:2].to(dtype=torch.float64))
    narrow = editor.transform(zoo[:2])
    for a, b in zip(wide.records(), narrow.records(), strict=True):
        assert all(map(torch.equal, a.tensors["weight"], b.tensors["weight"]))


def test_measuring_on_other_tasks(editor, zoo, tasks):
    test = tasks[2]
    with pytest.raises(ValueError, match="sensitive"):
        editor.report(zoo, task=Task(test.X, test.y))
    flipped = Task(test.X, np.array(["b", "a"])[test.y], sensitive_features=test.sensitive)
    with pytest.raises(ValueError, match="with the labels that it was fitted on"):
        editor.score(zoo, task=flipped)


def test_an_edit_that_is_not_finite_is_refused(editor, zoo):
    records = zoo[:2].records()
    for weight in records[1].tensors["weight"]:
        weight.mul_(1e30)
    with pytest.raises(ValueError, match="edit of network 1 is not finite"):
        editor.transform(Population.from_records(records))


def test_callbacks_are_not_changed(zoo, tasks):
    callback = Counter()
    ComplianceEditor(callbacks=[callback], **FAST).fit(zoo, task=tasks[1])
    assert not vars(callback)


def test_same_seed_same_editor_and_the_global_generators_are_left_alone(zoo, tasks):
    torch.manual_seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    scores = [ComplianceEditor(**FAST).fit(zoo, task=tasks[1]).score(zoo) for _ in range(2)]
    assert scores[0] == scores[1]
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_a_plain_mlp_classifier_comes_back_as_one(editor, tasks):
    train, _, test = tasks
    labels = np.array(["no", "yes"])[train.y]
    named = Task(
        tasks[1].X, np.array(["no", "yes"])[tasks[1].y], sensitive_features=tasks[1].sensitive
    )
    model = MLPClassifier((8,), max_iter=200, random_state=0, tol=1e-2).fit(train.X, labels)
    before = model.predict_proba(test.X)
    space = MLPSearchSpace(n_hidden_layers=(1,), hidden_widths=(8,))
    zoo = make_zoo(train, 3, search_space=space, epochs=1, n_checkpoints=1, progress=False)
    fitted = ComplianceEditor(**FAST).fit(zoo, task=named)
    (edited,) = fitted.transform([model])
    assert isinstance(edited, MLPClassifier)
    assert set(edited.predict(test.X)) <= {"no", "yes"}
    assert np.array_equal(model.predict_proba(test.X), before)
    assert np.abs(edited.predict_proba(test.X) - before).max() > 1e-3


@pytest.mark.parametrize("features", ["weights", "probes", "cells", "gradients"])
@pytest.mark.parametrize("metanet", ["neuron", "graph"])
def test_every_metanet_with_every_feature(metanet, features, zoo, tasks):
    fitted = ComplianceEditor(metanet=metanet, features=features, **FAST).fit(zoo, task=tasks[1])
    assert np.isfinite(fitted.score(zoo[:3], task=tasks[2]))
    assert len(fitted.net_.history) == 2


def test_refinement_continues_from_the_edit(zoo, tasks, editor):
    plain = objective(zoo, editor.transform(zoo), tasks[1], 0.1).mean()
    refined = clone(editor).set_params(refine_steps=15).fit(zoo[:10], task=tasks[1])
    assert objective(zoo, refined.transform(zoo), tasks[1], 0.1).mean() < plain


def test_fine_tuning_keeps_normalisation_statistics(zoo, tasks):
    tuned = fine_tune(zoo, tasks[1], Objective(EqualizedOdds()), lam=0.1, n_steps=2, random_state=0)
    for old, new in zip(zoo.records(), tuned.records(), strict=True):
        for a, b in zip(old.tensors["mean"], new.tensors["mean"], strict=True):
            assert torch.equal(a, b)


def test_report(editor, zoo, tasks):
    frame = editor.report(zoo, task=tasks[2], lam=0.3, n_bootstrap=200)
    assert len(frame) == len(zoo)
    assert frame["measure_change"].mean() < 0
    assert (frame["measure_change_low"] <= frame["measure_change_high"]).all()
    assert set(frame["status"]) <= {"reduced", "raised", "unclear"}
    assert "reduced" in set(frame["status"])


def test_the_cost_of_a_run_counts_once(editor, zoo):
    runs = zoo[:10].metadata.drop_duplicates("run")
    assert editor.cost_["zoo_seconds"] == pytest.approx(runs["seconds"].sum())
    assert zoo_seconds(Population.concatenate([zoo, zoo])) == zoo_seconds(zoo)
    assert np.isnan(zoo_seconds(Population(list(zoo[:2]))))


def test_break_even():
    cost = cost_of(100.0, 20.0, 0.01, 0.04)
    assert cost["break_even"] == pytest.approx(4000)
    assert cost_of(100.0, 20.0, 0.04, 0.01)["break_even"] == np.inf


def test_pickle(editor, zoo, tasks):
    copy = pickle.loads(pickle.dumps(editor))
    assert copy.score(zoo, task=tasks[2]) == editor.score(zoo, task=tasks[2])


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("plain_list", [False, True])
def test_scikit_learn_tools(zoo, tasks, routing, plain_list):
    networks = list(zoo) if plain_list else zoo
    with config_context(enable_metadata_routing=routing):
        params = {"params": {"task": tasks[1]}}
        scores = cross_val_score(
            ComplianceEditor(**FAST), networks, cv=KFold(2), error_score="raise", **params
        )
        assert scores.shape == (2,)
        assert np.isfinite(scores).all()
        search = GridSearchCV(
            ComplianceEditor(**FAST), {"lam": [0.05, 0.2]}, cv=2, n_jobs=2, error_score="raise"
        ).fit(networks, task=tasks[1])
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.best_estimator_.transform(networks[:1]) is not None
        first, second = train_test_split(networks, test_size=4, random_state=0)
        assert (len(first), len(second)) == (8, 4)


def test_pipeline(zoo, tasks):
    pipeline = make_pipeline(FunctionTransformer(), ComplianceEditor(**FAST))
    pipeline.fit(zoo, complianceeditor__task=tasks[1])
    assert isinstance(pipeline.transform(zoo), Population)
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(FunctionTransformer(), ComplianceEditor(**FAST))
        pipeline.fit(zoo, task=tasks[1])
        assert np.isfinite(pipeline.score(zoo, task=tasks[1]))


def test_set_output_leaves_networks_alone(editor, zoo):
    copy = pickle.loads(pickle.dumps(editor))
    with config_context(transform_output="pandas"):
        assert isinstance(copy.transform(zoo), Population)


class Counter(Callback):
    def on_train_begin(self, net, **kwargs):
        net.counted_ = 0

    def on_batch_end(self, net, **kwargs):
        net.counted_ += 1


def test_skorch_template(zoo, tasks):
    template = NeuralNet(
        nn.Identity,
        nn.MSELoss,
        max_epochs=3,
        lr=1e-3,
        batch_size=4,
        optimizer=torch.optim.Adam,
        train_split=None,
        callbacks=[Counter()],
        verbose=0,
    )
    fitted = ComplianceEditor(net=template, random_state=0).fit(zoo, task=tasks[1])
    assert fitted.net_.counted_ == 9
    assert not hasattr(template, "module_")


def test_own_trunk_class(zoo, tasks):
    from skmeta.metanets import Encoded, NeuronTrunk

    class Blind(NeuronTrunk):
        """Sees nothing."""

        def encode(self, graph, given):
            encoded = super().encode(graph, given)
            units = [(0 * w, 0 * b) for w, b in zip(*graph.stack.params[:2], strict=True)]
            return Encoded(0 * encoded.neurons, 0 * encoded.context, units=units)

    fitted = ComplianceEditor(metanet=Blind, features="weights", **FAST).fit(zoo, task=tasks[1])
    edited = fitted.transform(zoo)
    # What is left of the edit's form is a multiple of the weights, and no edit of the biases.
    for old, new in zip(zoo.records(), edited.records(), strict=True):
        assert all(map(torch.equal, old.tensors["bias"], new.tensors["bias"]))
        for before, after in zip(old.tensors["weight"], new.tensors["weight"], strict=True):
            factor = (before * after).sum() / before.square().sum()
            torch.testing.assert_close(after, factor * before)
            assert factor != 1


@pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning")
def test_three_classes_and_three_groups():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    s = rng.integers(3, size=600)
    y = np.digitize(X[:, 0] + 0.7 * s, [0.2, 1.2])
    task = Task(X, y, sensitive_features=s)
    zoo = make_zoo(task, 6, epochs=4, n_checkpoints=1, progress=False, random_state=0)
    fitted = ComplianceEditor(lam=0.3, **{**FAST, "max_epochs": 40}).fit(zoo, task=task)
    before = objective(zoo, zoo, task, 0.3).mean()
    assert objective(zoo, fitted.transform(zoo), task, 0.3).mean() < before
