"""A row, or a network, of weight k counts as k; one of weight 0 is not there."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.model_selection import cross_validate
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import EditedClassifier, Population, WeightSpaceClassifier, WeightSpaceRegressor
from skmeta.editing import measure_edits
from skmeta.networks import Architecture
from skmeta.population import run_networks
from tests.reports.small_table import table

SMALL = MLPClassifier((4,), solver="lbfgs", max_iter=30, tol=1e-1, random_state=0)
FAST = {
    "method": "editor",
    "lam": 0.1,
    "n_networks": 2,
    "zoo_epochs": 1,
    "max_epochs": 1,
    "random_state": 0,
}
READER = {"metanet": "statistics", "hidden_channels": 8, "n_layers": 1, "random_state": 0}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The network of EditedClassifier is weak:UserWarning"),
]


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def net():
    return NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0)


def multiset(rows):
    rows, counts = np.unique(rows, axis=0, return_counts=True)
    return {row.tobytes(): count for row, count in zip(rows, counts, strict=True)}


@pytest.mark.parametrize("scale", [1, 7.0])
def test_a_reference_row_of_weight_k_is_there_k_times(scale):
    rng = np.random.default_rng(0)
    X, y, groups = table(n_features=3, rng=rng)
    weights = rng.integers(1, 4, size=len(X)) * scale
    model = EditedClassifier(SMALL, **FAST)
    model.fit(X, y, sensitive_features=groups, sample_weight=weights)
    reference = model.editor_.task_
    weight_of = {x.tobytes(): w / scale for x, w in zip(X.astype(np.float32), weights, strict=True)}
    counts = multiset(reference.X)
    assert len(counts) == len(X) // 3
    assert all(weight_of[row] == count for row, count in counts.items())
    # So measures weigh: those of the repeated rows are the weighted ones of each row once.
    first = np.unique(reference.X, axis=0, return_index=True)[1]
    logits = run_networks([model.estimator_], reference)
    accuracy = measure_edits(logits, logits, reference, None)["accuracy"][0]
    once = reference.subset(first)
    correct = run_networks([model.estimator_], once)[0].argmax(-1).numpy() == once.y
    expected = np.average(correct, weights=[counts[x.tobytes()] for x in once.X])
    assert accuracy == pytest.approx(expected, abs=1e-6)


def test_weights_that_are_no_whole_numbers_keep_the_sum_of_each_cell():
    rng = np.random.default_rng(0)
    X, y, groups = table(n_features=3, rng=rng)
    weights = rng.uniform(0.5, 2.0, size=len(X)) * np.where(groups == 0, 1.0, 3.0)
    model = EditedClassifier(SMALL, **FAST)
    model.fit(X, y, sensitive_features=groups, sample_weight=weights)
    reference = model.editor_.task_
    kept = {row.tobytes() for row in reference.X}
    there = np.array([row.tobytes() in kept for row in X.astype(np.float32)])
    cells = (2 * y + groups)[there]
    expected = np.bincount(cells, weights[there]) / weights[there].sum()
    np.testing.assert_allclose(
        np.bincount(reference.cells()) / reference.n_samples, expected, atol=0.003
    )


@pytest.mark.parametrize("estimator", [SMALL, net()], ids=["MLPClassifier", "skorch"])
def test_a_row_of_weight_zero_is_not_there(estimator):
    X, y, groups = table(n_features=3)
    weights = (np.arange(len(X)) % 5 > 0).astype(float)
    there = weights > 0
    noise = np.where(there[:, None], X, 1e3)
    weighted = EditedClassifier(estimator, **FAST).fit(
        noise, y, sensitive_features=pd.Series(groups), sample_weight=weights
    )
    fewer = EditedClassifier(estimator, **FAST).fit(
        X[there], y[there], sensitive_features=groups[there], sample_weight=np.ones(there.sum())
    )
    np.testing.assert_array_equal(weighted.predict_proba(X), fewer.predict_proba(X))


@pytest.mark.parametrize("estimator", [SMALL, net()], ids=["MLPClassifier", "skorch"])
def test_weights_move_the_network(estimator):
    X, y, groups = table(n_features=3)
    model = EditedClassifier(estimator, **FAST)
    means = [
        model.fit(X, y, sensitive_features=groups, sample_weight=np.where(y == 1, w, 1))
        .estimator_.predict_proba(X.astype(np.float32))[:, 1]
        .mean()
        for w in (1, 6)
    ]
    assert means[1] > means[0] + 0.02


def test_weights_are_routed_to_fit_and_score():
    rng = np.random.default_rng(0)
    X, y, groups = table(n_features=3, rng=rng)
    weights = rng.integers(1, 3, size=len(X))
    with config_context(enable_metadata_routing=True):
        model = EditedClassifier(SMALL, **FAST).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        results = cross_validate(
            model,
            X,
            y,
            params={"sensitive_features": groups, "sample_weight": weights},
            cv=2,
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for fold, fitted in enumerate(results["estimator"]):
        test = results["indices"]["test"][fold]
        assert fitted.editor_.task_.n_samples > len(X) / 2 / 3 + 5
        expected = fitted.score(X[test], y[test], sample_weight=weights[test])
        assert results["test_score"][fold] == expected


@pytest.mark.parametrize(
    "weights, came",
    [
        (np.ones(9), r"shape \(9,\)"),
        (np.ones((240, 1)), "shape|1D|1d|Found array"),
        (np.r_[-1.0, np.ones(239)], "Got -1"),
        (np.zeros(240), "all zero"),
        (np.r_[np.nan, np.ones(239)], "sample_weight contains NaN"),
        (["a"] * 240, "convert|numeric"),
    ],
)
def test_weights_that_are_none(weights, came):
    X, y, groups = table(n_features=3)
    with pytest.raises(ValueError, match=came):
        EditedClassifier(SMALL, **FAST).fit(X, y, sensitive_features=groups, sample_weight=weights)


def zoo(n=24):
    networks = Population.initialize(Architecture.mlp((3, 4, 2)), n, random_state=0)
    return networks, np.random.default_rng(0).normal(size=n)


@pytest.mark.parametrize("loss", ["mse", "bce", "ranking"])
def test_the_loss_of_weighted_networks_is_that_of_repeated_ones(loss):
    from skmeta.reading.losses import LOSSES, Weighted

    generator = torch.Generator().manual_seed(0)
    outputs, y = torch.rand(2, 6, 1, generator=generator)
    counts = torch.tensor([1, 2, 0, 3, 1, 1])
    rows = torch.arange(6).repeat_interleave(counts)
    repeated = LOSSES[loss]()(outputs[rows], y[rows])
    weighted = Weighted(LOSSES[loss])(outputs, [y, counts / counts.float().mean()])
    torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("loss", ["mse", "bce", "ranking"])
def test_a_reader_knows_no_network_of_weight_zero(loss):
    networks, y = zoo()
    if loss == "bce":
        y = 1 / (1 + np.exp(-y))
    there = np.arange(len(y)) % 4 > 0
    strange = np.where(there, y, 0.0 if loss == "bce" else 1e6)
    reader = WeightSpaceRegressor(loss=loss, max_epochs=2, **READER)
    one = reader.fit(networks, strange, sample_weight=there).predict(networks)
    ones = np.ones(there.sum())
    other = reader.fit(networks[there], y[there], sample_weight=ones).predict(networks)
    np.testing.assert_array_equal(one, other)


def test_a_reader_follows_heavy_networks():
    networks, y = zoo()
    heavy = np.where(y > 0, 50.0, 1.0)
    reader = WeightSpaceRegressor(max_epochs=3, lr=1e-4, **READER)
    assert reader.fit(networks, y, sample_weight=heavy).predict(networks).mean() > 0.3
    assert reader.fit(networks, y).predict(networks).mean() < 0.3
    labels = np.where(y > 0, "high", "low")
    classes = WeightSpaceClassifier(max_epochs=40, lr=1e-2, **READER)
    shares = [
        (classes.fit(networks, labels, sample_weight=w).predict(networks) == "high").mean()
        for w in (heavy, 50.0 / heavy)
    ]
    assert shares[0] > shares[1]
