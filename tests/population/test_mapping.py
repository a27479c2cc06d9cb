"""The one grouping into stacks: order, pieces, what goes in and what comes back."""

import numpy as np
import pytest
import torch

from skmeta.networks import Architecture
from skmeta.population import Population, Stack, forward
from skmeta.population.mapping import at_once, seeds_of, stacks

from .cases import mixed_population

POPULATION = mixed_population()
N = len(POPULATION)
ORDER = np.random.default_rng(0).permutation(N)


def sums(stack):
    """Sum of all true numbers of each network, as float64."""
    stack = stack.to(dtype=torch.float64)
    pairs = zip(stack.weights.of_field("weight"), stack.present().of_field("weight"), strict=True)
    return sum((w * m).flatten(1).sum(1) for w, m in pairs)


def weights_of(record):
    return [t for name, t in record.tensors.items() if name.endswith(".weight")]


def plain_sums(population):
    return [
        sum(float(w.double().sum()) for n, w in r.tensors.items() if n.endswith("weight"))
        for r in population.records()
    ]


@pytest.fixture(params=[None, 1, lambda stack: stack.widths[1]], ids=["whole", "one", "by width"])
def numbers(request, monkeypatch):
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", 3 if request.param == 1 else 20)
    return request.param


@pytest.mark.parametrize("exact", [False, True])
def test_order_is_restored_and_pieces_change_nothing(numbers, exact):
    for population in (POPULATION, POPULATION[ORDER]):
        came = []

        def noted(stack, positions, came=came, population=population):
            came.append(len(stack))
            assert not exact or len({a.widths for a in stack.architectures}) == 1
            expected = [population.architectures[p] for p in positions]
            assert list(stack.architectures) == expected
            return sums(stack)

        found = population.map(noted, np.arange(N), numbers=numbers, exact=exact)
        np.testing.assert_allclose(found, plain_sums(population), atol=1e-12)
        assert sum(came) == N and (numbers != 1 or max(came) <= 3)


def test_everything_that_is_joined(numbers):
    def function(stack, names, lam, other):
        assert isinstance(names, list) and isinstance(lam, torch.Tensor)
        assert other.widths == stack.widths
        moved = stack.with_weights(stack.weights + other.weights * stack.present())
        values = {"value": lam * sums(other), "depth": lam.new_full((len(lam),), stack.depth)}
        return moved, values, names, lam.numpy(), None

    population, names = POPULATION[ORDER], [f"network {i}" for i in range(N)]
    other = POPULATION.permuted(0)[ORDER]
    lam = torch.arange(N, dtype=torch.float64)
    moved, values, same, array, nothing = population.map(
        function, names, lam, other, numbers=numbers
    )
    assert same == names and nothing is None
    assert isinstance(moved, Population) and moved.architectures == population.architectures
    np.testing.assert_allclose(values["value"], lam.numpy() * plain_sums(other), atol=1e-12)
    assert values["depth"].tolist() == [a.depth for a in population.architectures]
    np.testing.assert_array_equal(array, lam)
    for new, old, added in zip(*(p.records() for p in (moved, population, other)), strict=True):
        for a, b, c in zip(*(weights_of(r) for r in (new, old, added)), strict=True):
            torch.testing.assert_close(a, b + c)


def test_gradients_flow_through():
    X = torch.randn(7, 5, requires_grad=True)
    outputs = POPULATION.map(lambda stack: forward(stack, X), numbers=2**20)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), X)
    (expected,) = torch.autograd.grad(POPULATION.forward(X).square().sum(), X)
    torch.testing.assert_close(gradient, expected)


def test_without_networks_nothing_is_called():
    assert POPULATION[:0].map(lambda stack: 1 / 0) is None
    assert POPULATION[:0].map(lambda stack: 1 / 0, empty=3) == 3
    assert seeds_of(POPULATION[:0], 0) == []


def test_similar_networks_share_a_piece(monkeypatch):
    """Wide networks among narrow ones cost padding in one piece only."""
    specs = [Architecture.mlp((5, 64 if i % 8 == 0 else 4, 2)) for i in range(32)]
    population = Population.initialize(specs, random_state=0)
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", 4)
    widths = [stack.widths[1] for _, stack in stacks(population, 1)]
    assert sorted(widths) == [4] * 7 + [64]


def test_seeds_follow_from_the_weights_alone():
    seeds = seeds_of(POPULATION, 3)
    assert len(set(seeds)) > N / 2
    assert seeds_of(POPULATION[ORDER], 3) == [seeds[i] for i in ORDER]
    assert seeds_of(POPULATION[:1], 4)[0] - seeds[0] == seeds_of(POPULATION, 4)[1] - seeds[1] != 0


def test_pieces_are_larger_where_there_is_no_cache():
    assert at_once(2**21) == 1 and at_once(2**22) == 1 and at_once(2**11, "cpu") == 2**10
    assert at_once(2**11, "cuda") == 2**16 and at_once(0) > 2**20


def test_pieces_are_stacks_of_one_depth():
    for positions, stack in stacks(POPULATION):
        assert isinstance(stack, Stack) and len(positions) == len(stack)
        assert {POPULATION.architectures[p].depth for p in positions} == {stack.depth}
