"""The cross-entropy method over the numbers of recipes."""

import math

import numpy as np
import pytest
import torch

from skmeta.datasets import Task
from skmeta.networks import Architecture
from skmeta.optimizing import Problem, Progress, Recipe, Search, Training, unroll
from skmeta.optimizing.search import split_rows
from skmeta.population import Population

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4)).astype(np.float32)
TASK = Task(X, (X[:, 0] > 0).astype(int))
NETWORKS = Population.initialize(Architecture.mlp((4, 6, 2)), 5, random_state=0)
PROBLEMS = [Problem(NETWORKS, TASK)]
SEARCH = Search("adam", Training(10, 16), 4, 6, 2, seed=3)


def search(n_rounds=4, n_candidates=6, seed=3):
    return Search("adam", Training(10, 16), n_rounds, n_candidates, 2, seed)


def mock(monkeypatch, objective):
    calls = []

    def scores(self, problems, units, rng, n_parallel):
        calls.append(n_parallel)
        return objective(units, rng)

    monkeypatch.setattr(Search, "_scores", scores)
    return calls


def last(rounds):
    *_, progress = rounds
    return progress


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_least_of_a_quadratic(monkeypatch, seed):
    goal = torch.tensor([0.9, 0.7, 0.2, 0.35], dtype=torch.float64)
    mock(monkeypatch, lambda units, rng: ((units - goal) ** 2).sum(1))
    start = Progress.start("adam")
    found = last(search(20, 16, seed).rounds(PROBLEMS, start)).mean
    # The last candidates are drawn 0.03 apart.
    assert (found - goal).abs().max() < 0.05 < (start.mean - goal).abs().max()


def test_a_least_at_the_bound_is_found(monkeypatch):
    mock(monkeypatch, lambda units, rng: -units.sum(1))
    progress = last(search(20, 16).rounds(PROBLEMS, Progress.start("adam")))
    assert (progress.mean > 0.95).all() and (progress.mean <= 1).all()


def test_rounds_in_which_all_diverge_keep_the_mean(monkeypatch):
    mock(monkeypatch, lambda units, rng: torch.full((len(units),), math.inf).double())
    start = Progress.start("adam")
    progress = last(SEARCH.rounds(PROBLEMS, start))
    assert torch.equal(progress.mean, start.mean) and torch.equal(progress.spread, start.spread)
    assert [seen["n_diverged"] for seen in progress.history] == [6, 6, 6, 6]
    with pytest.raises(ValueError, match="All training diverged.* Standardise the columns"):
        SEARCH.winner(PROBLEMS, progress)


def test_candidates_that_diverge_are_left_out(monkeypatch):
    seen = []

    def objective(units, rng):
        seen.append(units.clone())
        scores = (units[:, 0] - 0.5).abs()
        return scores.index_fill(0, torch.tensor([0, 1, 2, 3, 5, 6, 7]), math.inf)

    mock(monkeypatch, objective)
    one = last(search(1, 10).rounds(PROBLEMS, Progress.start("adam")))
    (units,), spread = seen, Progress.start("adam").spread
    torch.testing.assert_close(one.mean, units[[4, 8, 9]].mean(0))
    torch.testing.assert_close(one.spread, 0.3 * spread + 0.7 * units[[4, 8, 9]].std(0))
    assert one.history[0]["n_diverged"] == 7 and one.history[0]["mean"] == math.inf


def test_the_first_candidate_is_the_mean_and_all_are_on_the_scales(monkeypatch):
    seen = []

    def objective(units, rng):
        seen.append(units.clone())
        return units.sum(1)

    mock(monkeypatch, objective)
    start = Progress(torch.full((4,), 0.95).double(), torch.full((4,), 0.5).double())
    for progress in search(5, 20).rounds(PROBLEMS, start):
        assert torch.equal(seen[-1][0], start.mean)
        assert (seen[-1] >= 0).all() and (seen[-1] <= 1).all()
        assert (progress.spread >= 0.03).all()
        start = progress


@pytest.mark.parametrize("least", [0, 1, 2])
def test_the_winner_is_the_least_of_three(monkeypatch, least):
    progress = last(SEARCH.rounds(PROBLEMS, Progress.start("adam")))
    meeting = []

    def objective(units, rng):
        meeting.append(units.clone())
        return torch.ones(3).double().index_fill(0, torch.tensor([least]), 0.5)

    calls = mock(monkeypatch, objective)
    recipe, scores = SEARCH.winner(PROBLEMS, progress)
    ((start, mean, best),) = meeting
    assert torch.equal(start, Progress.start("adam").mean) and torch.equal(mean, progress.mean)
    least_seen = min(progress.history, key=lambda seen: seen["best"] - seen["median"])
    assert best.tolist() == least_seen["candidate"]
    assert recipe.floats == Recipe.at("adam", meeting[0][[least]]).floats
    assert scores[least] == min(scores) == 0.5
    assert calls == [4]


