"""Results do not depend on how, where, in what order and beside what they are computed."""

import subprocess
import sys
from functools import cache

import joblib
import numpy as np
import pytest
import torch

from skmeta import ComplianceEditor, EditedClassifier, WeightSpaceRegressor
from skmeta import baselines as rivals
from skmeta.requirements import DataMinimization, Pruning
from tests.reports.public_calls import Small
from tests.reports.threads import in_threads
from tests.stages import of_field

SMALL = Small()
N = 8
# Float32 sums round in the shapes of their batch; what is decided must not.
ROUNDING = {"rtol": 1e-3, "atol": 1e-5}


@cache
def networks():
    return SMALL.train(N, epochs=2)


EDITORS = {
    "free": {},
    "free, on cells": {"features": "cells", "metanet": "graph"},
    "masked": {"requirement": DataMinimization(budget=4)},
    "masked by lam": {"requirement": DataMinimization()},
    "pruned": {"requirement": Pruning(budget=0.3)},
    "guarded": {"guard": {"max_divergence": 0.05}, "refine_steps": 3, "lam": 0.3},
}
RIVALS = {
    "FineTune": {"n_steps": 5},
    "LayerwiseOptimization": {"n_candidates": 4, "n_rounds": 1},
    "LotteryTicket": {"n_steps": 5},
    "PermutationSelection": {"shared": False, "n_epochs": 2},
    "Prune": {"criterion": "snip", "n_steps": 5},
    "RandomPerturbation": {"n_candidates": 4},
    "Swap": {},
}
"""Rivals that edit weights; what they do to a network is its own."""

PRUNERS = ["random", "magnitude", "gradient", "snip", "wanda"]


@cache
def fitted(name):
    """Return an editor or a rival, fitted on half of the networks."""
    if name in EDITORS:
        method = ComplianceEditor(**SMALL.options | {"max_epochs": 2} | EDITORS[name])
    elif name in PRUNERS:
        method = rivals.Prune(name, budget=0.3, random_state=0)
    else:
        method = getattr(rivals, name)(**RIVALS[name], random_state=0)
    return method.fit(networks()[::2], task=SMALL.task)


def weights(population):
    """Return the weights of each network as one row of a list."""
    return [
        np.concatenate([w.flatten().numpy() for w in of_field(record, "weight")])
        for record in population.records()
    ]


def alike(one, other):
    """Whether networks have the same zeros, and the same weights but for rounding."""
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a == 0, b == 0)
        np.testing.assert_allclose(a, b, **ROUNDING)


SMALL_TABLE = pytest.mark.filterwarnings(
    "ignore:The 'task' parameter:UserWarning", "ignore::sklearn.exceptions.ConvergenceWarning"
)
METHODS = [*EDITORS, *RIVALS, *PRUNERS]


@pytest.mark.parametrize("name", METHODS)
def test_an_edit_does_not_depend_on_the_networks_beside_it(name):
    together = fitted(name).transform(networks())
    for a, b in zip(weights(together), weights(fitted(name).transform(networks())), strict=True):
        np.testing.assert_array_equal(a, b)  # repeated, the same to the bit
    order = np.random.default_rng(0).permutation(N)
    alike(together[order], fitted(name).transform(networks()[order]))
    alike(together[:3], fitted(name).transform(networks()[:3]))
    for i in (3, 7):
        alike(together[[i]], fitted(name).transform(networks()[[i]]))


def test_padding_does_not_change_what_a_mask_makes_up_for():
    from skmeta.networks import Architecture
    from skmeta.population import Population

    narrow, wide = (
        Population.initialize(Architecture.mlp((10, w, w, 2)), 1, random_state=0) for w in (4, 40)
    )
    editor = ComplianceEditor(DataMinimization(budget=4), **SMALL.options)
    editor.fit(networks(), task=SMALL.task)
    alone = editor.transform(narrow)
    beside = editor.transform(Population.concatenate([narrow, wide]))[[0]]
    alike(alone, beside)


