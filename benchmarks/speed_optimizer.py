"""What a step costs: of learned optimizers for modules against torch's Adam, and in stacks.

    python benchmarks/speed_optimizer.py

Modules at batch 128, one thread, interleaved: the step of the optimizer alone (of "kfac" with the
moments and inverses that some of its steps take, on average), and the whole of forward pass,
backward pass and step. Then steps of networks per second in a stack of 16, 64-32-10.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import _common
import torch
from torch import nn

from skmeta import Population
from skmeta.datasets import CrossEntropy
from skmeta.networks import Architecture
from skmeta.optimizing import LearnedOptimizer, LearnedRule, Optimizer, Residual, Training
from skmeta.optimizing.residual import perceptron
from skmeta.training import RULES, Schedule, StackTrainer

WIDTHS = [(784, 256, 256, 10), (192, 256, 256, 256, 256, 10), (64, 32, 10)]
ROUNDS, STEPS = 6, 20


def network(widths: tuple[int, ...]) -> nn.Sequential:
    """A perceptron."""
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


def settings(rule: str, *, with_perceptron: bool = False) -> Optimizer:
    """An optimizer as a search begins, with a perceptron on request."""
    start, residual = Optimizer.start(rule, Training(100_000, 128)), None
    if with_perceptron:
        numbers = perceptron(gradient_features=False).start(torch.Generator().manual_seed(0))
        residual = Residual(tuple(numbers.tolist()), gradient_features=False)
    return Optimizer(rule, start.numbers, start.training, residual)


def modules() -> None:
    """Print what steps of single modules cost."""
    makers: dict[str, Callable[[nn.Module], Any]] = {
        "torch Adam": lambda m: torch.optim.Adam(m.parameters()),
        "adam": lambda m: LearnedOptimizer(m, settings("adam")),
        "muon": lambda m: LearnedOptimizer(m, settings("muon")),
        "kfac": lambda m: LearnedOptimizer(m, settings("kfac")),
        "sgdm, perceptron": lambda m: LearnedOptimizer(m, settings("sgdm", with_perceptron=True)),
    }
    for widths in WIDTHS:
        X, y = torch.randn(128, widths[0]), torch.randint(widths[-1], (128,))
        pairs = {}
        for name, make in makers.items():
            module = network(widths)
            pairs[name] = module, make(module)
        alone = {name: [0.0] * ROUNDS for name in pairs}
        whole = {name: [0.0] * ROUNDS for name in pairs}
        for number in range(-1, ROUNDS):
            for name, (module, optimizer) in pairs.items():
                for _ in range(STEPS):
                    start = time.process_time()
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(module(X), y).backward()
                    middle = time.process_time()
                    optimizer.step()
                    end = time.process_time()
                    if number >= 0:
                        alone[name][number] += (end - middle) / STEPS
                        whole[name][number] += (end - start) / STEPS
        least = {name: (min(alone[name]), min(whole[name])) for name in pairs}
        first = least["torch Adam"]
        rows: list[tuple[object, ...]] = [
            (name, f"{a * 1e3:.2f}", f"{a / first[0]:.2f}", f"{b * 1e3:.2f}", f"{b / first[1]:.2f}")
            for name, (a, b) in least.items()
        ]
        count = sum(p.numel() for p in network(widths).parameters())
        title = f"{'-'.join(map(str, widths))}, {count:,} parameters"
        _common.print_table(title, ("", "step, ms", "ratio", "whole, ms", "ratio"), rows)


def stacks() -> None:
    """Print how many steps of networks a thread takes in a second."""
    n = 16
    ((_, stack),) = Population.initialize(Architecture.mlp((64, 32, 10)), n, random_state=0).blocks
    X, loss = torch.randn(5000, 64), CrossEntropy(torch.randint(10, (5000,)))
    rows = torch.randint(5000, (n, 128))
    numbers = {
        features: perceptron(gradient_features=features)
        .start(torch.Generator().manual_seed(0))
        .expand(n, -1)
        for features in (False, True)
    }
    rules = {
        "adamw": RULES["adamw"],
        "muon": RULES["muon"],
        "kfac": RULES["kfac"],
        "sgdm, perceptron": LearnedRule(RULES["sgd"], numbers[False], False),
        "and single gradients": LearnedRule(RULES["sgd"], numbers[True], True),
    }
    contestants = {}
    for name, rule in rules.items():
        trainer = StackTrainer(
            stack,
            lr=torch.full((n,), 0.01),
            weight_decay=torch.zeros(n),
            seeds=range(n),
            rule=rule,
            schedule=Schedule(1000, torch.ones(n, 1), torch.full((n, 1), 0.1)),
        )

        def run(trainer: StackTrainer = trainer) -> None:
            state = trainer.start()
            for _ in range(40):
                state, _ = trainer.step(state, X, rows, loss)

        contestants[name] = run
    seconds = _common.interleaved(contestants)
    table = [(name, f"{40 * n / s:,.0f}") for name, s in seconds.items()]
    _common.print_table("16 networks 64-32-10, batch 128", ("", "steps of networks / s"), table)


if __name__ == "__main__":
    modules()
    stacks()
