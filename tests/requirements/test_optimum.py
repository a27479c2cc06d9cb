"""The blind optimum against a linear program, and the teacher that learns what it needs."""

import pickle

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from sklearn.base import clone

from skmeta.datasets import Cells, Task, make_biased_classification, split_tasks, stratified_folds
from skmeta.requirements import (
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    FairTeacher,
    Joint,
    solve_fair_optimum,
)
from skmeta.requirements.rates import hard_predictions

REQUIREMENTS = [EqualizedOdds(), EqualOpportunity(), DemographicParity()]
SHAPES = [(2, 2), (2, 3), (3, 2), (3, 4)]


def joint_of(n_classes, n_groups, n_samples=60, seed=0):
    rng = np.random.default_rng(seed)
    together = np.arange(n_classes)[:, None] % n_groups == np.arange(n_groups)
    shares = rng.dirichlet((0.2 + 2 * together).ravel(), n_samples)  # the label tells the group
    return shares.reshape(n_samples, n_classes, n_groups)


def rates_by_loops(decisions, joint, requirement):
    """``P(decision = k | labels, group)`` as the joint sees it, ``(n_rates, n_groups)``."""
    n_classes, n_groups = joint.shape[1:]
    rates = []
    for k in range(n_classes):
        others = [y for y in range(n_classes) if y != k]
        events = {
            EqualizedOdds: [[k], others],
            EqualOpportunity: [[k]] if n_classes > 2 or k == 1 else [],
            DemographicParity: [list(range(n_classes))],
        }[type(requirement)]
        for labels in events:
            weights = sum(joint[:, y] for y in labels)
            rates.append(
                [np.average(decisions[:, k], weights=weights[:, s]) for s in range(n_groups)]
            )
    return np.array(rates)


def by_linear_program(joint, requirement, tolerance, costs):
    """The largest worth of any decisions within the tolerance."""
    n_samples, n_classes, n_groups = joint.shape
    worth = (costs * joint.sum(2) / n_samples).ravel()
    unit = np.eye(n_samples * n_classes).reshape(-1, n_samples, n_classes)
    rates = np.stack([rates_by_loops(d, joint, requirement).ravel() for d in unit], 1)
    rates = rates.reshape(-1, n_groups, n_samples * n_classes)
    excess = (rates - rates.mean(1, keepdims=True)).reshape(-1, n_samples * n_classes)
    solved = linprog(
        -worth,
        A_ub=np.concatenate([excess, -excess]),
        b_ub=np.full(2 * len(excess), tolerance / 2),
        A_eq=np.kron(np.eye(n_samples), np.ones(n_classes)),
        b_eq=np.ones(n_samples),
        bounds=(0, 1),
    )
    return -solved.fun


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tolerance", [0.0, 0.03])
def test_the_optimum_is_that_of_a_linear_program(requirement, shape, tolerance):
    joint = joint_of(*shape)
    costs = np.linspace(1, 2, shape[0])
    temperature = 1e-3
    optimum = solve_fair_optimum(
        joint, requirement, tolerance=tolerance, costs=costs, temperature=temperature
    )
    decisions = optimum.predict_proba(joint)
    rates = rates_by_loops(decisions, joint, requirement)
    assert np.ptp(rates, axis=1).max() <= tolerance + 5e-3
    best = by_linear_program(joint, requirement, tolerance, costs)
    worth = (decisions * costs * joint.sum(2)).sum(1).mean()
    # Entropy is worth at most its weight times the logarithm of the number of classes.
    assert best - 2e-3 <= worth <= best + 5e-3
    free = np.eye(shape[0])[(costs * joint.sum(2)).argmax(1)]
    assert np.ptp(rates_by_loops(free, joint, requirement), axis=1).max() > tolerance + 0.02


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: type(r).__name__)
def test_with_all_tolerance_it_decides_for_the_class_with_the_largest_worth(requirement):
    joint, costs = joint_of(3, 2), np.array([1.0, 2.0, 3.0])
    optimum = solve_fair_optimum(joint, requirement, tolerance=1.0, costs=costs)
    assert not optimum.charges.any()
    np.testing.assert_allclose(optimum.scores(joint), costs * joint.sum(2))


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_rates_compared_are_those_that_the_measure_looks_at(requirement, shape):
    rng = np.random.default_rng(0)
    y, s = (codes.ravel() for codes in np.indices(shape).repeat(20, 1))
    task = Task(rng.normal(size=(len(y), 1)), y, sensitive_features=s)
    logits = torch.from_numpy(rng.normal(size=(1, len(y), shape[0])))
    one_hot = hard_predictions(logits)[0].numpy()
    joint = np.zeros((len(y), *shape))
    joint[np.arange(len(y)), y, s] = 1  # label and group are known: predicted rates are rates
    gaps = [
        np.ptp([one_hot[np.isin(y, labels) & (s == group), k].mean() for group in range(shape[1])])
        for k, labels in requirement.compared_rates(shape[0])
    ]
    assert max(gaps) == pytest.approx(requirement.measure(logits, Cells.of(task)).item())
    expected = rates_by_loops(one_hot, joint, requirement)
    assert max(gaps) == pytest.approx(np.ptp(expected, axis=1).max())


