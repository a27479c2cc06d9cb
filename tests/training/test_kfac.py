"""Steps of K-FAC against dense curvature, network by network, in float64."""

import pytest
import torch
from torch import nn

from skmeta.datasets import CrossEntropy
from skmeta.networks import Architecture, to_module
from skmeta.networks.modules import tensor_names
from skmeta.training import Kfac, Matrix, Moments, Schedule, StackTrainer, kfac
from tests.population.cases import CASES, trained_looking
from tests.training.test_against_torch import BATCH, X, Y, batches, stack_of, without_dropout

N_STEPS = 10
WIDE = "wide", Architecture.mlp((5, 8, 8, 2))
DAMPINGS = (0.01, 0.1, 1.0)


class Dense:
    """One network; its curvature is a matrix over all weights of a layer."""

    widest = None  # columns in a block of curvature

    def __init__(self, record, lr, weight_decay, damping):
        self.module = to_module(record).double().train()
        self.lr, self.weight_decay, self.damping = lr, weight_decay, damping
        self.layers = [m for m in self.module.modules() if isinstance(m, nn.Linear)]
        self.seen = {}
        for layer in self.layers:
            layer.register_forward_hook(self._keep)
        inside = {id(p) for layer in self.layers for p in layer.parameters()}
        rest = [p for p in self.module.parameters() if id(p) not in inside]
        settings = {"lr": lr, "weight_decay": weight_decay}
        self.rest = torch.optim.AdamW(rest, **settings) if rest else None
        self.means = [None] * len(self.layers)
        self.t = 0

    def _keep(self, layer, args, output):
        output.retain_grad()
        self.seen[layer] = args[0], output

    def step(self, rows):
        self.module.zero_grad()
        nn.functional.cross_entropy(self.module(X[rows]), Y[rows]).backward()
        self.t += 1
        for i, layer in enumerate(self.layers):
            self._step(i, layer)
        if self.rest is not None:
            self.rest.step()

    def _step(self, i, layer):
        h, out = self.seen[layer]
        slope, weight = layer.weight.grad, layer.weight
        if layer.bias is not None:
            h = torch.cat([h, torch.ones_like(h[:, :1])], 1)
            slope = torch.cat([slope, layer.bias.grad[:, None]], 1)
            weight = torch.cat([weight, layer.bias[:, None]], 1)
        A, G = h.T @ h / BATCH, out.grad.T @ out.grad
        G = G / (G.trace() / len(G))
        if self.means[i] is None:
            self.means[i] = [A, G, torch.zeros_like(slope), None, 0.0]
        old_A, old_G, momentum, curvature, square = self.means[i]
        share = max(0.2, 1 / self.t)
        if self.t <= 6 or self.t % 2 == 1:
            A, G = old_A + share * (A - old_A), old_G + share * (G - old_G)
        else:
            A, G = old_A, old_G
        new, slow = max(0.1, 1 / self.t), max(0.001, 1 / self.t)
        momentum = (1 - new) * momentum + new * slope
        square = (1 - slow) * square + slow * slope.square().sum()
        if self.widest is not None:
            block = torch.arange(len(A)) // self.widest
            A = A * (block[:, None] == block)
        if self.t in (1, 2, 4) or self.t % 6 == 1:
            factors = [
                M / (M.trace() / len(M)) + self.damping * torch.eye(len(M)).double() for M in (G, A)
            ]
            curvature = torch.kron(*factors)
        self.means[i] = A, G, momentum, curvature, square
        step = torch.linalg.solve(curvature, momentum.flatten()).view_as(slope)
        relative = momentum.norm() / square.sqrt()
        step = step / step.norm() * 0.3 * step.numel() ** 0.5 * relative / (relative + 0.1)
        new = (weight - self.lr * (step + self.weight_decay * weight)).detach()
        layer.weight.data.copy_(new[:, : layer.in_features])
        if layer.bias is not None:
            layer.bias.data.copy_(new[:, -1])


@pytest.mark.parametrize("name, architecture", CASES)
def test_every_step_equals_dense_curvature(name, architecture):
    architecture, n = without_dropout(architecture), 3
    records = [trained_looking(architecture, seed) for seed in range(n)]
    lr, decay = torch.tensor([1e-3, 1e-2, 3e-2]).double(), torch.tensor([0.0, 1e-2, 0.1]).double()
    rule = Kfac(damping=torch.tensor(DAMPINGS), every=2, inverse_every=6)
    trainer = StackTrainer(stack_of(records), lr=lr, weight_decay=decay, seeds=range(n), rule=rule)
    state = trainer.start()
    single = [
        Dense(record, lr[i].item(), decay[i].item(), torch.tensor(DAMPINGS)[i].item())
        for i, record in enumerate(trainer.stack.records())
    ]
    for rows in batches(n, N_STEPS):
        state, _ = trainer.step(state, X, rows, CrossEntropy(Y))
        for one, mine in zip(single, rows, strict=True):
            one.step(mine)
    for one, record in zip(single, trainer.networks(state).records(), strict=True):
        names = tensor_names(record.architecture)
        theirs = one.module.state_dict()
        for slot, tensor in record.tensors.items():
            torch.testing.assert_close(tensor, theirs[names[slot]], rtol=1e-6, atol=1e-8)


