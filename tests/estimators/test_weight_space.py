"""WeightSpaceRegressor and WeightSpaceClassifier as scikit-learn users meet them."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, PrintLog
from skorch.dataset import ValidSplit
from torch import nn

from skmeta import Population, Task, WeightSpaceClassifier, WeightSpaceRegressor
from skmeta.evaluation import kendall_tau
from skmeta.population import from_rows, to_rows

from .reading_zoo import ARCHITECTURES, reading_zoo

FAST = {"hidden_channels": 16, "n_layers": 2, "batch_size": 8, "lr": 5e-3, "random_state": 0}
STATS = {"metanet": "statistics", "max_epochs": 8, **FAST}


@pytest.fixture(scope="module")
def zoo():
    return reading_zoo()


@pytest.fixture(scope="module")
def fitted(zoo):
    return WeightSpaceRegressor(**STATS).fit(zoo[0][:60], zoo[1][:60])


@pytest.mark.parametrize("loss", ["mse", "bce", "ranking"])
def test_losses_learn_and_predict_on_the_scale_of_the_targets(zoo, loss):
    population, y, _ = zoo
    y = 0.5 + 0.4 * y
    model = WeightSpaceRegressor(loss=loss, **STATS).fit(population[:60], y[:60])
    assert kendall_tau(model, population[60:], y[60:]) > 0.8
    assert model.score(population[60:], y[60:]) > 0.7


def test_classes(zoo):
    population, _, labels = zoo
    model = WeightSpaceClassifier(**STATS).fit(population[:60], labels[:60])
    assert model.score(population[60:], labels[60:]) > 0.8
    proba = model.predict_proba(population)
    assert proba.shape == (90, 2)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert np.array_equal(model.classes_[proba.argmax(1)], model.predict(population))


def test_predictions_do_not_depend_on_company_nor_on_chunks(zoo, fitted, monkeypatch):
    population = zoo[0]
    together = fitted.predict(population)
    alone = [fitted.predict(population[[i]])[0] for i in range(0, 90, 10)]
    np.testing.assert_allclose(alone, together[::10], rtol=1e-5, atol=1e-6)
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", 4000)
    np.testing.assert_allclose(fitted.predict(population), together, rtol=1e-5, atol=1e-6)
    precise = population.to(dtype=torch.float64)
    alone = [fitted.predict(precise[[i]])[0] for i in range(3)]
    np.testing.assert_allclose(alone, fitted.predict(precise)[:3], rtol=1e-12)


def test_lists_of_modules_are_networks(zoo, fitted):
    population = zoo[0]
    expected = fitted.predict(population[:5])
    assert np.array_equal(fitted.predict(list(population[:5])), expected)
    assert np.array_equal(fitted.predict(np.asarray(population[:5])), expected)


def test_rows_are_networks(zoo):
    population, y, _ = reading_zoo(30, ARCHITECTURES[:1])
    of_networks = WeightSpaceRegressor(**STATS).fit(population, y)
    of_rows = WeightSpaceRegressor(architecture=ARCHITECTURES[0], **STATS)
    of_rows.fit(to_rows(population), y)
    expected = of_networks.predict(population)
    np.testing.assert_allclose(of_rows.predict(to_rows(population)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_rows.predict(population), expected, rtol=1e-4, atol=1e-5)
    assert of_rows.n_features_in_ == 44
    of_rows.fit(population, y)
    assert not hasattr(of_rows, "n_features_in_")


@pytest.mark.parametrize("augment", ["permute", "rescale"])
def test_augmented_networks_are_functionally_equal_and_fresh(zoo, augment, monkeypatch):
    population, y, _ = zoo
    X = np.random.default_rng(0).normal(size=(5, 4))
    seen = []

    def keep(self, random_state=None):
        seen.append(original(self, random_state))
        return seen[-1]

    method = {"permute": "permuted", "rescale": "rescaled"}[augment]
    original = getattr(Population, method)
    monkeypatch.setattr(Population, method, keep)
    WeightSpaceRegressor(augment=augment, **{**STATS, "max_epochs": 2}).fit(population, y)
    assert len(seen) == 2
    for other in seen:
        torch.testing.assert_close(other.forward(X), population.forward(X), rtol=1e-3, atol=1e-4)
    first, second = (s.records()[0].tensors["weight"][0] for s in seen)
    assert not torch.equal(first, second)


def test_augmentation_keeps_networks_and_targets_together(zoo):
    population, y, _ = zoo
    order = np.random.default_rng(0).permutation(60)
    model = WeightSpaceRegressor(augment="permute", **STATS)
    model.fit(population[order], y[order])
    assert kendall_tau(model, population[60:], y[60:]) > 0.8


def test_rescaling_teaches_invariance(zoo):
    population, y, _ = zoo
    copies = population.rescaled(1)

    def spread(augment):
        model = WeightSpaceRegressor(augment=augment, **{**STATS, "max_epochs": 30})
        model.fit(population, y)
        return np.abs(model.predict(copies) - model.predict(population)).mean()

    assert spread("rescale") < 0.8 * spread("none")


def test_same_seed_same_predictions_and_global_generators_left_alone(zoo):
    population, y, _ = zoo
    torch.manual_seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    options = {**STATS, "max_epochs": 2, "augment": "rescale"}
    first, second = (WeightSpaceRegressor(**options).fit(population, y) for _ in range(2))
    assert np.array_equal(first.predict(population), second.predict(population))
    other = WeightSpaceRegressor(**{**options, "random_state": 1}).fit(population, y)
    assert not np.array_equal(first.predict(population), other.predict(population))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("routing", [False, True])
def test_searches_split_by_run(zoo, routing):
    population, y, _ = zoo
    groups = population.metadata["run"]
    model = WeightSpaceRegressor(**{**STATS, "max_epochs": 3})
    with config_context(enable_metadata_routing=routing):
        extra = {"params": {"groups": groups}} if routing else {"groups": groups}
        scores = cross_val_score(
            model, population, y, cv=GroupKFold(3), scoring=kendall_tau, **extra
        )
        assert (scores > 0.5).all()
        search = GridSearchCV(
            model, {"hidden_channels": [4, 16]}, cv=GroupKFold(2), error_score="raise"
        ).fit(population, y, groups=groups)
        assert search.best_estimator_.predict(population[:2]).shape == (2,)


def test_a_task_is_accepted_and_ignored(zoo):
    population, y, _ = zoo
    task = Task(np.zeros((4, 4)), np.zeros(4, dtype=int))
    model = WeightSpaceRegressor(**{**STATS, "max_epochs": 1})
    with config_context(enable_metadata_routing=True):
        result = cross_validate(model, population, y, cv=2, params={"task": task})
        assert np.isfinite(result["test_score"]).all()
        pipeline = make_pipeline(FunctionTransformer(), model).fit(population, y, task=task)
    expected = model.fit(population, y).predict(population)
    assert np.array_equal(pipeline.predict(population), expected)


def test_early_stopping_on_the_training_loss(zoo):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10, threshold_mode="abs")
    before = dict(vars(stop))
    model = WeightSpaceRegressor(callbacks=[stop], **{**STATS, "max_epochs": 20})
    model.fit(zoo[0], zoo[1])
    assert len(model.net_.history) == 3
    assert vars(stop) == before


def test_early_stopping_on_networks_held_out_by_a_skorch_template(zoo):
    population, y, _ = zoo
    template = NeuralNet(
        nn.Identity,
        nn.MSELoss,
        max_epochs=30,
        lr=5e-3,
        batch_size=16,
        optimizer=torch.optim.Adam,
        train_split=ValidSplit(3),
        callbacks=[EarlyStopping(patience=3, load_best=True)],
        verbose=0,
    )
    model = WeightSpaceRegressor(metanet="statistics", net=template, augment="permute")
    model.fit(population, y)
    history = model.net_.history
    assert min(history[:, "valid_loss"]) < 0.5
    assert history[-1, "epoch"] == 30 or len(history) < 30
    valid = population[:30]  # the first fold
    targets = (y[:30] - model.offset_) / model.scale_
    outputs = (model.predict(valid) - model.offset_) / model.scale_
    best = min(history[:, "valid_loss"])
    assert np.mean((outputs - targets) ** 2) == pytest.approx(best, rel=1e-3)
    assert not hasattr(template, "module_")


@pytest.mark.parametrize(
    "params",
    [
        {"max_epochs": 8},
        {"lr": 0.1},
        {"batch_size": 8},
        {"callbacks": [PrintLog()]},
        {"verbose": 1},
    ],
    ids=lambda params: next(iter(params)),
)
def test_settings_beside_a_skorch_template_are_refused(zoo, params):
    (name,) = params
    model = WeightSpaceRegressor(net=NeuralNet(nn.Identity, nn.MSELoss), **params)
    with pytest.raises(ValueError, match=f"'{name}' .* must be left at .* there is a 'net'.*Got"):
        model.fit(zoo[0], zoo[1])


def test_pickle_and_clone(zoo, fitted):
    population = zoo[0]
    data = pickle.dumps(fitted)
    assert np.array_equal(pickle.loads(data).predict(population), fitted.predict(population))
    assert not hasattr(clone(fitted), "metanet_")


@pytest.mark.parametrize("augment", ["none", "permute"])
def test_a_pickle_does_not_hold_the_training_networks(zoo, augment):
    options = {**STATS, "augment": augment, "max_epochs": 1}
    few, many = (
        len(pickle.dumps(WeightSpaceRegressor(**options).fit(zoo[0][:n], zoo[1][:n])))
        for n in (12, 90)
    )
    assert many - few < 78 * 44 * 4 / 2


def test_a_zoo_of_thousands_is_read_in_pieces(fitted, monkeypatch):
    largest = 0
    original = type(fitted.metanet_).forward

    def watch(self, stack):
        nonlocal largest
        largest = max(largest, len(stack))
        return original(self, stack)

    monkeypatch.setattr(type(fitted.metanet_), "forward", watch)
    many = from_rows(np.ones((20_000, 44)), ARCHITECTURES[0])
    wide = replace(fitted.reader_, hidden_channels=256)
    assert len(np.unique(wide.read(many).round(4))) == 1
    assert 100 < largest < 2000


@pytest.mark.parametrize(
    "params, error, words",
    [
        ({"metanet": "statistic"}, ValueError, "'metanet' .*Did you mean 'statistics'"),
        ({"augment": "scale"}, ValueError, "'augment' .*must be one of 'none'"),
        ({"loss": "mae"}, ValueError, "'loss' .*must be one of 'mse'"),
        ({"loss": "bce"}, ValueError, "'bce' for targets between 0 and 1 only. Got .* from -0.9"),
        ({"quasi": "yes"}, ValueError, "'quasi' .*must be one of False, True"),
        ({"hidden_channels": 0}, ValueError, "'hidden_channels' .*range"),
        ({"lr": 0.0}, ValueError, "'lr' .*range"),
        ({"callbacks": 3}, TypeError, "'callbacks' .*list of skorch callbacks"),
        ({"net": nn.Linear(1, 1)}, TypeError, "'net' .*skorch.NeuralNet"),
        ({"device": "toaster"}, ValueError, "'device' .*torch device"),
        ({"architecture": (3, 4)}, TypeError, "'architecture' .*Architecture.mlp"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_parameters(zoo, params, error, words):
    with pytest.raises(error, match=words):
        WeightSpaceRegressor(**{**STATS, **params}).fit(zoo[0], zoo[1])


def test_bad_data(zoo, fitted):
    population, y, _ = zoo
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        WeightSpaceRegressor(**STATS).fit(population, y[:-1])
    with pytest.raises(ValueError, match="requires y"):
        WeightSpaceRegressor(**STATS).fit(population, None)
    blocks = [(p, s.with_params(s.params.map(lambda t: 1e25 * t))) for p, s in population.blocks]
    graph = WeightSpaceRegressor(**{**STATS, "metanet": "graph", "max_epochs": 1})
    with pytest.raises(ValueError, match="reading of network 0 .* is not finite"):
        graph.fit(population[:8], y[:8]).predict(Population.from_blocks(blocks)[:2])
    with pytest.raises(ValueError, match="was fitted on networks. Got rows"):
        fitted.predict(np.zeros((3, 44)))
    with pytest.raises(ValueError, match="must have 44 numbers"):
        WeightSpaceRegressor(architecture=ARCHITECTURES[0], **STATS).fit(np.zeros((9, 5)), y[:9])
