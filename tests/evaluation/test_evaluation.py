"""Measures, intervals, fronts and comparisons."""

import numpy as np
import pandas as pd
import pytest
import torch

from skmeta.baselines import FineTune, GroupShift, Nothing
from skmeta.datasets import Cells, Task
from skmeta.editing import bootstrap_interval, measure_edits, network_intervals, paired_interval
from skmeta.evaluation import compare, pareto_front
from skmeta.population import run_networks
from skmeta.requirements import EqualizedOdds, Requirement, jensen_shannon


@pytest.fixture(scope="module")
def logits(zoo, tasks):
    _, reference, test = tasks
    shift = GroupShift(random_state=0).fit(zoo, task=reference)
    return run_networks(zoo, test), shift.predict_logits(zoo, test)


def test_measures(logits, tasks):
    before, after = logits
    test, cells, requirement = tasks[2], Cells.of(tasks[2]), EqualizedOdds()
    frame = measure_edits(before, after, test)
    expected = {
        "divergence": jensen_shannon(before, after).mean(1),
        "measure": requirement.measure(after, cells),
        "measure_over_thresholds": requirement.measure_over_thresholds(after, cells),
        "measure_soft": requirement.measure_soft(after, cells),
        "accuracy": (after.argmax(-1) == torch.as_tensor(test.y)).float().mean(1),
        "measure_change": requirement.measure(after, cells) - requirement.measure(before, cells),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(frame[name], values, atol=1e-6)
    unedited = measure_edits(before, before, test)
    assert (unedited.filter(like="_change") == 0).all(axis=None)
    np.testing.assert_allclose(unedited["divergence"], 0, atol=1e-6)


def test_measures_of_a_requirement_without_thresholds(logits, tasks):
    class Positives(Requirement):
        def violation(self, logits, cells):
            return logits.softmax(-1)[..., 1].mean(1)

        measure = directions = violation

    frame = measure_edits(*logits, tasks[2], Positives())
    assert {"measure", "accuracy_change"} <= set(frame) and "measure_soft" not in frame
    with pytest.raises(TypeError, match="'requirement' of network_intervals must be a function"):
        network_intervals(*logits, tasks[2], Positives())


def test_wrong_shapes_are_refused(logits, tasks):
    before, after = logits
    with pytest.raises(
        ValueError, match="'edited' of measure_edits must be networks or have shape"
    ):
        measure_edits(before, after[:, 1:], tasks[2])


def test_a_task_without_groups_has_no_gap_to_measure(zoo, logits, tasks):
    blind = Task(tasks[2].X, tasks[2].y)
    for name, call in {
        "measure_edits": lambda: measure_edits(*logits, blind),
        "network_intervals": lambda: network_intervals(*logits, blind),
        "compare": lambda: compare({"nothing": Nothing().fit(zoo)}, zoo, blind),
    }.items():
        with pytest.raises(ValueError, match=f"'task' parameter of {name} must have sensitive"):
            call()

    class Blind(EqualizedOdds):
        needs_sensitive = False

    assert (measure_edits(*logits, blind, Blind())["measure"] == 0).all()


def test_interval_of_a_mean_has_the_normal_width():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    mean, low, high = bootstrap_interval(values, 4000, random_state=0)
    half = 1.96 * values.std() / np.sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert [mean - low, high - mean] == pytest.approx([half, half], rel=0.08)
    narrow = bootstrap_interval(values, 4000, random_state=0, level=0.5)
    assert narrow.high - narrow.low < 0.5 * (high - low)


def test_copies_within_a_group_add_no_certainty():
    values = np.random.default_rng(0).normal(size=60)
    once = bootstrap_interval(values, random_state=0)
    thrice = np.repeat(values, 3)
    grouped = bootstrap_interval(thrice, random_state=0, groups=np.repeat(np.arange(60), 3))
    assert grouped == pytest.approx(once)
    naive = bootstrap_interval(thrice, random_state=0)
    assert naive.high - naive.low < 0.7 * (once.high - once.low)


def test_pairing_removes_what_the_networks_share():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, size=50)
    a, b = shared + 0.5 + rng.normal(0, 0.1, 50), shared
    difference = paired_interval(a, b, random_state=0)
    assert 0.4 < difference.low < difference.mean < difference.high < 0.6
    assert bootstrap_interval(a, random_state=0).low < bootstrap_interval(b, random_state=0).high
    with pytest.raises(ValueError, match="same networks. Got shapes"):
        paired_interval(a, b[1:])