def test_the_start_wins_if_nothing_is_better(monkeypatch):
    mock(monkeypatch, lambda units, rng: torch.zeros(len(units)).double())
    progress = last(SEARCH.rounds(PROBLEMS, Progress.start("adam")))
    recipe, scores = SEARCH.winner(PROBLEMS, progress)
    assert scores == [0.0, 0.0, 0.0]
    found, wanted = recipe.floats[0], Recipe.start("adam").floats[0]
    assert found == pytest.approx(wanted, rel=1e-12)


@pytest.fixture(scope="module")
def rounds():
    return list(SEARCH.rounds(PROBLEMS, Progress.start("adam")))


def same(one, other):
    return (
        torch.equal(one.mean, other.mean)
        and torch.equal(one.spread, other.spread)
        and one.history == other.history
    )


@pytest.mark.parametrize("done", range(4))
def test_it_goes_on_from_any_round_to_the_same_bits(rounds, done):
    rest = list(SEARCH.rounds(PROBLEMS, rounds[done]))
    assert len(rest) == 3 - done
    for mine, wanted in zip(rest, rounds[done + 1 :], strict=True):
        assert same(mine, wanted)


def test_other_seeds_find_other_numbers(rounds):
    other = last(search(seed=4).rounds(PROBLEMS, Progress.start("adam")))
    assert not torch.equal(other.mean, rounds[-1].mean)


@pytest.mark.parametrize("base, k", [("adam", 4), ("kfac", 5)])
def test_equal_candidates_have_equal_scores(base, k):
    one = Search(base, Training(10, 16), 1, 3, 2, 0)
    units = torch.rand(3, k, dtype=torch.float64, generator=torch.Generator())[[0, 1, 0, 2, 0]]
    scores = one._scores(PROBLEMS, units, np.random.default_rng(0), 3)
    assert scores[0] == scores[2] == scores[4]
    assert len(scores.unique()) == 3


def test_objectives_are_logarithms_of_the_share_that_is_left():
    units = torch.rand(2, 4, dtype=torch.float64, generator=torch.Generator())
    found = SEARCH._scores(PROBLEMS, units, np.random.default_rng(7), 3)
    rng = np.random.default_rng(7)
    train, held_out = split_rows(TASK, rng)
    picks, seeds = rng.choice(5, 3, replace=False), rng.integers(2**62, size=3)
    for score, unit in zip(found, units, strict=True):
        recipe = Recipe.at("adam", unit.expand(3, -1))
        unrolled = unroll(
            NETWORKS[picks],
            train,
            recipe,
            Training(10, 16),
            seeds=seeds.tolist(),
            held_out=held_out,
        )
        left = (unrolled.curves[:, -1] / unrolled.initial).double()
        # Others in the stack change how float32 sums are rounded.
        assert score.item() == pytest.approx((left + 1e-3).log().mean().item(), rel=1e-4)


def test_problems_count_alike_whatever_their_losses():
    values = Population.initialize(Architecture.mlp((4, 6, 1), output="values"), 3, random_state=0)
    parts = [Problem(values, Task(X, X[:, 1] - X[:, 2])), PROBLEMS[0]]
    units = torch.rand(2, 4, dtype=torch.float64, generator=torch.Generator())
    rng = np.random.default_rng(0)
    apart = [SEARCH._scores([part], units, rng, 2) for part in parts]
    together = SEARCH._scores(parts, units, np.random.default_rng(0), 2)
    torch.testing.assert_close(together, sum(apart) / 2)


@pytest.mark.parametrize("scale, wanted", [(0.0, math.log(1e-3)), (1e30, math.inf)])
def test_losses_of_nothing_and_of_infinity_are_no_nan(scale, wanted):
    linear = Population.initialize(Architecture.mlp((4, 1), output="values"), 2, random_state=0)
    records = linear.records()
    for record in records:
        for tensor in record.tensors.values():
            tensor.mul_(scale)
    problem = Problem(Population.from_records(records), Task(X, np.zeros(80)))
    units = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator())
    scores = SEARCH._scores([problem], units, np.random.default_rng(0), 2)
    assert scores.tolist() == pytest.approx([wanted] * 3, rel=1e-6)


def test_a_fifth_of_the_rows_is_held_out():
    train, held_out = split_rows(TASK, np.random.default_rng(0))
    assert (train.n_samples, held_out.n_samples) == (64, 16)
    both = np.concatenate([train.X, held_out.X])
    np.testing.assert_array_equal(both[both[:, 0].argsort()], X[X[:, 0].argsort()])
