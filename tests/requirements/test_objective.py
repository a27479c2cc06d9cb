"""The Jensen-Shannon divergence and the objective."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from skmeta.datasets import Cells, Task
from skmeta.requirements import (
    EqualizedOdds,
    Objective,
    jensen_shannon,
    kullback_leibler,
    resolve_requirement,
)


def random_logits(*shape, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_divergence_equals_scipy(n_classes):
    a, b = random_logits(2, 50, n_classes), random_logits(2, 50, n_classes, seed=1)
    expected = jensenshannon(a.softmax(-1), b.softmax(-1), axis=-1) ** 2
    np.testing.assert_allclose(jensen_shannon(a, b), expected, atol=1e-14)
    np.testing.assert_allclose(jensen_shannon(b, a), expected, atol=1e-14)


def test_divergence_from_a_teacher_equals_torch():
    taught, edited = random_logits(2, 50, 3), random_logits(2, 50, 3, seed=1)
    logs = [logits.log_softmax(-1) for logits in (edited, taught)]
    expected = torch.nn.functional.kl_div(*logs, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(kullback_leibler(taught, edited), expected)
    assert kullback_leibler(taught, taught).abs().max() < 1e-15
    sure = torch.tensor([[0.0, -torch.inf]])  # a probability of 0
    assert kullback_leibler(sure, torch.zeros(1, 2)).tolist() == pytest.approx([math.log(2)])


def test_divergence_is_bounded_by_log_2_and_finite_far_out():
    a = torch.tensor([[1e4, -1e4], [0.0, 0.0]], requires_grad=True)
    divergence = jensen_shannon(a, -a)
    assert divergence.tolist() == pytest.approx([math.log(2), 0.0])
    divergence.sum().backward()
    assert a.grad.isfinite().all()
    assert (jensen_shannon(random_logits(99, 3, scale=9), -random_logits(99, 3)) <= 0.6932).all()


def test_divergence_has_zero_gradient_at_equality():
    logits = random_logits(20, 3)
    edited = logits.clone().requires_grad_()
    jensen_shannon(logits, edited).sum().backward()
    assert jensen_shannon(logits, edited).max() < 1e-15
    assert edited.grad.abs().max() < 1e-15


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    y, s = rng.integers(2, size=300), rng.choice(2, 300, p=[0.3, 0.7])
    task = Task(rng.normal(size=(300, 1)), y, sensitive_features=s)
    return Cells.of(task), random_logits(3, 300, 2), random_logits(3, 300, 2, seed=1)


def test_objective_is_divergence_plus_lam_times_requirement(case):
    cells, original, edited = case
    objective, lam = Objective(EqualizedOdds()), torch.tensor([0.0, 0.1, 1.0])
    divergence = jensen_shannon(original, edited).mean(1)
    expected = divergence + lam * EqualizedOdds().measure(edited, cells)
    torch.testing.assert_close(objective.exact(original, edited, cells, lam), expected)
    torch.testing.assert_close(objective.loss(original, edited, cells, lam), expected)


def test_gradients_exist_for_the_loss_only(case):
    cells, original, edited = case
    edited.requires_grad_()
    objective, lam = Objective(EqualizedOdds()), torch.full((3,), 0.1)
    assert not objective.exact(original, edited, cells, lam).requires_grad
    (gradient,) = torch.autograd.grad(objective.loss(original, edited, cells, lam).sum(), edited)
    assert gradient.isfinite().all() and (gradient.abs().sum((1, 2)) > 0).all()


def test_resolve_requirement():
    requirement = EqualizedOdds(temperature=0.1)
    assert resolve_requirement(requirement, "X") is requirement
    assert isinstance(resolve_requirement("equalized_odds", "X"), EqualizedOdds)
    with pytest.raises(ValueError, match=r"of X must be .* Did you mean 'equalized_odds'\?"):
        resolve_requirement("equalised_odds", "X")
    for wrong, hint in ((EqualizedOdds, r" Pass an instance, EqualizedOdds\(\)\."), (3, "$")):
        with pytest.raises(
            TypeError, match=rf"must be one of 'equalized_odds', .* instead\.{hint}"
        ):
            resolve_requirement(wrong, "X")


def test_a_function_is_a_requirement(case):
    cells, original, _ = case
    seen = []

    def share_of_positives(probabilities, labels, groups):
        seen.append((labels, groups))
        return probabilities[..., 1].mean(1)

    requirement = resolve_requirement(share_of_positives, "X")
    expected = original.softmax(-1)[..., 1].mean(1)
    torch.testing.assert_close(requirement.measure(original, cells), expected)
    torch.testing.assert_close(requirement.directions(original, cells), expected[:, None])
    ((labels, groups), *_) = seen
    assert torch.equal(labels * 2 + groups, cells.codes)
    with pytest.raises(ValueError, match=r"of shape \(3,\), one value per network. Got \(\)"):
        resolve_requirement(lambda p, y, s: p.mean(), "X").measure(original, cells)


def test_without_a_requirement_the_objective_is_the_divergence(case):
    cells, original, edited = case
    objective, lam = Objective(None), torch.ones(3)
    expected = objective.divergence(original, edited, cells)
    torch.testing.assert_close(objective.loss(original, edited, cells, lam), expected)
    torch.testing.assert_close(objective.exact(original, edited, cells, lam), expected)
