"""Factors equal gradients of single rows by `vmap(grad)` on torch's own modules, in float64."""

import pytest
import torch
from torch.func import functional_call, grad, vmap

from skmeta.gradients import Program
from skmeta.networks import to_module
from skmeta.networks.modules import tensor_names
from skmeta.population import Stack
from tests.population import cases, cnns

N_ROWS = 6
EXACT = {"rtol": 1e-9, "atol": 1e-10}
CASES = [*((name, a, 5) for name, a in cases.CASES)]
CASES += [(name, a, cnns.N_INPUTS) for name, a in cnns.CASES]


def loss(outputs, targets):
    """One number per row; not quadratic, so that no gradient is proportional to another."""
    return (outputs.sin() * targets).sum(-1)


def stack_of(records):
    return Stack.merge([Stack.from_records([record]) for record in records]).to(dtype=torch.float64)


def rows_for(stack, n_inputs):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N_ROWS, n_inputs, dtype=torch.float64, generator=generator)
    shape = (len(stack), N_ROWS, stack.widths[-1])
    return X, torch.randn(shape, dtype=torch.float64, generator=generator)


def factors_of(stack, X, targets):
    program = Program(stack)
    outputs, trace = program.forward(X)
    leaves = outputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaves, targets).sum(), leaves)
    return outputs, program.backward(trace, gradient)


def reference(record, X, targets):
    """Outputs, and the gradients of each row by the names of slots."""
    module = to_module(record).double().eval()
    params = dict(module.named_parameters())

    def of_row(params, x, target):
        return loss(functional_call(module, params, (x[None],))[0], target)

    rows = vmap(grad(of_row), in_dims=(None, 0, 0))(params, X, targets)
    names = tensor_names(record.architecture)
    return module(X), {slot: rows[name] for slot, name in names.items() if name in rows}


@pytest.mark.parametrize("name, architecture, n_inputs", CASES, ids=[c[0] for c in CASES])
def test_factors_equal_vmap_of_grad(name, architecture, n_inputs):
    records = [cases.trained_looking(architecture, seed) for seed in range(2)]
    stack = stack_of(records)
    X, targets = rows_for(stack, n_inputs)
    outputs, factors = factors_of(stack, X, targets)
    gradient, rows, squares = (
        factors.gradient(),
        factors.per_sample(),
        factors.fisher_diagonal(),
    )
    for i, record in enumerate(stack.records()):
        expected, by_row = reference(record, X, targets[i])
        torch.testing.assert_close(outputs[i], expected.detach(), **EXACT)
        assert set(by_row) == {slot.name for slot in architecture.slots if slot.trained}
        for slot, value in by_row.items():
            torch.testing.assert_close(rows[slot][i], value, **EXACT)
            torch.testing.assert_close(gradient[slot][i], value.sum(0), **EXACT)
            torch.testing.assert_close(squares[slot][i], value.square().sum(0), **EXACT)


@pytest.mark.parametrize("kind", [cases, cnns], ids=["rows", "images"])
def test_padding_and_other_networks_change_nothing(kind):
    alike = {}
    for architecture in kind.ARCHITECTURES:
        alike.setdefault(architecture.geometry, []).append(architecture)
    for architectures in alike.values():
        records = [cases.trained_looking(a, seed) for seed, a in enumerate(architectures)]
        together = stack_of(records)
        wide = together.padded([w + 2 * (0 < i) for i, w in enumerate(together.widths)])
        wide = wide if len(records) > 1 else together
        n_inputs = architectures[0].n_inputs
        X, targets = rows_for(wide, n_inputs)
        _, factors = factors_of(wide, X, targets)
        mine = factors.gradient(), factors.fisher_diagonal()
        for i, record in enumerate(records):
            alone = stack_of([record])
            _, single = factors_of(alone, X, targets[i : i + 1, :, : alone.widths[-1]])
            padded = stack_of([record]).padded(wide.widths)
            for theirs, ours in zip(
                (single.gradient(), single.fisher_diagonal()), mine, strict=True
            ):
                expected = theirs.moved(padded.weights.layout, absent=False)
                for slot, value in expected.items():
                    torch.testing.assert_close(ours[slot][i], value[0], **EXACT)


def test_kronecker_factors_of_images_are_sums_over_positions():
    architecture = cnns.ARCHITECTURES[0]
    stack = stack_of([cases.trained_looking(architecture)])
    X, targets = rows_for(stack, cnns.N_INPUTS)
    _, factors = factors_of(stack, X, targets)
    (A, G), *_ = factors.kfac()
    h, delta = factors.outer[0]
    patches = torch.nn.functional.unfold(X.unflatten(1, cnns.SHAPE), 3, padding=1, stride=2)
    # torch has channels before positions of the filter: the trace and the count do not mind.
    assert A.shape[1:] == (19, 19) and G.shape[1:] == (4, 4)
    torch.testing.assert_close(A[0].trace(), patches.square().sum() + len(delta[0]))
    torch.testing.assert_close(G[0], delta[0].T @ delta[0])


def test_a_sum_of_rows_is_not_a_row():
    """The reference would notice factors that are swapped between rows."""
    stack = stack_of([cases.trained_looking(cases.ARCHITECTURES[1])])
    X, targets = rows_for(stack, 5)
    _, factors = factors_of(stack, X, targets)
    _, flipped = factors_of(stack, X.flip(0), targets)
    assert not torch.allclose(factors.per_sample().flat, flipped.per_sample().flat)