def test_ties_fall_alike_alone_and_together():
    from skmeta.population import Population

    # Two inputs with the same weights, and rows on which they say the same, tie.
    task = SMALL.task.subset(np.arange(SMALL.task.n_samples))
    task.X = task.X.copy()
    task.X[:, 3] = task.X[:, 7]
    parts = []
    for network in networks():
        part = Population([network])
        record = part.records()[0]
        record.tensors["0.weight"][:, 3] = record.tensors["0.weight"][:, 7]
        parts.append(Population.from_records([record]))
    tied = Population.concatenate(parts)
    for method in (
        ComplianceEditor(DataMinimization(budget=5, compensate=False), **SMALL.options),
        rivals.PermutationSelection(budget=5, shared=False, random_state=0),
        rivals.Prune("wanda", budget=0.5, random_state=0),
        rivals.Prune("snip", budget=0.5, random_state=0),
    ):
        method.fit(tied, task=task)
        together = weights(method.transform(tied))
        for i in range(0, N, 3):
            (alone,) = weights(method.transform(tied[[i]]))
            np.testing.assert_array_equal(alone == 0, together[i] == 0)


def test_scores_that_only_rounding_tells_apart_are_a_tie():
    from skmeta.requirements.masks import keep_largest

    ones, scores = (torch.ones(1, 1, 4),), torch.tensor([[[1.0, 1.0, 1.0, 9.0]]]).double()
    noise = torch.tensor([[[0.0, 1e-14, -1e-14, 0.0]]]).double()
    for noisy in (scores, scores + noise, scores - noise):
        (kept,) = keep_largest((noisy,), ones, torch.tensor([2]))
        assert kept.flatten().tolist() == [1, 0, 0, 1]
    (kept,) = keep_largest((scores + 1e7 * noise,), ones, torch.tensor([2]))
    assert kept.flatten().tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("metanet", ["nfn-hnp", "graph", "neuron", "statistics"])
def test_a_reading_does_not_depend_on_the_networks_beside_it(metanet):
    y = np.linspace(0, 1, N)
    options = SMALL.options | {"metanet": metanet, "max_epochs": 2}
    reader = WeightSpaceRegressor(**options).fit(networks(), y)
    wanted = reader.predict(networks())
    order = np.random.default_rng(0).permutation(N)
    for some in (order, np.arange(5), [3]):
        np.testing.assert_allclose(reader.predict(networks()[some]), wanted[some], **ROUNDING)
    again = WeightSpaceRegressor(**options).fit(networks(), y)
    np.testing.assert_array_equal(again.predict(networks()), wanted)


def test_a_run_of_a_zoo_does_not_depend_on_how_many_there_are():
    alike(networks()[:5], SMALL.train(5, epochs=2))


def run_all():
    """Return a number per kind of result, for other processes to come to as well."""
    editor = fitted("masked").transform(networks())
    y = np.linspace(0, 1, N)
    reader = WeightSpaceRegressor(**SMALL.options).fit(networks(), y).predict(networks())
    rival = fitted("LotteryTicket").transform(networks())
    parts = [*weights(networks()), *weights(editor), *weights(rival), reader, classify(None)]
    return [float(part.sum(dtype=np.float64)) for part in parts]


def classify(n_jobs):
    """Return the probabilities of an edited classifier."""
    options = {
        "method": "editor",
        "lam": 0.1,
        "n_networks": 4,
        "zoo_epochs": 2,
        "max_epochs": 1,
        "random_state": 0,
    }
    X, y, groups = SMALL.task.X, SMALL.task.y, np.asarray(SMALL.task.sensitive)
    classifier = EditedClassifier(n_jobs=n_jobs, **options).fit(X, y, sensitive_features=groups)
    return classifier.predict_proba(X)


@SMALL_TABLE
def test_another_process_with_another_hash_seed_comes_to_the_same():
    program = "from tests.reports.test_determinism import run_all; print(run_all())"
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={"PYTHONHASHSEED": "123", "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(run_all())


@SMALL_TABLE
def test_an_edited_classifier_does_not_depend_on_jobs_and_backends():
    wanted = classify(None)
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_array_equal(classify(2), wanted)


def test_edits_and_readings_in_threads_are_those_made_alone():
    names = ["free", "masked", "LotteryTicket", "wanda"]
    jobs = [lambda name=name: weights(fitted(name).transform(networks())) for name in names]
    for serial, threaded in zip(*in_threads(jobs), strict=True):
        for a, b in zip(serial, threaded, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_zoo_that_was_interrupted_is_the_same(tmp_path):
    wanted = SMALL.train()
    for _ in range(2):  # trained, and read
        got = SMALL.train(cache_dir=tmp_path)
        for a, b in zip(weights(wanted), weights(got), strict=True):
            np.testing.assert_array_equal(a, b)