# -- FairTeacher -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tasks():
    bunch = make_biased_classification(4000, gap=0.3, random_state=0)
    return split_tasks(bunch, "group", drop_sensitive=True)


def gap_and_balance(proba, task):
    logits = torch.from_numpy(proba)[None].log()
    gap = EqualizedOdds().measure(logits, Cells.of(task)).item()
    hits = proba.argmax(1) == task.y
    return gap, np.mean([hits[task.y == k].mean() for k in range(task.n_classes)])


def test_decisions_hold_on_new_rows_and_costs_trade_one_class_for_the_other(tasks):
    train, _, test = tasks
    teacher = FairTeacher(tolerance=0.01, random_state=0).fit(train)
    free, fair = (teacher.solve(tolerance, 0.0) for tolerance in (1.0, 0.01))
    before, after = (gap_and_balance(teacher.predict_proba(test, o), test)[0] for o in (free, fair))
    assert before > 0.15 and after < 0.5 * before
    recalls = [
        teacher.predict_proba(test, teacher.solve(0.01, power))[test.y == 1].argmax(1).mean()
        for power in (0.0, 0.5, 1.0)
    ]
    assert recalls[0] + 0.03 < recalls[1] < recalls[2] - 0.03
    np.testing.assert_array_equal(teacher.soft_labels(), teacher.soft_labels(teacher.optimum_))


def test_the_rows_of_fit_are_predicted_by_trees_that_have_not_seen_them(tasks):
    task = tasks[0]
    teacher = FairTeacher(random_state=0).fit(task)
    seen = np.log(np.mean([teacher._joint(m, task.X) for m in teacher.models_], 0))
    own = np.arange(task.n_samples), task.y, task.sensitive
    assert np.log(teacher.joint_)[own].mean() < seen[own].mean() - 0.1
    np.testing.assert_allclose(teacher.joint_.sum((1, 2)), 1)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: type(r).__name__)
def test_three_classes_and_groups_a_rare_cell_and_reproducible(requirement):
    rng = np.random.default_rng(0)
    X, y, s = rng.normal(size=(300, 3)), rng.integers(3, size=300), rng.integers(3, size=300)
    rare = (y == 2) & (s == 2)
    keep = ~rare | (np.cumsum(rare) <= 1)  # one row only: two of the folds have not seen the cell
    task = Task(X[keep], y[keep], sensitive_features=s[keep])
    first, second = (
        pickle.loads(pickle.dumps(clone(FairTeacher(requirement, random_state=3)).fit(task)))
        for _ in range(2)
    )
    assert np.array_equal(first.soft_labels(), second.soft_labels())
    assert np.isfinite(first.soft_labels()).all()
    assert not np.array_equal(
        first.soft_labels(), FairTeacher(requirement, random_state=4).fit(task).soft_labels()
    )


def test_parity_lets_a_group_lack_a_label_and_odds_do_not():
    rng = np.random.default_rng(0)
    y, s = np.arange(90) % 2, np.arange(90) % 3
    y[s == 2] = 0
    task = Task(rng.normal(size=(90, 2)), y, sensitive_features=s)
    assert FairTeacher("demographic_parity", random_state=0).fit(task).joint_.shape == (90, 2, 3)
    with pytest.raises(ValueError, match="EqualizedOdds needs .* label '1' in group '2'"):
        FairTeacher(random_state=0).fit(task)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"requirement": "pruning"}, "'requirement' parameter of FairTeacher must compare rates"),
        ({"requirement": Joint(REQUIREMENTS[:2], [1.0, 1.0])}, "must compare rates"),
        ({"tolerance": -0.1}, "'tolerance' parameter"),
        ({"cost_power": -1}, "'cost_power' parameter of FairTeacher"),
        ({"temperature": 0}, "'temperature' parameter"),
        ({"n_folds": 1}, "'n_folds' parameter of FairTeacher"),
        ({"max_iter": 0}, "'max_iter' parameter of FairTeacher"),
    ],
)
def test_bad_parameters(params, message, tasks):
    with pytest.raises(ValueError, match=message):
        FairTeacher(**params).fit(tasks[0])


def test_it_needs_groups(tasks):
    task = Task(tasks[0].X, tasks[0].y)
    with pytest.raises(ValueError, match="'task' parameter of FairTeacher must have sensitive"):
        FairTeacher().fit(task)


# -- stratified_folds --------------------------------------------------------------------


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_folds_have_their_share_of_every_cell(n_folds):
    cells = np.repeat([0, 1, 2, 3], [100, 37, 2, 1])
    cells = np.random.default_rng(0).permutation(cells)
    folds = stratified_folds(cells, n_folds, 0)
    counts = np.stack([np.bincount(folds[cells == c], minlength=n_folds) for c in range(4)])
    assert (np.ptp(counts, axis=1) <= 1).all() and np.ptp(counts.sum(0)) <= 1
    assert np.array_equal(folds, stratified_folds(cells, n_folds, 0))
    assert not np.array_equal(folds, stratified_folds(cells, n_folds, 1))
