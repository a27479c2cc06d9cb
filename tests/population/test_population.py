"""A Population in the hands of scikit-learn, joblib and pickle."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.model_selection import train_test_split as split
from sklearn.pipeline import make_pipeline
from torch import nn

from skmeta.networks import Architecture
from skmeta.population import Population

from .cases import mixed_population

X = np.random.default_rng(0).normal(size=(9, 5))


class Doubler(TransformerMixin, BaseEstimator):
    """Networks in, networks of the same kind out."""

    def fit(self, networks, y=None):
        self.kind_ = type(networks)
        return self

    def transform(self, networks):
        return Population(networks).permuted(0)


class MeanWeight(RegressorMixin, BaseEstimator):
    """Predicts from the mean of the first weight matrix; remembers what it was given."""

    def __init__(self, power=1):
        self.power = power

    def fit(self, networks, y):
        self.kind_ = type(networks)
        self.coef_ = np.mean(y) / (1 + np.mean(self._features(networks)))
        return self

    def _features(self, networks):
        records = Population(networks).records()
        return np.array([r.tensors["weight"][0].abs().mean().item() for r in records]) ** self.power

    def predict(self, networks):
        return self.coef_ * (1 + self._features(networks))


def modules(n=12):
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(n)]


@pytest.fixture(params=["population", "list"])
def networks(request):
    return Population(modules()) if request.param == "population" else modules()


@pytest.mark.parametrize("routing", [False, True])
def test_scikit_learn_tools(networks, routing):
    y = np.arange(len(networks), dtype=float)
    with sklearn.config_context(enable_metadata_routing=routing):
        assert cross_val_score(MeanWeight(), networks, y, cv=KFold(3)).shape == (3,)
        pipeline = make_pipeline(Doubler(), MeanWeight()).fit(networks, y)
        assert pipeline.predict(networks).shape == y.shape
        train, test, y_train, _ = split(networks, y, test_size=4, random_state=0)
        assert (len(train), len(test), len(y_train)) == (8, 4, 8)
        assert type(train) is type(test) is type(networks)
        search = GridSearchCV(MeanWeight(), {"power": [1, 2]}, cv=3, n_jobs=2).fit(networks, y)
        assert search.best_estimator_.kind_ is type(networks)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_folds_hold_the_right_networks():
    population = Population(modules(), metadata=pd.DataFrame({"run": np.repeat(range(4), 3)}))
    first = [r.tensors["weight"][0] for r in population.records()]
    runs = population.metadata["run"]
    for train, test in GroupKFold(4).split(population, groups=runs):
        assert set(runs[train]).isdisjoint(runs[test])
        for part, rows in ((population[train], train), (population[test], test)):
            assert part.metadata["run"].tolist() == runs[rows].tolist()
            for record, row in zip(part.records(), rows, strict=True):
                assert torch.equal(record.tensors["weight"][0], first[row])


@pytest.mark.parametrize(
    "key",
    [
        slice(1, None, 2),
        slice(None, None, -1),
        [5, 0, 5],
        np.array([2, -1]),
        np.arange(36) % 3 == 0,
        [i % 2 == 0 for i in range(36)],
        pd.Series([1, 4]),
        [],
    ],
)
def test_indexing(key):
    population = mixed_population()
    numbers = pd.DataFrame({"number": np.arange(len(population))})
    population = Population(population, metadata=numbers)
    rows = torch.from_numpy(X).float()
    expected = np.arange(len(population))[key if not isinstance(key, pd.Series) else key.to_numpy()]
    for part in (population[key], population[key, ...]):
        assert type(part) is Population
        assert part.shape == (len(part),) == (len(expected),)
        assert part.metadata["number"].tolist() == expected.tolist()
        assert part.architectures == tuple(population.architectures[i] for i in expected)
        if len(expected):
            torch.testing.assert_close(
                part.forward(rows), population.forward(rows)[expected.copy()]
            )


def test_single_networks():
    population = mixed_population()
    for i in (0, -1, np.int64(3)):
        assert population[i].architecture == population.architectures[i]
        assert population[i, ...].architecture == population.architectures[i]
    for key in (36, -37):
        with pytest.raises(IndexError, match=f"Network {key} of a population of 36 does not exist"):
            population[key]
    with pytest.raises(IndexError, match="A Population has one axis"):
        population[0, 0]


def test_slices_follow_edits():
    population = Population(modules())
    changed = population.permuted(0)
    part = changed[[7, 2]]
    rows = torch.from_numpy(X).float()
    for network, row in zip(part, (7, 2), strict=True):
        assert torch.equal(network[0].weight, changed[row][0].weight)
        assert not torch.equal(network[0].weight, population[row][0].weight)
        torch.testing.assert_close(network(rows), population[row](rows), rtol=0, atol=1e-5)
    joined = Population.concatenate([part, population[:2]])
    assert torch.equal(joined[0][0].weight, changed[7][0].weight)
    assert torch.equal(joined[2][0].weight, population[0][0].weight)


def test_arrays():
    population = Population(modules(3))
    array = np.asarray(population)
    assert array.shape == (3,) and array.dtype == object
    assert all(isinstance(network, nn.Sequential) for network in array)
    assert len(Population(array)) == 3
    assert np.asarray(Population([])).shape == (0,)


def test_a_pickle_holds_every_weight_once():
    population = Population.initialize(Architecture.mlp((20, 64, 64, 2)), 30, random_state=0)
    numbers = 4 * sum(spec.n_parameters for spec in population.architectures)
    edited = population.with_blocks(population.depth_blocks())
    for one in (population, edited):
        assert len(pickle.dumps(one)) < 1.1 * numbers


def test_a_pickle_holds_its_own_slice_only():
    population = Population.initialize(Architecture.mlp((5, 64, 64, 2)), 100, random_state=0)
    whole, part = (len(pickle.dumps(p)) for p in (population, population[:5]))
    one = population.architectures[0].n_parameters * 4
    assert 5 * one < part < 8 * one and whole < 120 * one
    (_, stack), *_ = population.blocks
    view = stack.with_params(stack.params.map(lambda t: t[:5]))
    assert len(pickle.dumps(view)) < 8 * one + len(pickle.dumps(stack.architectures)) + 10**5
    again = pickle.loads(pickle.dumps(population[3:8]))
    rows = torch.from_numpy(X).float()
    assert torch.equal(again.forward(rows), population[3:8].forward(rows))


def test_metadata_must_fit():
    with pytest.raises(ValueError, match="one row per network. Got 2 rows for 3 networks"):
        Population(modules(3), metadata=pd.DataFrame({"a": [1, 2]}))
    population = Population(modules(2), metadata=pd.DataFrame({"a": [1, 2]}, index=[7, 7]))
    assert population.metadata.index.tolist() == [0, 1]
    assert Population(population).metadata["a"].tolist() == [1, 2]


def test_rows_must_fit():
    population = mixed_population(1)
    with pytest.raises(ValueError, match=r"\(n_samples, 5\).*Got shape \(3, 4\)"):
        population.forward(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"Got \[2, 5\] inputs and \[2\] outputs"):
        Population([nn.Linear(2, 2), nn.Linear(5, 2)]).forward(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"one label per row of X \(9\). Got shape \(8,\)"):
        population.score(X, np.zeros(8))
    with pytest.raises(ValueError, match="Got regressors; use forward"):
        Population([nn.Linear(2, 1)]).predict_proba(np.zeros((3, 2)))


def test_forward_is_differentiable():
    rows = torch.from_numpy(X).requires_grad_()
    mixed_population(1).to(dtype=torch.float64).forward(rows).sum().backward()
    assert rows.grad.abs().sum() > 0


def test_read_only_rows_and_scores():
    population = Population.initialize(Architecture.mlp((5, 8, 2)), 3, random_state=0)
    rows = X.copy()
    rows.setflags(write=False)
    proba = population.predict_proba(rows)
    assert proba.shape == (3, 9, 2) and np.allclose(proba.sum(-1), 1)
    y = proba[1].argmax(-1)
    assert population.score(rows, y)[1] == 1.0
    assert population.to(dtype=torch.float64).predict_proba(rows).dtype == np.float64


def test_initialize_is_reproducible_and_independent_of_n():
    architecture = Architecture.mlp((5, 8, 2))
    few, many = (Population.initialize(architecture, n, random_state=3) for n in (2, 5))
    rows = torch.from_numpy(X).float()
    assert torch.equal(few.forward(rows), many[:2].forward(rows))


@pytest.mark.parametrize(
    "networks, text",
    [
        ([], "Population of 0 networks"),
        ([nn.Linear(1, 2)], "Population of 1 network, 1 input, 2 outputs, 4 parameters each"),
        (
            [nn.Linear(3, 2), nn.Linear(5, 2)],
            "Population of 2 networks, 3 to 5 inputs, 2 outputs, 8 to 12 parameters",
        ),
    ],
)
def test_repr(networks, text):
    assert repr(Population(networks)) == text


def test_edits_that_group_networks_in_another_way_can_be_indexed():
    networks = Population(mixed_population().to_networks())
    networks = networks[::-1]  # the order in which an edit comes back is another one
    blocks = [
        (positions[::-1], stack.select(range(len(stack))[::-1]))
        for positions, stack in reversed(networks.depth_blocks())
    ]
    doubled = []
    for positions, stack in blocks:
        weight = tuple(2 * w for w in stack.params.weight)
        doubled.append((positions, stack.with_params(stack.params._replace(weight=weight))))
    edited = networks.with_blocks(doubled)
    expected = edited.to_networks()
    for key in (slice(1, None, 2), [3, 0, 5], slice(None)):
        positions = np.arange(len(networks))[key]
        for i, got in zip(positions, edited[key].to_networks(), strict=True):
            want = expected[i].state_dict()
            assert all(torch.equal(want[k], v) for k, v in got.state_dict().items())