@pytest.mark.parametrize("values", [[], [[1.0]]])
def test_bad_values_are_refused(values):
    with pytest.raises(ValueError, match="1-D and not empty"):
        bootstrap_interval(values)


@pytest.mark.parametrize("thresholds", [(0.5,), (0.2, 0.35)], ids=["labels", "thresholds"])
def test_network_intervals_equal_a_loop_over_resampled_rows(logits, tasks, thresholds):
    before, after = (x[:2] for x in logits)
    test, requirement, n = tasks[2], EqualizedOdds(thresholds=thresholds), 600
    frame = network_intervals(before, after, test, requirement, n_bootstrap=n, random_state=0)
    cells, rng, codes = Cells.of(test), np.random.default_rng(1), test.cells()
    members = [np.flatnonzero(codes == c) for c in range(4)]
    slow = {"divergence": [], "measure": [], "measure_change": [], "accuracy": []}
    for _ in range(n):
        rows = torch.from_numpy(np.concatenate([rng.choice(m, len(m)) for m in members]))
        part = cells.take(rows)
        a, b = (requirement.measure(x[:, rows], part) for x in (before, after))
        slow["divergence"].append(jensen_shannon(before[:, rows], after[:, rows]).mean(1))
        slow["measure"].append(b)
        slow["measure_change"].append(b - a)
        right = after[:, rows].argmax(-1) == torch.as_tensor(test.y)[rows]
        slow["accuracy"].append(right.float().mean(1))
    for name, values in slow.items():
        low, high = np.quantile(torch.stack(values), [0.025, 0.975], axis=0)
        width = (high - low).max()
        np.testing.assert_allclose(frame[f"{name}_low"], low, atol=0.25 * width)
        np.testing.assert_allclose(frame[f"{name}_high"], high, atol=0.25 * width)


def test_front():
    points = np.array([[0, 3], [1, 1], [1, 1], [2, 2], [3, 0], [3, 1], [np.nan, 0]])
    assert pareto_front(points).tolist() == [True, True, True, False, True, False, False]
    cloud = np.random.default_rng(0).random((60, 3))
    beaten = [any((q <= p).all() and (q < p).any() for q in cloud) for p in cloud]
    np.testing.assert_array_equal(pareto_front(cloud), ~np.array(beaten))
    with pytest.raises(ValueError, match="shape"):
        pareto_front([1.0, 2.0])


def test_compare(zoo, tasks, logits):
    _, reference, test = tasks
    methods = {
        "nothing": Nothing().fit(zoo),
        "tune": FineTune(n_steps=10, random_state=0).fit(zoo, task=reference),
        "shift": GroupShift(random_state=0).fit(zoo, task=reference),
        "function": lambda networks, task: run_networks(networks, task),
        "logits": logits[1],
    }
    table = compare(methods, zoo, test, lam=0.1, n_bootstrap=200)
    assert table.index.tolist() == list(methods)
    frame = measure_edits(*logits, test)
    assert table.loc["shift", "measure"] == pytest.approx(frame["measure"].mean())
    expected = (frame["divergence"] + 0.1 * frame["measure"]).mean()
    assert table.loc["shift", "objective"] == pytest.approx(expected)
    assert table.loc["shift"].drop("seconds").equals(table.loc["logits"].drop("seconds"))
    assert table.loc["nothing", "objective_change"] == pytest.approx(0, abs=1e-7)
    assert table.loc["tune", "objective_change_high"] < 0 and table.loc["tune", "improved"] > 0.5
    assert np.isnan(table.loc["logits", "seconds"]) and table.loc["tune", "seconds"] > 0
    low, high = table["objective_low"], table["objective_high"]
    assert ((low <= table["objective"]) & (table["objective"] <= high)).all()
    with pytest.raises(TypeError, match="Got int for 'x'"):
        compare({"x": 1}, zoo, test)


def test_compare_draws_runs_together(zoo, tasks):
    _, reference, test = tasks
    shift = {"shift": GroupShift(random_state=0).fit(zoo, task=reference)}
    whole = compare(shift, zoo, test, n_bootstrap=200)
    assert "run" in zoo.metadata
    double = type(zoo).concatenate([zoo, zoo])
    pd.testing.assert_frame_equal(
        compare(shift, double, test, n_bootstrap=200).drop(columns="seconds"),
        whole.drop(columns="seconds"),
        rtol=1e-4,
        atol=1e-7,
    )
