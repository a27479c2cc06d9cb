"""Outputs that are not finite are never within a bound, and never handed out."""

import numpy as np
import pytest
import torch

from skmeta import ComplianceEditor, Population
from skmeta import baselines as rivals
from skmeta.datasets import Task
from skmeta.editing import measure_edits
from skmeta.editing.guard import roll_back
from skmeta.evaluation import compare, least_divergence, pareto_front
from skmeta.networks import Architecture
from skmeta.population import run_networks

FAST = {"max_epochs": 1, "hidden_channels": 4, "n_layers": 1, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning")


def table():
    rng = np.random.default_rng(0)
    groups = np.arange(240) % 2
    X = rng.normal(size=(240, 4)) + groups[:, None]
    return Task(X, (X[:, 0] > 0.5).astype(int), sensitive_features=groups)


def networks(n=32):
    return Population.initialize(Architecture.mlp((4, 6, 2)), n, random_state=0)


def scaled(population, factor, which):
    """Weights times a factor, in some of the networks."""
    blocks = []
    for positions, stack in population.blocks:
        factors = torch.where(torch.as_tensor(np.isin(positions, which)), factor, 1.0)
        blocks.append((positions, stack.with_weights(stack.weights * factors)))
    return population.with_blocks(blocks)


@pytest.mark.parametrize(
    "guard",
    [{"max_accuracy_drop": 1.0}, {"max_divergence": 1.0}, {"max_accuracy_drop": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("factor", [1e25, torch.nan])
def test_every_guard_rolls_back_edits_whose_outputs_are_not_finite(guard, factor):
    original = networks()
    which = np.arange(0, 32, 2)
    edited = scaled(original, factor, which)
    kept, rolled_back = roll_back(original, edited, table(), guard)
    assert rolled_back.nonzero()[0].tolist() == which.tolist()
    assert np.isfinite(kept.predict_proba(table().X)).all()


@pytest.mark.parametrize("features", ["gradients", "cells", "probes"])
@pytest.mark.parametrize("guard", [None, {"max_accuracy_drop": 0.9}], ids=str)
def test_an_editor_hands_out_no_network_whose_outputs_are_not_finite(features, guard):
    task = table()
    editor = ComplianceEditor(features=features, guard=guard, **FAST).fit(networks(8), task=task)
    extreme = scaled(networks(4), 1e25, [2])
    assert all(s.weights.flat.isfinite().all() for _, s in extreme.blocks)
    with pytest.raises(ValueError, match="network 2 .*not finite"):
        editor.transform(extreme)


def test_networks_whose_outputs_are_not_finite_have_no_accuracy_and_no_measure():
    task, broken = table(), scaled(networks(3), 1e25, [1])
    frame = measure_edits(networks(3), broken, task)
    assert frame.isna().any(axis=1).tolist() == [False, True, False]
    assert frame.loc[1, ["accuracy", "measure", "divergence"]].isna().all()
    table_ = compare({"broken": lambda *_: run_networks(broken, task)}, networks(3), task)
    assert table_[["objective", "accuracy"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "rival",
    [
        rivals.GroupShift(random_state=0),
        rivals.RejectOption(),
        rivals.ThresholdOptimizer(random_state=0),
        rivals.LinearPost(random_state=0),
        rivals.CalibratedEqOdds(random_state=0),
        rivals.AdditiveCorrection(n_steps=1, random_state=0),
        rivals.Swap(random_state=0),
    ],
    ids=lambda rival: type(rival).__name__,
)
def test_a_rival_names_the_network_whose_outputs_are_not_finite(rival):
    task, broken = table(), scaled(networks(3), 1e25, [1])
    with pytest.raises(ValueError, match=f"{type(rival).__name__} needs .* network 1 .*not finite"):
        rival.fit(broken, task=task).predict_logits(broken, task)


def test_fine_tuning_that_diverges_is_refused():
    task, population = table(), networks(3)
    rival = rivals.FineTune(n_steps=3, lr=1e38, random_state=0).fit(population, task=task)
    with pytest.raises(ValueError, match="FineTune made weights of network 0 .* Lower its 'lr'"):
        rival.transform(population)


def test_choices_pass_over_what_is_not_a_number():
    assert pareto_front([[np.nan, 0.0], [1.0, 1.0]]).tolist() == [False, True]
    results = {
        "params": [{"lam": 1}, {"lam": 2}],
        "mean_test_neg_divergence": [np.nan, -0.2],
        "mean_test_neg_measure": [-0.01, -0.02],
    }
    assert least_divergence(max_violation=0.1)(results) == 1