def test_wide_layers_have_blocks(monkeypatch):
    """Layers of 6, 9 and 9 columns, in blocks of 3."""
    monkeypatch.setattr(kfac, "WIDEST", 3)
    monkeypatch.setattr(Dense, "widest", 3)
    test_every_step_equals_dense_curvature(*WIDE)


def steps_of(rule, scale=1.0, n_steps=5, broken=None):
    """Weights of three matrices (2, 3) with biases behind some steps on random batches."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(3, 8, dtype=torch.float64)
    state = rule.init(weights, matrices=[Matrix(0, 0, (2, 3), bias=6)])
    for _ in range(n_steps):
        h, d = (torch.randn(3, 9, k, dtype=torch.float64, generator=generator) for k in (4, 2))
        h[..., -1] = 1
        d = scale * d
        if broken is not None:
            d[broken] = torch.inf
        slope = d.mT @ h
        gradient = torch.cat([slope[..., :3].flatten(1), slope[..., 3]], 1)
        moments = [Moments(h, d)]
        weights, state = rule.update(state, weights, gradient, torch.full((3, 1), 0.1), moments)
    return weights


def test_the_scale_of_the_loss_plays_no_part():
    torch.testing.assert_close(steps_of(Kfac(), 1e6), steps_of(Kfac()), rtol=1e-9, atol=0)


def test_a_network_that_breaks_leaves_the_others_as_they_are():
    whole, broken = steps_of(Kfac()), steps_of(Kfac(), broken=1)
    assert broken[1].isnan().all()
    assert torch.equal(broken[[0, 2]], whole[[0, 2]])


def test_no_gradient_is_no_step():
    rule, weights = Kfac(), torch.ones(2, 6)
    state = rule.init(weights, matrices=[Matrix(0, 0, (2, 3))])
    moments = [Moments(torch.eye(4).expand(2, 4, 4), torch.zeros(2, 4, 2))]
    for _ in range(3):
        weights, state = rule.update(state, weights, torch.zeros(2, 6), torch.ones(2, 1), moments)
    assert torch.equal(weights, torch.ones(2, 6))


def test_damping_goes_from_the_natural_to_the_plain_gradient():
    def direction(damping):
        return nn.functional.normalize(steps_of(Kfac(damping=damping, momentum=0.0), n_steps=1))

    plain, some, natural = map(direction, (1e6, 1.0, 1e-6))
    assert ((plain * some).sum(1) > (plain * natural).sum(1)).all()


def test_weights_are_averaged_as_the_schedule_says():
    records = [trained_looking(CASES[2][1], seed) for seed in range(2)]
    window = torch.tensor([[0.0], [0.5]], dtype=torch.float64)
    schedule = Schedule(8, torch.tensor([[1.0], [0.0]], dtype=torch.float64), window)
    settings = {
        "lr": torch.full((2,), 0.01, dtype=torch.float64),
        "weight_decay": torch.zeros(2),
        "seeds": range(2),
    }
    trainer = StackTrainer(stack_of(records), schedule=schedule, **settings)
    plain = StackTrainer(stack_of(records), **settings)
    state, raw, mean = trainer.start(), plain.start(), None
    for t, rows in enumerate(batches(2, 8)):
        state, _ = trainer.step(state, X, rows, CrossEntropy(Y))
        lr = 0.01 * torch.tensor([[1 - t / 8], [1.0]], dtype=torch.float64)
        raw, _ = plain.step(raw, X, rows, CrossEntropy(Y), lr=lr)
        weights = raw.networks.weights.flat.clone()
        mean = weights if mean is None else mean + (weights - mean) / min(4, t + 1)
        averaged = trainer.networks(state).weights.flat
        torch.testing.assert_close(averaged[0], weights[0], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(averaged[1], mean[1], rtol=1e-12, atol=1e-14)
    copy = trainer.copied(state)
    assert torch.equal(copy.weights.flat, state.networks.average.flat)
    assert copy.weights.flat.data_ptr() != state.networks.average.flat.data_ptr()


def test_gradients_that_vanish_take_no_steps():
    """Their squares are below the least number of float32, and their direction is noise."""
    rule, weights = Kfac(), torch.zeros(1, 6)
    state = rule.init(weights, matrices=[Matrix(0, 0, (2, 3))])
    generator = torch.Generator().manual_seed(0)
    for t in range(250):
        h, d = torch.randn(1, 9, 4, generator=generator), torch.randn(1, 9, 2, generator=generator)
        d = d * 10.0 ** (-min(t, 60) / 2)
        before = weights.clone()
        gradient = (d.mT @ h)[..., :3].flatten(1)
        weights, state = rule.update(
            state, weights, gradient, torch.full((1, 1), 0.1), [Moments(h, d)]
        )
        assert (weights - before).abs().max() < 0.3
    assert (weights - before).abs().max() < 1e-6
