"""Stacked training of convolutional networks against torch.optim on single modules."""

from dataclasses import replace

import pytest
import torch

from skmeta.datasets import CrossEntropy
from skmeta.networks import Architecture, initial_records, to_module
from skmeta.population import Stack
from skmeta.training import StackTrainer
from tests.population.cnns import CASES, N_INPUTS, SHAPE
from tests.training.test_against_torch import OPTIMIZERS, module_matches

N_ROWS, BATCH = 40, 8
X = torch.randn(N_ROWS, N_INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = (X[:, :50].sum(1) > 0).long() + (X[:, 50:].sum(1) > 0).long()
PLAIN = [
    ("plain", Architecture.cnn(SHAPE, (4, 5), 3, stride=2)),
    ("gelu", Architecture.cnn(SHAPE, (4, 5), 3, kernel=2, activation="gelu")),
    ("sigmoid", Architecture.cnn(SHAPE, (12, 5), 3, stride=3, activation="sigmoid")),
]


def stack_of(architectures):
    records = initial_records(architectures, 0)
    return Stack.merge([Stack.from_records([record]) for record in records]).to(dtype=torch.float64)


def batches(n, n_steps):
    return torch.randint(N_ROWS, (n_steps, n, BATCH), generator=torch.Generator().manual_seed(1))


def exact(architecture, rule):
    """Leave out dropout; and norms for Adam, which scales up rounding in front of them."""
    changes = {"dropout": 0.0} if rule == "sgd" else {"dropout": 0.0, "norm": "none"}
    layers = tuple(replace(layer, **changes) for layer in architecture.layers)
    return replace(architecture, layers=layers)


@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("name, architecture", [*CASES, *PLAIN])
def test_every_step_equals_torch(name, architecture, rule):
    n, architecture = 3, exact(architecture, rule)
    lr = torch.tensor([1e-3, 1e-2, 3e-2], dtype=torch.float64)
    decay = torch.tensor([0.0, 1e-2, 1e-1], dtype=torch.float64)
    stack = stack_of([architecture] * n)
    trainer = StackTrainer(stack, lr=lr, weight_decay=decay, seeds=range(n), rule=rule)
    modules = [to_module(record).train() for record in stack.records()]
    optimizers = [
        OPTIMIZERS[rule](module.parameters(), lr=lr[i].item(), weight_decay=decay[i].item())
        for i, module in enumerate(modules)
    ]
    state = trainer.start()
    for rows in batches(n, 4):
        state, losses = trainer.step(state, X, rows, CrossEntropy(Y))
        for i, (module, optimizer) in enumerate(zip(modules, optimizers, strict=True)):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(X[rows[i]]), Y[rows[i]])
            loss.backward()
            optimizer.step()
            torch.testing.assert_close(losses[i], loss.detach(), rtol=1e-9, atol=1e-12)
        for module, record in zip(modules, trainer.networks(state).records(), strict=True):
            module_matches(module, record)


def test_neither_padding_nor_other_networks_matter():
    """Networks of other widths, activations and dropout train beside each other as alone."""
    architectures = [
        Architecture.cnn(SHAPE, widths, 3, stride=2, activation=activation, dropout=dropout)
        for widths, activation, dropout in (
            ((4, 5), "relu", 0.0),
            ((7, 3), "tanh", 0.3),
            ((5, 6), "sigmoid", 0.5),
            ((4, 9), "silu", 0.2),
        )
    ]
    stack, rows = stack_of(architectures), batches(4, 3)

    def train(stack, members):
        n = len(stack)
        settings = {"lr": torch.full((n,), 0.05), "weight_decay": torch.full((n,), 0.01)}
        trainer = StackTrainer(stack, **settings, seeds=members)
        state = trainer.start()
        for batch in rows:
            state, _ = trainer.step(state, X, batch[list(members)], CrossEntropy(Y))
        return list(trainer.networks(state).records())

    together = train(stack, range(4))
    for i, record in enumerate(stack.records()):
        (alone,) = train(Stack.from_records([record]), [i])
        for field, tensors in together[i].tensors.items():
            for value, expected in zip(tensors, alone.tensors[field], strict=True):
                torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-11)
