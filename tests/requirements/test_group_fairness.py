"""Group fairness against fairlearn and against slow loops over the definitions."""

import numpy as np
import pytest
import torch
from fairlearn.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)

from skmeta.datasets import Cells, Task
from skmeta.requirements import DemographicParity, EqualizedOdds, EqualOpportunity

SHAPES = [(2, 2), (2, 4), (3, 2), (4, 3)]


def random_case(n_classes, n_groups, n_samples=400, seed=0):
    rng = np.random.default_rng(seed)
    # The first rows make sure that no cell is empty; unequal shares reveal wrong weights.
    y = np.concatenate([np.repeat(np.arange(n_classes), n_groups), np.zeros(n_samples, int)])
    s = np.concatenate([np.tile(np.arange(n_groups), n_classes), np.zeros(n_samples, int)])
    y[n_classes * n_groups :] = rng.choice(n_classes, n_samples, p=shares(n_classes))
    s[n_classes * n_groups :] = rng.choice(n_groups, n_samples, p=shares(n_groups))
    task = Task(rng.normal(size=(len(y), 2)), y, sensitive_features=s)
    logits = torch.from_numpy(rng.normal(size=(3, len(y), n_classes)))
    return task, logits + torch.from_numpy(np.eye(n_classes)[y])


def shares(n):
    return np.arange(1, n + 1) / np.arange(1, n + 1).sum()


def eq_9(labels, task):
    """The largest gap of any pair of groups in P(k | y = k) or P(k | y != k)."""
    gaps = []
    for k in range(task.n_classes):
        for of_class in (True, False):
            rates = []
            for group in range(task.n_groups):
                rows = (task.sensitive == group) & ((task.y == k) == of_class)
                rates.append(np.mean(labels[rows] == k))
            gaps += [abs(a - b) for a in rates for b in rates]
    return max(gaps)


@pytest.mark.parametrize("n_groups", [2, 3, 5])
@pytest.mark.parametrize(
    "requirement, metric",
    [
        (EqualizedOdds(), equalized_odds_difference),
        (DemographicParity(), demographic_parity_difference),
        (EqualOpportunity(), equal_opportunity_difference),
    ],
    ids=["equalized_odds", "demographic_parity", "equal_opportunity"],
)
def test_equals_fairlearn_for_two_classes(requirement, metric, n_groups):
    task, logits = random_case(2, n_groups)
    cells = Cells.of(task)
    expected = [
        metric(task.y, labels, sensitive_features=task.sensitive)
        for labels in logits.argmax(-1).numpy()
    ]
    np.testing.assert_allclose(requirement.measure(logits, cells), expected, atol=1e-12)
    np.testing.assert_allclose(requirement.violation(logits, cells), expected, atol=1e-12)


@pytest.mark.parametrize("n_classes, n_groups", SHAPES)
def test_parity_and_opportunity_equal_their_definitions(n_classes, n_groups):
    task, logits = random_case(n_classes, n_groups)
    for labels, parity, opportunity in zip(
        logits.argmax(-1).numpy(),
        DemographicParity().measure(logits, Cells.of(task)),
        EqualOpportunity().measure(logits, Cells.of(task)),
        strict=True,
    ):
        in_group = [task.sensitive == g for g in range(n_groups)]
        rates = [[np.mean(labels[rows] == k) for rows in in_group] for k in range(n_classes)]
        true = [
            [np.mean(labels[rows & (task.y == k)] == k) for rows in in_group]
            for k in range(n_classes)
        ]
        np.testing.assert_allclose(parity, np.ptp(rates, axis=1).max(), atol=1e-12)
        gaps = np.ptp(true, axis=1)
        np.testing.assert_allclose(opportunity, gaps[1] if n_classes == 2 else gaps.max())


@pytest.mark.parametrize("kind", [DemographicParity, EqualOpportunity])
def test_gradients_of_all_kinds(kind):
    task, logits = random_case(3, 2, n_samples=20)
    cells, logits = Cells.of(task), logits[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kind().measure_soft(x, cells), logits)
    assert torch.autograd.gradcheck(lambda x: kind().directions(x, cells), logits)
    (gradient,) = torch.autograd.grad(kind().violation(logits, cells).sum(), logits)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("n_classes, n_groups", SHAPES)
def test_equals_the_definition(n_classes, n_groups):
    task, logits = random_case(n_classes, n_groups)
    expected = [eq_9(labels, task) for labels in logits.argmax(-1).numpy()]
    cells = Cells.of(task)
    np.testing.assert_allclose(EqualizedOdds().measure(logits, cells), expected, atol=1e-12)
    np.testing.assert_allclose(EqualizedOdds().violation(logits, cells), expected, atol=1e-12)


