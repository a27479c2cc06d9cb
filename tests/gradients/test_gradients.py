"""Factored gradients and natural gradients equal slow references in float64."""

import pytest
import torch

from skmeta.gradients import KroneckerFisher, Recording
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


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_gradient_equals_autograd(architecture):
    stack = stack_of(architecture)
    recording = Recording(stack, ROWS)
    gradient, _ = recording.gradient(value(recording.logits))
    leaves = stack.params.map(lambda t: t.clone().requires_grad_())
    total = value(forward(stack, ROWS, leaves)).sum()
    slow = torch.autograd.grad(total, leaves.tensors(), allow_unused=True, materialize_grads=True)
    masks = stack.trainable().tensors()
    for fast, expected, mask in zip(gradient.tensors(), slow, masks, strict=True):
        torch.testing.assert_close(fast, expected * mask, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grad_enabled", [True, False])
def test_recording_works_inside_no_grad(grad_enabled):
    stack = stack_of(ARCHITECTURES[1])
    with torch.set_grad_enabled(grad_enabled):
        recording = Recording(stack, ROWS)
        with torch.enable_grad():
            values = value(recording.logits)
        gradient, _ = recording.gradient(values)
    assert gradient.weight[0].any()


def one_layer_fisher(stack, index):
    """Kronecker factors of one layer of one network, row by row."""
    recording = Recording(stack, ROWS)
    p = recording.logits.detach().softmax(-1)
    inputs = torch.cat([recording.states[index], torch.ones(1, len(ROWS), 1)], -1)[0]
    A = sum(torch.outer(h, h) for h in inputs.double()) / len(ROWS)
    G = 0
    for k in range(p.shape[-1]):
        # Exact expectation over the label: gradient of log p(k), weighted by p(k).
        recording = Recording(stack, ROWS)
        with torch.enable_grad():
            log_p = recording.logits.log_softmax(-1)[..., k].sum(1)
        _, deltas = recording.gradient(log_p)
        for b, delta in enumerate(deltas[index][0]):
            G = G + p[0, b, k] * torch.outer(delta, delta) / len(ROWS)
    return A, G


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_natural_gradient_equals_dense_solve(architecture):
    damping = 0.3
    stack = stack_of(architecture, n=1)
    recording = Recording(stack, ROWS)
    with torch.enable_grad():
        values = value(recording.logits)
    gradient, _ = recording.gradient(values)
    natural = KroneckerFisher(recording, WEIGHTS, damping).solve(gradient)
    for index in range(stack.depth):
        A, G = one_layer_fisher(stack, index)
        A, G = (
            m + damping * m.diagonal().mean() * torch.eye(len(m), dtype=torch.float64)
            for m in (A, G)
        )
        both = torch.cat([gradient.weight[index][0], gradient.bias[index][0][:, None]], -1)
        expected = torch.linalg.solve(G, both) @ torch.linalg.inv(A)
        bias = expected[:, -1] * stack.trainable().bias[index][0]
        torch.testing.assert_close(natural.weight[index][0], expected[:, :-1], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(natural.bias[index][0], bias, rtol=1e-8, atol=1e-10)


def test_three_classes():
    from skmeta.population import Architecture

    stack = stack_of(Architecture.mlp((5, 6, 3)), n=1)
    recording = Recording(stack, ROWS)
    A, G = one_layer_fisher(stack, 0)
    fisher = KroneckerFisher(recording, WEIGHTS, 0.3)
    expected = G + 0.3 * G.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    factor = fisher.outputs[0][0]
    torch.testing.assert_close(factor @ factor.T, expected, rtol=1e-8, atol=1e-10)
