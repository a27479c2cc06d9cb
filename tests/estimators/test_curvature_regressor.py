"""Curvature from a few gradients, as scikit-learn users meet it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import skmeta
from skmeta import CurvatureRegressor, Population, Task, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.gradients import FisherSamples
from skmeta.networks import Architecture
from skmeta.population import to_rows
from skmeta.zoo import MLPSearchSpace

FAST = {"n_gradients": 16, "max_epochs": 8, "hidden_channels": 8, "random_state": 0}
LEARNED = ["sample-weights", "gradmetanet", "gradmetanet++"]
METHODS = [*LEARNED, "standard", "shrunk", "kfac", "ekfac"]

pytestmark = pytest.mark.filterwarnings("ignore:CurvatureRegressor learns from fewer:UserWarning")


@pytest.fixture(scope="module")
def tasks():
    return split_tasks(make_biased_classification(4000, random_state=0), "group")


@pytest.fixture(scope="module")
def zoo(tasks):
    space = MLPSearchSpace(hidden_widths=(8, 12, 16))
    return make_zoo(
        tasks[0], 40, search_space=space, epochs=4, n_checkpoints=1, progress=False, random_state=0
    )


@pytest.fixture(scope="module")
def fitted(zoo, tasks):
    return CurvatureRegressor(**FAST).fit(zoo[:30], task=tasks[1])


def numbers(population):
    return np.concatenate([t.flatten() for r in population.records() for t in r.tensors.values()])


def test_it_is_closer_than_the_mean_and_than_zeros(fitted, zoo, tasks):
    scores = {
        method: CurvatureRegressor(method, **FAST)
        .fit(zoo[:30], task=tasks[1])
        .score(zoo[30:], task=tasks[2])
        for method in METHODS
    }
    assert scores["sample-weights"] == fitted.score(zoo[30:], task=tasks[2])
    for method in LEARNED:
        assert scores[method] > scores["standard"] and scores[method] > -1


def test_predictions_have_the_shapes_of_the_networks(fitted, zoo, tasks):
    found = fitted.predict(zoo[30:], task=tasks[2])
    assert isinstance(found, Population) and len(found) == 10
    assert found.architectures == zoo[30:].architectures
    assert (numbers(found) >= 0).all() and numbers(found).max() > 0
    assert to_rows(found[:1]).shape[0] == 1


def test_the_standard_method_is_the_mean_over_the_rows(zoo, tasks):
    everything = {"n_gradients": tasks[1].n_samples, "n_target": tasks[1].n_samples}
    model = CurvatureRegressor("standard", **everything, random_state=0)
    found = model.fit(zoo[:3], task=tasks[1]).predict(zoo[:3], task=tasks[1])
    X, _, _ = tasks[1].tensors()
    for i in range(3):
        [(_, a)], [(_, b)] = found[i : i + 1].blocks, zoo[i : i + 1].blocks
        there = b.present().flat
        torch.testing.assert_close(a.weights.flat * there, FisherSamples.of(b, X).diagonal().flat)
    assert model.score(zoo[:3], task=tasks[1]) == pytest.approx(0, abs=1e-6)
    assert model.net_ is None


def test_saliency_is_what_a_weight_costs(zoo, tasks):
    model = CurvatureRegressor("standard", **FAST).fit(zoo[:30], task=tasks[1])
    curvature = numbers(model.predict(zoo[30:], task=tasks[2]))
    brain_damage = numbers(model.saliency(zoo[30:], task=tasks[2]))
    np.testing.assert_allclose(brain_damage, numbers(zoo[30:]) ** 2 * curvature / 8, rtol=1e-5)
    surgery = numbers(model.saliency(zoo[30:], task=tasks[2], kind="obs"))
    assert (surgery >= 0).all() and (surgery <= brain_damage * (1 + 1e-5)).all()
    assert 0 < surgery.sum() < 0.9 * brain_damage.sum()
    with pytest.raises(ValueError, match="'kind' parameter of CurvatureRegressor.saliency"):
        model.saliency(zoo[30:], task=tasks[2], kind="odb")


@pytest.mark.parametrize("method", METHODS)
def test_networks_do_not_depend_on_company(method, zoo, tasks):
    model = CurvatureRegressor(method, **FAST).fit(zoo[:30], task=tasks[1])
    together, alone = (model.predict(part, task=tasks[2]) for part in (zoo[30:], zoo[33:34]))
    np.testing.assert_allclose(numbers(together[3:4]), numbers(alone), rtol=1e-3, atol=1e-7)


def test_same_seed_same_numbers_whatever_the_global_state(fitted, zoo, tasks):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = clone(fitted).fit(zoo[:30], task=tasks[1])
    assert torch.equal(torch.get_rng_state(), state)
    a, b = (numbers(m.predict(zoo[30:], task=tasks[2])) for m in (fitted, again))
    assert np.array_equal(a, b)
    other = CurvatureRegressor(**{**FAST, "random_state": 1}).fit(zoo[:30], task=tasks[1])
    assert not np.array_equal(numbers(other.predict(zoo[30:], task=tasks[2])), a)


def test_networks_of_other_depths_and_kinds(fitted, tasks):
    n = tasks[1].n_features
    deep = Population.initialize(Architecture.mlp((n, 4, 4, 4, 2)), 2, random_state=0)
    values = Population.initialize(Architecture.mlp((n, 6, 1), output="values"), 2, random_state=0)
    target = Task(tasks[1].X, tasks[1].X[:, 3].astype(float))
    for networks, task in ((deep, tasks[1]), (values, target)):
        found = numbers(fitted.predict(networks, task=task))
        assert np.isfinite(found).all() and found.max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_files_and_pickles(method, zoo, tasks, tmp_path):
    model = CurvatureRegressor(method, **FAST).fit(zoo[:30], task=tasks[1])
    expected = numbers(model.predict(zoo[30:], task=tasks[2]))
    skmeta.save(model, tmp_path / "model")
    for other in (skmeta.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(numbers(other.predict(zoo[30:], task=tasks[2])), expected)
        assert other.get_params() == model.get_params()
    with pytest.raises(ValueError, match="'include_task'"):
        skmeta.save(model, tmp_path / "model", include_task=True)


def test_in_searches_with_routing(zoo, tasks):
    with config_context(enable_metadata_routing=True):
        model = CurvatureRegressor(**{**FAST, "max_epochs": 1})
        scores = cross_val_score(model, zoo, cv=2, params={"task": tasks[1]}, error_score="raise")
        assert (scores < 0).all()
        search = GridSearchCV(model, {"method": ["standard", "kfac"]}, cv=2, error_score="raise")
        assert search.fit(zoo, task=tasks[1]).best_params_ == {"method": "standard"}


def test_in_searches_without_routing(zoo, tasks):
    search = GridSearchCV(
        CurvatureRegressor("standard", **FAST), {"n_gradients": [8, 64]}, cv=2, error_score="raise"
    )
    assert search.fit(zoo, task=tasks[1]).best_params_ == {"n_gradients": 64}


def test_what_is_refused(fitted, zoo, tasks):
    for params, words in (
        ({"method": "exact"}, "'method' parameter of CurvatureRegressor"),
        ({"n_gradients": 1}, "'n_gradients' parameter of CurvatureRegressor"),
        ({"n_target": 3}, "'n_target' parameter of CurvatureRegressor"),
        ({"n_gradients": 10**6, "n_target": 10**7}, "must not exceed the number of rows"),
        ({"lr": -1}, "'lr' parameter of CurvatureRegressor"),
    ):
        with pytest.raises(ValueError, match=words):
            CurvatureRegressor(**{**FAST, **params}).fit(zoo, task=tasks[1])
    with pytest.raises(TypeError, match="CurvatureRegressor needs .*task=Task"):
        CurvatureRegressor(**FAST).fit(zoo)
    narrow = Population.initialize(Architecture.mlp((3, 4, 2)), 2, random_state=0)
    with pytest.raises(ValueError, match="3 inputs"):
        fitted.predict(narrow, task=tasks[1])
    labels = Population.initialize(
        Architecture.mlp((tasks[1].n_features, 4, 2), output="multilabel"), 2, random_state=0
    )
    with pytest.raises(ValueError, match="multilabel"):
        CurvatureRegressor(**FAST).fit(labels, task=tasks[1])
    with pytest.raises(ValueError, match="'n_layers' parameter .* was changed after fit"):
        clone(fitted).fit(zoo, task=tasks[1]).set_params(n_layers=1).predict(zoo, task=tasks[1])


def test_what_has_learned_nothing_says_so(zoo, tasks):
    model = CurvatureRegressor("gradmetanet", **{**FAST, "lr": 0.3, "max_epochs": 2})
    with pytest.warns(UserWarning, match="method='gradmetanet'.* has learned nothing: .*'lr'"):
        model.fit(zoo[:30], task=tasks[1])
