"""What a perceptron adds to steps: nothing at first, then the same for every order of neurons."""

import pytest
import torch

from skmeta.datasets import CrossEntropy
from skmeta.gradients import Program
from skmeta.networks import Architecture
from skmeta.optimizing import LearnedRule
from skmeta.optimizing.residual import perceptron
from skmeta.population import Population
from skmeta.training import RULES, Matrix, Moments, StackTrainer
from tests.population.cases import CASES, trained_looking
from tests.training.test_against_torch import WIDER, X, Y, batches, stack_of, without_dropout

BASES = ("sgd", "adamw", "muon", "kfac")


def drawn(n, *, gradient_features, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_numbers = perceptron(gradient_features=gradient_features).n_numbers
    return torch.randn(n, n_numbers, generator=generator, dtype=torch.float64) / 3


def train(stack, rule, rows, seeds=None):
    n = len(stack)
    trainer = StackTrainer(
        stack,
        lr=torch.full((n,), 0.01, dtype=torch.float64),
        weight_decay=torch.zeros(n, dtype=torch.float64),
        seeds=range(n) if seeds is None else seeds,
        rule=rule,
    )
    state = trainer.start()
    for step in rows:
        state, _ = trainer.step(state, X, step, CrossEntropy(Y))
    return trainer.networks(state)


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("base", BASES)
def test_at_first_it_adds_nothing(base, features):
    stack = stack_of([trained_looking(CASES[2][1], seed) for seed in range(2)])
    start = perceptron(gradient_features=features).start(torch.Generator().manual_seed(0))
    rule = LearnedRule(RULES[base], start.expand(2, -1), features)
    plain, same = (train(stack, one, batches(2, 6)) for one in (RULES[base], rule))
    assert torch.equal(plain.weights.flat, same.weights.flat)
    other = LearnedRule(RULES[base], drawn(2, gradient_features=features), features)
    assert not torch.allclose(train(stack, other, batches(2, 6)).weights.flat, plain.weights.flat)


@pytest.mark.parametrize("features", [False, True])
def test_a_network_has_numbers_of_its_own_and_no_neighbours(features):
    records = [trained_looking(without_dropout(a), seed) for seed, a in enumerate(WIDER)]
    records = [record for record in records if record.architecture.depth == 3]
    n = len(records)
    numbers, rows = drawn(n, gradient_features=features), batches(n, 6)
    together = train(stack_of(records), LearnedRule(RULES["kfac"], numbers, features), rows)
    assert len({record.architecture.widths for record in records}) > 1
    for i, found in enumerate(together.records()):
        rule = LearnedRule(RULES["kfac"], numbers[i : i + 1], features)
        (alone,) = train(stack_of([records[i]]), rule, rows[:, i : i + 1], [i]).records()
        for slot, tensor in found.tensors.items():
            torch.testing.assert_close(tensor, alone.tensors[slot], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("base", ["sgd", "adamw", "kfac"])
def test_the_order_of_neurons_plays_no_part(base):
    networks = Population.initialize(Architecture.mlp((5, 8, 6, 2)), 3, random_state=0)
    rule = LearnedRule(RULES[base], drawn(1, gradient_features=True).expand(3, -1), True)
    rows = batches(1, 6).expand(-1, 3, -1)
    after = []
    for some in (networks, networks.permuted(0)):
        ((_, stack),) = some.to(dtype=torch.float64).blocks
        trained = train(stack, rule, rows)
        outputs, _ = Program(trained).forward(X)
        after.append((trained.weights.flat, outputs))
    torch.testing.assert_close(after[0][1], after[1][1], rtol=1e-8, atol=1e-9)
    assert not torch.allclose(after[0][0], after[1][0])


def test_squares_are_those_of_the_gradients_of_rows():
    stack = stack_of([trained_looking(CASES[2][1], seed) for seed in range(2)])
    program = Program(stack)
    outputs, trace = program.forward(X)
    factors = program.backward(trace, outputs.softmax(-1))
    exact = factors.fisher_diagonal()
    for stage, (h, delta) in factors.outer.items():
        squares = Moments(torch.cat([h, torch.ones_like(h[..., :1])], -1), delta).squares
        torch.testing.assert_close(squares[..., :-1], exact[f"{stage}.weight"])
        torch.testing.assert_close(squares[..., -1], exact[f"{stage}.bias"])


def test_features_of_single_gradients_are_seen():
    """Batches with one mean gradient and different rows give different steps."""
    weights = torch.zeros(1, 3, dtype=torch.float64)
    h = torch.ones(1, 2, 4, dtype=torch.float64)
    h[..., :3] = torch.tensor([1.0, 2.0, -1.0])
    numbers = drawn(1, gradient_features=True)
    rule = LearnedRule(RULES["adamw"], numbers, True)
    found = []
    for spread in (0.0, 5.0):
        delta = torch.tensor([[[0.5 + spread], [0.5 - spread]]], dtype=torch.float64)
        gradient = (delta.mT @ h)[..., :3].flatten(1)
        noisy = h * torch.tensor([1.0, 0.3, 2.0, 1.0]) if spread else h
        state = rule.init(weights, matrices=[Matrix(0, 0, (1, 3))])
        lr = torch.full((1, 1), 0.1, dtype=torch.float64)
        moments = [Moments(noisy, delta)]
        after, _ = rule.update(state, weights.clone(), gradient.clone(), lr, moments)
        found.append(after)
    assert not torch.allclose(*found)
    assert torch.cat(found).isfinite().all()
