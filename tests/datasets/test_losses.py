"""Losses of tasks against torch's, one network after the other."""

import pytest
import torch

from skmeta.datasets import CrossEntropy, SquaredError, Task
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.training import ShuffledRows, StackTrainer, train_stack

GENERATOR = torch.Generator().manual_seed(1)
TARGETS = torch.randn(3, 30, 4, dtype=torch.float64, generator=GENERATOR)


def test_cross_entropy_equals_torch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (30,), generator=generator)
    logits = 50 * torch.randn(3, 9, 4, dtype=torch.float64, generator=generator)
    logits.requires_grad_()
    rows = torch.randint(30, (3, 9), generator=generator)
    losses, gradient = CrossEntropy(labels).with_gradient(logits.detach(), rows)
    weights = torch.tensor([1.0, -2.0, 0.5])
    ours = CrossEntropy(labels)(logits, rows)
    theirs = torch.stack(
        [torch.nn.functional.cross_entropy(z, labels[r]) for z, r in zip(logits, rows, strict=True)]
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(losses, ours.detach())
    (expected,) = torch.autograd.grad(theirs.sum(), logits, retain_graph=True)
    torch.testing.assert_close(gradient, expected)
    (g,), (expected,) = (torch.autograd.grad(v @ weights.double(), logits) for v in (ours, theirs))
    torch.testing.assert_close(g, expected)


@pytest.mark.parametrize(
    "targets", [TARGETS, TARGETS[0], TARGETS[0, :, 0]], ids="own shared one".split()
)
def test_squared_error_equals_torch(targets):
    width = 4 if targets.ndim > 1 else 1
    outputs = torch.randn(3, 9, width, dtype=torch.float64, generator=GENERATOR)
    rows = torch.randint(30, (3, 9), generator=GENERATOR)
    losses, gradient = SquaredError(targets).with_gradient(outputs, rows)
    ours = SquaredError(targets)(outputs.requires_grad_(), rows)
    own = targets if targets.ndim == 3 else [targets.view(30, -1)] * 3
    theirs = torch.stack(
        [
            torch.nn.functional.mse_loss(*x)
            for x in zip(outputs, (t[r] for t, r in zip(own, rows, strict=True)), strict=True)
        ]
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(losses, theirs.detach())
    (expected,) = torch.autograd.grad(theirs.sum(), outputs)
    torch.testing.assert_close(gradient, expected)


def test_a_task_makes_its_loss():
    X = torch.randn(60, 3, generator=GENERATOR).numpy()
    assert isinstance(Task(X, X[:, 0] > 0).loss(), CrossEntropy)
    task = Task(X, X[:, 0] + X[:, 1])
    ((_, stack),) = Population.initialize(Architecture.mlp((3, 8, 1)), 2, random_state=0).blocks
    settings = {"lr": torch.full((2,), 0.05), "weight_decay": torch.zeros(2), "seeds": [0, 1]}
    result = train_stack(
        StackTrainer(stack, **settings),
        task.tensors()[0],
        task.loss(),
        ShuffledRows(60, 20),
        n_epochs=20,
    )
    assert (result.train_loss[-1] < 0.2 * result.train_loss[0]).all()
