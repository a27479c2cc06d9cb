"""Population.forward against plain modules, in float64."""

import pytest
import torch

from skmeta.networks import MLP, to_module
from skmeta.population import Population, forward

from .cases import ARCHITECTURES, CASES, mixed_population, trained_looking

X = torch.randn(11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def outputs_of_modules(population):
    with torch.no_grad():
        return torch.stack([module(X) for module in population.to_networks()])


@pytest.mark.parametrize("name, architecture", CASES)
def test_equals_the_module(name, architecture):
    population = Population.from_records([trained_looking(architecture, s) for s in range(3)])
    population = population.to(dtype=torch.float64)
    torch.testing.assert_close(
        population.forward(X), outputs_of_modules(population), rtol=0, atol=1e-12
    )


def test_mixed_architectures_in_one_call():
    population = mixed_population().to(dtype=torch.float64)
    torch.testing.assert_close(
        population.forward(X), outputs_of_modules(population), rtol=0, atol=1e-12
    )


def test_padding_changes_nothing():
    population = mixed_population().to(dtype=torch.float64)
    expected = population.forward(X)
    widened = []
    for positions, stack in population.depth_blocks():
        wide = stack.padded([width + 3 for width in stack.widths])
        wide_X = torch.nn.functional.pad(X, (0, 3))
        for part, rows in ((stack, X), (wide, wide_X)):
            outputs = forward(part, rows)[..., :2]
            torch.testing.assert_close(outputs, expected[positions], rtol=0, atol=1e-12)
        widened.append((positions, wide))
    again = population.with_blocks(widened)
    assert torch.equal(again.forward(X), expected)


def test_rows_of_their_own():
    population = mixed_population().to(dtype=torch.float64)
    for _, stack in population.blocks:
        rows = torch.randn(len(stack), 7, 5, dtype=torch.float64)
        for i, record in enumerate(stack.records()):
            expected = to_module(record)(rows[i])
            torch.testing.assert_close(forward(stack, rows)[i], expected, rtol=0, atol=1e-12)


def test_gradients_equal_those_of_modules():
    population = mixed_population(1).to(dtype=torch.float64)
    for _, stack in population.blocks:
        weights = stack.weights.map(lambda t: t.clone().requires_grad_())
        forward(stack, X, weights).square().sum().backward()
        for row, record in enumerate(stack.records()):
            module = to_module(record)
            module(X).square().sum().backward()
            gradient = weights.with_flat(weights.flat.grad)
            for index, block in enumerate(module.blocks):
                torch.testing.assert_close(
                    gradient[f"{index}.weight"][row], block.linear.weight.grad
                )


def test_module_in_training_mode_uses_batch_statistics_and_dropout():
    module = to_module(trained_looking(ARCHITECTURES[6]))
    assert not module.training
    evaluated = module(X.float())
    assert torch.equal(evaluated, module(X.float()))
    assert not torch.equal(evaluated, module.train()(X.float()))


@pytest.mark.parametrize("name, architecture", CASES)
def test_the_module_has_the_parameters_that_the_architecture_counts(name, architecture):
    assert sum(p.numel() for p in MLP(architecture).parameters()) == architecture.n_parameters
    assert type(architecture).from_dict(architecture.to_dict()) == architecture
