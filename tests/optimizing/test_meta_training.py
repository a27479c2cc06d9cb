"""Meta-training: better than the rule alone on fresh networks, and resumed to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skmeta import Population, Task
from skmeta.networks import Architecture
from skmeta.optimizing import MetaTraining, Problem, Recipe, Training, unroll
from skmeta.optimizing.meta_training import objective


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4)).astype(np.float32)
    task = Task(X, (X[:, 0] * X[:, 1] + 0.3 * rng.standard_normal(400) > 0).astype(int))
    networks = Population.initialize(
        [Architecture.mlp((4, width, 2), activation="tanh") for width in (6, 8) * 8], random_state=0
    )
    return Problem(networks, task)


def meta_training(**changes):
    scalars = Recipe.start("sgdm").floats[0] | {"lr": 0.02, "decay": 0.0, "window": 0.2}
    options = {
        "base": "sgdm",
        "scalars": scalars,
        "gradient_features": False,
        "training": Training(40, 64),
        "truncation": 10,
        "n_unrolls": 40,
        "n_parallel": 16,
        "seed": 0,
    }
    return MetaTraining(**options | changes)


@pytest.mark.parametrize("features", [False, True])
def test_it_trains_better_than_the_rule_alone(problem, features):
    meta = meta_training(gradient_features=features)
    *_, learned = meta.rounds([problem], meta.start())
    residual = meta.winner(learned)
    assert residual is not None and residual.gradient_features == features
    fresh = Population.initialize(
        Architecture.mlp((4, 7, 2), activation="tanh"), 16, random_state=5
    )
    with_it, plain = (
        unroll(fresh, problem.task, one.select([0] * 16), meta.training, seeds=range(16))
        for one in (meta.recipe(learned.best), Recipe.of("sgdm", meta.scalars))
    )
    gain = (plain.curves[:, -1] / with_it.curves[:, -1]).log()
    assert gain.mean() > 3 * gain.std() / 4  # sixteen networks


def test_it_goes_on_to_the_same_bits(problem):
    meta = meta_training(n_unrolls=12)
    states = list(meta.rounds([problem], meta.start()))
    for resumed in (states[3], states[10]):
        *_, last = meta.rounds([problem], resumed)
        assert torch.equal(last.numbers, states[-1].numbers)
        assert last.history == states[-1].history


def test_no_perceptron_is_kept_that_is_not_better(problem):
    meta = meta_training(n_unrolls=1)
    learned = meta.start()
    assert meta.winner(learned) is None
    seen = {"n_unrolls": 1, "without": -1.0, "with": -0.9}
    assert meta.winner(replace(learned, history=[seen])) is None
    better = {"n_unrolls": 2, "without": -1.0, "with": -1.1}
    assert meta.winner(replace(learned, history=[seen, better])) is not None


def test_it_ends_when_nothing_gets_better(problem):
    meta = meta_training()
    history = [{"n_unrolls": i, "without": 0.0, "with": w} for i, w in enumerate([-2.0] + [-1] * 4)]
    ended = replace(meta.start(), history=history)
    assert ended.has_ended and list(meta.rounds([problem], ended)) == []
    assert not replace(ended, history=history[:-1]).has_ended


def test_a_perceptron_that_adds_nothing_has_the_objective_of_the_rule(problem):
    meta = meta_training()
    plain = objective(Recipe.of("sgdm", meta.scalars), [problem], meta.training, 4, 0)
    assert objective(meta.recipe(meta.start().numbers), [problem], meta.training, 4, 0) == plain


def test_what_diverges_does_not_stop_it(problem):
    wild = Problem(problem.networks, Task(1e15 * problem.task.X, problem.task.y))
    meta = meta_training(n_unrolls=2)
    *_, learned = meta.rounds([wild], meta.start())
    assert learned.n_updates == 8 and bool(learned.numbers.isfinite().all())