@pytest.mark.parametrize("n_classes, n_groups", SHAPES)
def test_gradient_is_that_of_the_soft_rates_in_the_widest_gap(n_classes, n_groups):
    task, logits = random_case(n_classes, n_groups)
    cells, requirement = Cells.of(task), EqualizedOdds(temperature=0.3)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(requirement.violation(logits, cells).sum(), logits)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0

    # Which gap is widest is decided by the hard predictions, its slope by the soft ones.
    soft = (logits / 0.3).softmax(-1)
    objective = logits.new_zeros(())
    for network in range(len(logits)):
        labels, widest = logits[network].argmax(-1).numpy(), (-1.0, None)
        for k in range(n_classes):
            for of_class in (True, False):
                rows = [
                    (task.sensitive == g) & ((task.y == k) == of_class) for g in range(n_groups)
                ]
                rates = [np.mean(labels[r] == k) for r in rows]
                gap = max(rates) - min(rates)
                if gap > widest[0]:
                    ends = rows[int(np.argmax(rates))], rows[int(np.argmin(rates))]
                    widest = (gap, (k, *ends))
        k, high, low = widest[1]
        p = soft[network, :, k]
        objective = objective + p[torch.from_numpy(high)].mean() - p[torch.from_numpy(low)].mean()
    (expected,) = torch.autograd.grad(objective, logits)
    torch.testing.assert_close(gradient, expected)


def test_soft_violation_against_finite_differences():
    task, logits = random_case(3, 2, n_samples=20)
    cells = Cells.of(task)
    logits = logits[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: EqualizedOdds().measure_soft(x, cells), logits)
    assert torch.autograd.gradcheck(lambda x: EqualizedOdds().directions(x, cells), logits)


def test_stratified_rows_estimate_the_measure_of_the_task():
    task, logits = random_case(3, 2, n_samples=6000)
    # A wide gap: where there is none, noise makes the largest of all differences.
    logits[..., 1] += 2 * task.tensors()[2]
    cells = Cells.of(task)
    requirement, whole = EqualizedOdds(), EqualizedOdds().measure_soft(logits, cells)
    estimates = []
    for seed in range(30):
        rows = torch.as_tensor(task.stratified_sample(150, seed))
        estimates.append(requirement.measure_soft(logits[:, rows], cells.take(rows)))
    np.testing.assert_allclose(torch.stack(estimates).mean(0), whole, atol=0.01)


def test_thresholds():
    task, logits = random_case(2, 3)
    cells, requirement = Cells.of(task), EqualizedOdds()
    scores = logits.softmax(-1)[..., 1].numpy()
    expected = np.mean(
        [
            [
                equalized_odds_difference(task.y, row > t, sensitive_features=task.sensitive)
                for row in scores
            ]
            for t in (0.3, 0.4, 0.5, 0.6, 0.7)
        ],
        axis=0,
    )
    measured = requirement.measure_over_thresholds(logits, cells)
    np.testing.assert_allclose(measured, expected, atol=1e-12)
    requirement = EqualizedOdds(thresholds=(0.3, 0.4, 0.5, 0.6, 0.7))
    np.testing.assert_allclose(requirement.measure(logits, cells), expected, atol=1e-12)
    np.testing.assert_allclose(requirement.violation(logits, cells), expected, atol=1e-12)


@pytest.mark.parametrize("kind", [EqualizedOdds, DemographicParity, EqualOpportunity])
def test_gradients_are_averaged_over_thresholds(kind):
    task, logits = random_case(2, 3)
    cells = Cells.of(task)

    def gradient(thresholds, function):
        x = logits.clone().requires_grad_()
        getattr(kind(thresholds=thresholds), function)(x, cells).sum().backward()
        return x.grad

    for function in ("violation", "directions"):
        apart = [gradient((t,), function) for t in (0.2, 0.6)]
        assert not torch.allclose(*apart)
        torch.testing.assert_close(gradient((0.2, 0.6), function), (apart[0] + apart[1]) / 2)


def test_what_does_not_fit_is_refused():
    task, logits = random_case(3, 2)
    with pytest.raises(ValueError, match="two classes only. Got logits of 3 classes"):
        EqualizedOdds().measure_over_thresholds(logits, Cells.of(task))
    with pytest.raises(ValueError, match="3 classes and the threshold 0.4"):
        EqualizedOdds(thresholds=(0.5, 0.4)).violation(logits, Cells.of(task))
    for thresholds in ((), (0.5, 1.0)):
        with pytest.raises(ValueError, match="'thresholds' parameter of EqualizedOdds"):
            EqualizedOdds(thresholds=thresholds).measure(logits, Cells.of(task))
    with pytest.raises(ValueError, match="Got 2 outputs for 3 labels"):
        EqualizedOdds().measure(logits[..., :2], Cells.of(task))
