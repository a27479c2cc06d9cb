"""A small module, its loss and its training, for tests of learned optimizers."""

import torch
from torch import nn

from skmeta.optimizing import Optimizer, Recipe, Training
from tests.training.test_against_torch import X, Y, batches

RULES = ("sgdm", "adam", "muon", "kfac")
N_STEPS = 12


def settings(rule, n_steps=N_STEPS, **numbers):
    return Optimizer(rule, Recipe.start(rule).floats[0] | numbers, Training(n_steps, 16))


def network(seed=0, dtype=torch.float64, *, norm=False):
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(5, 8), *[nn.BatchNorm1d(8)] * norm, nn.Tanh(), nn.Linear(8, 2)]
    module = nn.Sequential(*layers).to(dtype)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.4 * torch.randn(p.shape, generator=generator))
    return module


def loss_of(module, rows=slice(None), call=None):
    p = next(module.parameters())
    return nn.functional.cross_entropy((call or module)(X[rows].to(p.dtype)), Y[rows])


def train(module, optimizer, n_steps=N_STEPS, *, seed=0):
    for rows in batches(1, n_steps, seed):
        optimizer.zero_grad()
        loss_of(module, rows[0]).backward()
        optimizer.step()


def numbers(module):
    return torch.cat([p.detach().flatten() for p in module.state_dict().values()])
