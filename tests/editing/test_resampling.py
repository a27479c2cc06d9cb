"""How much of a gap is luck, and the verdict, by slow loops."""

from dataclasses import replace

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from scipy.stats import chi2_contingency
from scipy.stats.contingency import crosstab

from skmeta.datasets import Cells, Task
from skmeta.editing.choice import Budget, choose, skill_table
from skmeta.editing.front import Observed
from skmeta.editing.resampling import chance_of_gap, expected_gap, gap_changes, gaps_of
from skmeta.editing.verdict import verdict
from skmeta.requirements import DemographicParity, EqualizedOdds

EOD = EqualizedOdds()
DROPS = {"accuracy": 0.02, "balanced_accuracy": 0.02}


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
    chosen = choose(
        skill_table(held, seen), Budget(1.0, None, ("accuracy", "balanced_accuracy"), 0.9, 0.15)
    ).candidate
    expected = expected_gap(held, seen, np.ones(200, bool), EOD)
    assert held.gaps[chosen] < 0.06 < expected
    assert expected == pytest.approx(0.1, abs=0.06)
