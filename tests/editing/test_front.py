"""Candidates, what they do on rows, and the choice among them, by slow loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import equalized_odds_difference
from scipy.stats import norm
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta.datasets import Cells, Task, make_biased_classification, split_tasks
from skmeta.editing.candidates import COST_POWERS, KINDS, TOLERANCES, lam_edits, taught_edits
from skmeta.editing.choice import Budget, choose, skill_table
from skmeta.editing.front import SHIFT, Front, Observed, observe
from skmeta.editing.resampling import gaps_of
from skmeta.population import Population, run_networks
from skmeta.requirements import EqualizedOdds

EOD = EqualizedOdds()
DROPS = {"accuracy": 0.02, "balanced_accuracy": 0.02}


@pytest.fixture(scope="module")
def tasks():
    bunch = make_biased_classification(3000, gap=0.3, random_state=0)
    return split_tasks(bunch, "group", drop_sensitive=True)


@pytest.fixture(scope="module")
def network(tasks):
    classifier = MLPClassifier((8,), early_stopping=True, random_state=0)
    return Population([classifier.fit(tasks[0].X, tasks[0].classes[tasks[0].y])])


@pytest.fixture(scope="module")
def front(network, tasks):
    edits, settings, _ = taught_edits(network, tasks[0], EOD, 0)
    return Front.of(network, edits, settings)


def test_there_is_a_candidate_for_every_setting_point_and_shift(front, tasks):
    table = front.table
    n_edits = len(KINDS) * len(TOLERANCES) * len(COST_POWERS)
    assert len(table) == 1 + n_edits * 4 * 3 and table.index.tolist() == list(range(len(table)))
    assert not table.iloc[1:].duplicated().any()
    logits = torch.cat(list(front.pieces(tasks[2])))
    assert len(logits) == len(table)


@pytest.mark.parametrize("candidate", [0, 3, 20, 100, 180])
def test_a_candidate_that_is_made_does_what_was_looked_at(front, tasks, candidate):
    logits = torch.cat(list(front.pieces(tasks[2])))
    made = front.network(candidate)
    torch.testing.assert_close(run_networks(made, tasks[2])[0], logits[candidate])
    # As the classifier that is handed out, too.
    [classifier] = made.to_networks()
    expected = logits[candidate].softmax(-1).numpy()
    np.testing.assert_allclose(classifier.predict_proba(tasks[2].X), expected, atol=1e-5)
    row = front.table.loc[candidate]
    if candidate and row["favours"] >= 0:
        plain = front.table[
            (front.table["edit"] == row["edit"])
            & (front.table["point"] == row["point"])
            & (front.table["favours"] < 0)
        ].index[0]
        margin = (logits[candidate] - logits[plain])[:, int(row["favours"])]
        torch.testing.assert_close(margin, torch.full_like(margin, SHIFT / 2))


def test_points_lie_between_the_weights(front):
    table = front.table.query("edit == 4 and favours == -1")
    flats = [front.network(i).blocks[0][1].weights.flat for i in table.index]
    start, end = front.original.blocks[0][1].weights.flat, flats[-1]
    for point, flat in zip(table["point"], flats, strict=True):
        torch.testing.assert_close(flat, start + point * (end - start))


def test_outputs_without_a_bias_of_their_own_get_no_shifts(tasks):
    torch.manual_seed(0)
    bare = Population([nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))])
    normed = Population([nn.Sequential(nn.Linear(9, 2), nn.LayerNorm(2))])
    for population in (bare, normed):
        front = Front.of(population, population, pd.DataFrame({"method": ["none"]}))
        assert front.shifts == (-1,)
        assert len(torch.cat(list(front.pieces(tasks[2])))) == len(front.table) == 5


def test_what_is_observed_is_what_fairlearn_and_scikit_learn_say(front, tasks):
    seen, held = (observe([front], [task], EOD) for task in tasks[:2])
    table = skill_table(held, seen)
    y, groups = tasks[1].y, tasks[1].sensitive
    for i in (0, 5, 77, 180):
        labels = front.network(i).to_networks()[0].predict(tasks[1].X)
        codes = np.searchsorted(tasks[1].classes, labels)
        assert table.loc[i, "accuracy"] == pytest.approx(accuracy_score(y, codes))
        balanced = balanced_accuracy_score(y, codes)
        assert table.loc[i, "balanced_accuracy"] == pytest.approx(balanced)
        assert table.loc[i, "recall_yes"] == pytest.approx(recall_score(y, codes))
        gap = equalized_odds_difference(y, codes, sensitive_features=groups)
        assert table.loc[i, "gap_held"] == pytest.approx(gap, abs=1e-6)
    n_seen, n_held = tasks[0].n_samples, tasks[1].n_samples
    mean = (n_seen * table["gap_seen"] + n_held * table["gap_held"]) / (n_seen + n_held)
    np.testing.assert_allclose(table["gap"], mean)
    # The standard error is that of a bootstrap within classes.
    rng = np.random.default_rng(0)
    right = held.decisions[[0, 77]] == y
    lost = [
        np.mean([(right[0] * 1.0 - right[1])[rng.choice(rows, len(rows))].mean() for rows in parts])
        for parts in [[np.flatnonzero(y == k) for k in (0, 1)]] * 1000
    ]
    assert table.loc[77, "balanced_accuracy_loss_se"] == pytest.approx(np.std(lost), rel=0.1)


def test_folds_are_observed_as_one_table(front, tasks):
    whole = observe([front], [tasks[2]], EOD)
    halves = [tasks[2].subset(np.arange(tasks[2].n_samples) % 2 == k) for k in (0, 1)]
    parts = observe([front, front], halves, EOD)
    order = np.argsort(np.arange(tasks[2].n_samples) % 2, kind="stable")
    assert np.array_equal(parts.decisions, whole.decisions[:, order])
    assert np.array_equal(parts.y, whole.y[order])
    np.testing.assert_allclose(parts.gaps, whole.gaps, atol=1e-6)
    np.testing.assert_allclose(gaps_of(whole.decisions, whole, EOD), whole.gaps, atol=1e-5)


def test_lam_edits_follow_lam(network, tasks):
    edits, settings = lam_edits(network, tasks[0], EOD, [0.03, 1.0], 0)
    assert settings["lam"].tolist() == [0.03, 1.0] * 2
    assert settings["method"].tolist() == ["finetune"] * 2 + ["posthoc"] * 2
    front = Front(network, edits, settings, (1.0,), (-1,))
    gaps = observe([front], [tasks[0]], EOD).gaps
    assert gaps[2] < gaps[1] < gaps[0] and gaps[4] < gaps[3] < gaps[0]


def test_a_class_without_rows_has_no_recall_and_accuracy_does_without():
    y, groups = np.zeros(8, int), np.arange(8) % 2
    task = Task(np.zeros((9, 1)), np.append(y, 1), sensitive_features=np.append(groups, 0))
    rows = Observed(np.array([y, 1 - y]), np.zeros(2), y, Cells.of(task.subset(np.arange(8))))
    table = skill_table(rows, rows)
    assert table["accuracy"].tolist() == [1.0, 0.0] and table["accuracy_loss"].tolist() == [0, 1]
    assert table[["balanced_accuracy", "recall_1"]].isna().all(axis=None)


# -- the choice --------------------------------------------------------------------------


def candidates(**columns):
    """A table of candidates of which the first is the network as it is."""
    n = len(columns["gap"])
    table = {
        "gap": columns["gap"],
        "gap_held": columns["gap"],
        "largest_recall_drop": [0.0] * n,
        "degenerate": [False] * n,
    }
    for skill in ("accuracy", "balanced_accuracy"):
        table |= {f"{skill}_loss": [0.0] * n, f"{skill}_loss_se": [0.0] * n}
    return pd.DataFrame({**table, **columns})


def budget(max_drop=0.02, max_gap=None, confidence=0.9):
    return Budget(max_drop, max_gap, ("accuracy", "balanced_accuracy"), confidence, 0.15)


def test_the_smallest_gap_within_the_budget_is_chosen():
    table = candidates(gap=[0.3, 0.2, 0.1, 0.05], accuracy_loss=[0.0, 0.01, 0.019, 0.03])
    assert choose(table, budget()).candidate == 2
    assert choose(table, budget(0.05)).candidate == 3
    nothing = choose(table, budget(0.005))
    assert nothing.candidate == 0 and "loses at most 0.005" in nothing.reason
    # Both skills count.
    other = table.assign(balanced_accuracy_loss=[0.0, 0.0, 0.04, 0.0])
    assert choose(other, budget()).candidate == 1


def test_confidence_is_that_of_a_normal_bound():
    table = candidates(gap=[0.3, 0.1], accuracy_loss=[0, 0.01], accuracy_loss_se=[0, 0.01])
    needed = 0.01 + norm.ppf(0.9) * 0.01
    assert choose(table, budget(needed + 1e-6)).candidate == 1
    assert choose(table, budget(needed - 1e-6)).candidate == 0
    assert choose(table, budget(0.01, confidence=0.5)).candidate == 1


def test_constants_and_lost_recalls_are_not_chosen():
    table = candidates(gap=[0.3, 0.0, 0.1], degenerate=[False, True, False])
    assert choose(table, budget()).candidate == 2
    table = candidates(gap=[0.3, 0.0, 0.1], largest_recall_drop=[0.0, 0.2, 0.1])
    assert choose(table, budget()).candidate == 2


def test_a_gap_is_reached_at_the_least_loss():
    table = candidates(gap=[0.3, 0.08, 0.09, 0.01], accuracy_loss=[0.0, 0.02, 0.01, 0.09])
    assert choose(table, budget(None, 0.1)).candidate == 2
    assert choose(table, budget(None, 0.05)).candidate == 3
    small, missed = choose(table, budget(None, 0.5)), choose(table, budget(None, 0.001))
    assert small.candidate == 0 and "small enough as it is" in small.reason
    assert missed.candidate == 0 and "0.010 is the nearest" in missed.reason
