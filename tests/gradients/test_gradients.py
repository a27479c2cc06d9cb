"""Factored gradients and natural gradients equal slow references in float64."""

from dataclasses import replace

import pytest
import torch

from skmeta.gradients import KroneckerFisher, Recording
from skmeta.networks import Architecture, Skip
from skmeta.population import Population, forward
from tests.population.cases import ARCHITECTURES, NAMES, trained_looking

ROWS = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.full((40,), 1 / 40, dtype=torch.float64)


def stack_of(architecture, n=2):
    records = [trained_looking(architecture, seed) for seed in range(n)]
    ((_, stack),) = Population.from_records(records).to(dtype=torch.float64).blocks
    return stack


def value(logits):
    return (logits.softmax(-1)[..., 1] * ROWS[:, 0]).mean(1)


def cotangent_of(logits):
    logits = logits.clone().requires_grad_()
    (cotangent,) = torch.autograd.grad(value(logits).sum(), logits)
    return cotangent


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_gradient_equals_autograd(architecture, n_classes):
    if n_classes == 3:
        *hidden, last = architecture.stages
        stages = (*hidden, last.without(Skip).with_width(3))
        architecture = replace(architecture, stages=stages)
    stack = stack_of(architecture)
    with torch.no_grad():
        recording = Recording(stack, ROWS)
        gradient = recording.pull_back(cotangent_of_no_grad(recording.logits)).gradient()
    leaves = stack.weights.map(lambda t: t.clone().requires_grad_())
    total = value(forward(stack, ROWS, leaves)).sum()
    (slow,) = torch.autograd.grad(total, leaves.flat)
    expected = slow * stack.present().flat
    torch.testing.assert_close(gradient.flat, expected, rtol=0, atol=1e-12)


def cotangent_of_no_grad(logits):
    with torch.enable_grad():
        return cotangent_of(logits)


def one_layer_fisher(stack, index):
    """Kronecker factors of one layer of one network, row by row."""
    recording = Recording(stack, ROWS)
    p = recording.logits.softmax(-1)
    inputs = torch.cat([recording.states[index], torch.ones(1, len(ROWS), 1)], -1)[0]
    A = sum(torch.outer(h, h) for h in inputs.double()) / len(ROWS)
    G = 0
    for k in range(p.shape[-1]):
        # Exact expectation over the label: gradient of log p(k), weighted by p(k).
        deltas = recording.pull_back(torch.eye(p.shape[-1]).double()[k] - p)
        for b, delta in enumerate(deltas.outer[index].delta[0]):
            G = G + p[0, b, k] * torch.outer(delta, delta) / len(ROWS)
    return A, G


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_natural_gradient_equals_dense_solve(architecture):
    damping = 0.3
    stack = stack_of(architecture, n=1)
    recording = Recording(stack, ROWS)
    gradient = recording.pull_back(cotangent_of(recording.logits)).gradient()
    natural = KroneckerFisher(recording, WEIGHTS, damping).solve([gradient, gradient])[1]
    for index in range(stack.depth):
        A, G = one_layer_fisher(stack, index)
        A, G = (
            m + damping * m.diagonal().mean() * torch.eye(len(m), dtype=torch.float64)
            for m in (A, G)
        )
        weight, bias = f"{index}.weight", f"{index}.bias"
        own = gradient.get(bias)
        column = torch.zeros_like(gradient[weight][0][:, :1]) if own is None else own[0][:, None]
        both = torch.cat([gradient[weight][0], column], -1)
        expected = torch.linalg.solve(G, both) @ torch.linalg.inv(A)
        got = natural[weight][0]
        torch.testing.assert_close(got, expected[:, :-1], rtol=1e-8, atol=1e-10)
        if own is not None:
            wanted = expected[:, -1] * stack.present()[bias][0]
            torch.testing.assert_close(natural[bias][0], wanted, rtol=1e-8, atol=1e-10)


def test_three_classes():
    stack = stack_of(Architecture.mlp((5, 6, 3)), n=1)
    recording = Recording(stack, ROWS)
    A, G = one_layer_fisher(stack, 0)
    fisher = KroneckerFisher(recording, WEIGHTS, 0.3)
    expected = G + 0.3 * G.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    factor = fisher.outputs[0][0]
    torch.testing.assert_close(factor @ factor.T, expected, rtol=1e-8, atol=1e-10)
