"""Candidates, what they do on rows, the choice among them, and the verdict, by slow loops."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import equalized_odds_difference
from scipy.stats import chi2_contingency, norm
from scipy.stats.contingency import crosstab
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta.datasets import Cells, Task, make_biased_classification, split_tasks
from skmeta.editing.candidates import COST_POWERS, TOLERANCES, lam_edits, taught_edits
from skmeta.editing.choice import Budget, choose, skill_table
from skmeta.editing.front import SHIFT, Front, Observed, observe
from skmeta.editing.resampling import chance_of_gap, expected_gap, gap_changes, gaps_of
from skmeta.editing.verdict import verdict
from skmeta.population import Population, run_networks
from skmeta.requirements import DemographicParity, EqualizedOdds

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
    n_edits = len(TOLERANCES) * len(COST_POWERS)
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
    assert settings["lam"].tolist() == [0.03, 1.0]
    front = Front(network, edits, settings, (1.0,), (-1,))
    gaps = observe([front], [tasks[0]], EOD).gaps
    assert gaps[2] < gaps[1] < gaps[0]


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


# -- luck, and the verdict ---------------------------------------------------------------


def pair_of(before, after, y, groups, requirement=EOD):
    task = Task(np.zeros((len(y), 1)), np.asarray(y, int), sensitive_features=groups)
    decisions = np.stack([before, after]).astype(np.int16)
    blank = Observed(decisions, np.zeros(2), task.y, Cells.of(task))
    return Observed(decisions, gaps_of(decisions, blank, requirement), task.y, blank.cells)


def people(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    return rng, rng.integers(2, size=n), rng.integers(2, size=n)


def decide(rng, y, groups, rates):
    """Decisions with the given rates of 1, by label and group."""
    return (rng.random(len(y)) < np.array(rates)[y, groups]).astype(int)


def test_changes_on_resampled_rows_are_those_of_resampling_rows():
    rng, y, groups = people(400)
    before = decide(rng, y, groups, [[0.1, 0.3], [0.6, 0.9]])
    after = np.where(rng.random(400) < 0.8, before, 1 - before)
    pair = pair_of(before, after, y, groups)
    fast = gap_changes(pair, EOD, 2000, 0)
    cells, slow = 2 * y + groups, []
    for _ in range(1000):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(cells == c), (cells == c).sum()) for c in range(4)]
        )
        gaps = [
            equalized_odds_difference(y[rows], labels[rows], sensitive_features=groups[rows])
            for labels in (before, after)
        ]
        slow.append(gaps[1] - gaps[0])
    assert np.mean(fast) == pytest.approx(np.mean(slow), abs=0.005)
    assert np.std(fast) == pytest.approx(np.std(slow), rel=0.1)


@pytest.mark.parametrize("requirement", [EOD, DemographicParity()], ids=["odds", "parity"])
def test_the_chance_of_a_gap_is_that_of_permuted_groups(requirement):
    rng, y, groups = people(300)
    decisions = decide(rng, y, groups, [[0.2, 0.22], [0.62, 0.66]])
    pair = pair_of(decisions, decisions, y, groups, requirement)
    strata = [y == 0, y == 1] if requirement is EOD else [y >= 0]

    def largest(groups):
        tables = [crosstab(groups[rows], decisions[rows])[1] for rows in strata]
        return max(chi2_contingency(table, correction=False).statistic for table in tables)

    count = 0
    for _ in range(400):
        lot = groups.copy()
        for rows in strata:
            lot[rows] = rng.permutation(groups[rows])
        count += largest(lot) >= largest(groups) - 1e-9
    assert 0.02 < count / 400 < 0.98
    assert chance_of_gap(pair, requirement) == pytest.approx(count / 400, abs=0.08)
    large = decide(rng, y, groups, [[0.1, 0.1], [0.9, 0.3]])
    assert chance_of_gap(pair_of(large, large, y, groups, requirement), requirement) < 0.01


def test_a_sure_difference_is_heard_beside_one_of_few_rows():
    """Of 20 rows of label 1 rates differ by luck; of 4,000 of label 0 they differ surely."""
    groups, y = np.arange(4020) % 2, (np.arange(4020) >= 4000).astype(int)
    decisions = np.where(y == 1, np.arange(4020) % 5 < 2, np.arange(4020) % 40 < 2 * groups)
    pair = pair_of(decisions, decisions, y, groups)
    by_lot = [
        pair_of(decisions, decisions, y, np.random.default_rng(i).permutation(groups)).gaps[0]
        for i in range(50)
    ]
    assert np.mean(by_lot >= pair.gaps[0]) > 0.2
    assert chance_of_gap(pair, EOD) < 0.01


def test_copies_of_rows_make_no_gap_surer():
    rng, y, groups = people(300)
    before = decide(rng, y, groups, [[0.2, 0.3], [0.6, 0.7]])
    after = np.where(rng.random(300) < 0.9, before, 1 - before)
    once = pair_of(before, after, y, groups)
    tenfold = pair_of(*(np.repeat(values, 10) for values in (before, after, y, groups)))
    copied = replace(tenfold, evidence=0.1, ids=np.repeat(np.arange(300), 10))
    assert chance_of_gap(tenfold, EOD) < 0.01 < 0.05 < chance_of_gap(copied, EOD)
    spreads = [np.std(gap_changes(pair, EOD, 1000, 0)) for pair in (once, copied, tenfold)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1) and spreads[2] < 0.5 * spreads[0]
    for name in ("accuracy_loss_se", "balanced_accuracy_loss_se"):
        errors = [skill_table(pair, pair).loc[1, name] for pair in (once, copied)]
        assert errors[1] == pytest.approx(errors[0])


def test_three_classes_and_groups_differ_by_chance_or_not():
    rng = np.random.default_rng(0)
    y, groups = rng.integers(3, size=900), rng.integers(3, size=900)
    right = rng.random(900)
    for requirement in (EOD, DemographicParity()):
        chances = []
        for seed in range(20):
            lot = np.random.default_rng(seed).permutation(900)
            decisions = np.where(right < 0.6, y, (y + 1) % 3)
            chances.append(
                chance_of_gap(
                    pair_of(decisions, decisions, y, groups[lot], requirement), requirement
                )
            )
        assert 0.2 < np.mean(chances) < 0.8 and min(chances) < 0.5 < max(chances)
        unequal = np.where(right < 0.6 + 0.1 * groups, y, (y + 1) % 3)
        unequal = np.where((groups == 2) & (right > 0.9), 0, unequal)
        pair = pair_of(unequal, unequal, y, groups, requirement)
        assert chance_of_gap(pair, requirement) < 0.05


def test_errors_include_that_networks_of_folds_differ():
    """Five networks, of which two give a class up: the sixth may, too."""
    y, folds = np.arange(2000) % 2, np.repeat(range(5), 400)
    cells = Cells.of(Task(np.zeros((2000, 1)), y, sensitive_features=np.arange(2000) // 2 % 2))
    given_up = np.where(folds < 2, 0, y)
    decisions = np.stack([y, given_up]).astype(np.int16)
    pooled, apart = (
        skill_table(o, o).loc[1]
        for o in (
            Observed(decisions, np.zeros(2), y, cells),
            Observed(decisions, np.zeros(2), y, cells, folds),
        )
    )
    assert apart["accuracy_loss"] == pooled["accuracy_loss"] == pytest.approx(0.2)
    assert pooled["accuracy_loss_se"] < 0.01
    expected = np.std([0.5, 0.5, 0, 0, 0], ddof=1)
    assert apart["accuracy_loss_se"] == pytest.approx(expected, rel=0.01)


def test_a_constant_on_the_rows_of_training_is_no_candidate():
    y, groups = np.arange(400) % 2, np.arange(400) // 2 % 2
    held = pair_of(y, y, y, groups)
    seen = pair_of(y, np.zeros(400), y, groups)
    assert skill_table(held, seen)["degenerate"].tolist() == [False, True]


VERDICTS = {
    # (label, group) -> rate of 1, before and after
    "kept": ([[0.1, 0.1], [0.8, 0.5]], None),
    "reduced": ([[0.1, 0.1], [0.8, 0.5]], [[0.1, 0.1], [0.79, 0.78]]),
    "levelled down": ([[0.3, 0.1], [0.8, 0.5]], [[0.05, 0.05], [0.6, 0.55]]),
    "raised": ([[0.1, 0.1], [0.7, 0.7]], [[0.1, 0.1], [0.85, 0.6]]),
    "skill lost": ([[0.1, 0.1], [0.8, 0.5]], [[0.4, 0.4], [0.7, 0.7]]),
}


@pytest.mark.parametrize("status", VERDICTS)
def test_verdicts(status):
    rng, y, groups = people(6000)
    rates_before, rates_after = VERDICTS[status]
    before = decide(np.random.default_rng(1), y, groups, rates_before)
    after = (
        before if rates_after is None else decide(np.random.default_rng(1), y, groups, rates_after)
    )
    drops = {"balanced_accuracy": 0.05}
    assert verdict(pair_of(before, after, y, groups), EOD, drops, 0.3) == status


def test_a_constant_is_never_reduced():
    rng, y, groups = people(3000)
    y = (rng.random(3000) < 0.05).astype(int)
    before = decide(rng, y, groups, [[0.0, 0.0], [0.1, 0.3]])
    for after in (np.zeros(3000), np.arange(3000) == 7):
        pair = pair_of(before, after, y, groups)
        assert verdict(pair, EOD, {"accuracy": 0.05, "balanced_accuracy": 1.0}, 1.0) == "skill lost"


def test_noise_is_unclear():
    rng, y, groups = people(300)
    before = decide(rng, y, groups, [[0.2, 0.2], [0.7, 0.7]])
    after = np.where(rng.random(300) < 0.97, before, 1 - before)
    assert verdict(pair_of(before, after, y, groups), EOD, DROPS, 0.15) == "unclear"


def test_parity_is_levelled_down_if_fewer_of_the_better_off_are_selected():
    _, y, groups = people(6000)
    before = decide(np.random.default_rng(1), y, groups, [[0.6, 0.3], [0.6, 0.3]])
    requirement = DemographicParity()
    for rates, status in (([[0.35, 0.3]] * 2, "levelled down"), ([[0.6, 0.55]] * 2, "reduced")):
        after = decide(np.random.default_rng(1), y, groups, rates)
        pair = pair_of(before, after, y, groups, requirement)
        assert verdict(pair, requirement, {}, 1.0) == status


def test_the_expected_gap_is_free_of_the_luck_of_the_choice():
    """Many candidates that differ by noise only: the best one looks better than it is."""
    rng, y, groups = people(600)
    rates = [[0.2, 0.3], [0.6, 0.7]]
    decisions = np.stack([decide(rng, y, groups, rates) for _ in range(200)])
    task = Task(np.zeros((600, 1)), y, sensitive_features=groups)
    blank = Observed(decisions.astype(np.int16), np.zeros(200), y, Cells.of(task))
    held = Observed(blank.decisions, gaps_of(blank.decisions, blank, EOD), y, blank.cells)
    seen = Observed(held.decisions, np.full(200, 0.1), y, held.cells)
    chosen = choose(skill_table(held, seen), budget(1.0)).candidate
    expected = expected_gap(held, seen, np.ones(200, bool), EOD)
    assert held.gaps[chosen] < 0.06 < expected
    assert expected == pytest.approx(0.1, abs=0.06)
