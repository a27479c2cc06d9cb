"""The Fisher information of many networks, against single rows and torch's own derivatives."""

import pytest
import torch
from torch.func import functional_call, jacrev, vmap

from skmeta.gradients import FisherSamples
from skmeta.networks import Architecture, to_module
from skmeta.networks.modules import tensor_names
from skmeta.population import Population, Stack
from tests.population import cases, cnns

EXACT = {"rtol": 1e-9, "atol": 1e-12}
CASES = [(name, a) for name, a in [*cases.CASES, *cnns.CASES] if a.output in ("logits", "values")]
N_ROWS = 6


def samples_of(architecture, n=2, seed=0):
    records = [cases.trained_looking(architecture, s) for s in range(n)]
    stack = Stack.merge([Stack.from_records([r]) for r in records]).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, N_ROWS, architecture.n_inputs, dtype=torch.float64, generator=generator)
    weights = torch.rand(n, N_ROWS, dtype=torch.float64, generator=generator)
    return stack, X, weights


def by_jacobians(record, X, kind):
    """The diagonal of every row, by the names of slots: of outputs with errors of variance 1, or of
    the softmax."""
    module = to_module(record).double().eval()
    parameters = dict(module.named_parameters())

    def outputs(parameters, x):
        return functional_call(module, parameters, (x[None],))[0]

    jacobians = vmap(jacrev(outputs), in_dims=(None, 0))(parameters, X)
    if kind == "values":
        root = torch.eye(module(X).shape[1]).double().expand(len(X), -1, -1)
    else:
        p = module(X).softmax(-1).detach()
        information = torch.diag_embed(p) - p[:, :, None] * p[:, None]
        values, vectors = torch.linalg.eigh(information)
        root = vectors * values.clamp_min(0).sqrt()[:, None]
    names = {name: slot for slot, name in tensor_names(record.architecture).items()}
    return {
        names[name]: torch.einsum("rk...,rkv->rv...", j, root).square().sum(1)
        for name, j in jacobians.items()
    }


@pytest.mark.parametrize("name, architecture", CASES, ids=[c[0] for c in CASES])
def test_diagonals_are_those_of_jacobians(name, architecture):
    stack, X, weights = samples_of(architecture)
    samples = FisherSamples.of(stack, X)
    plain, weighed, moments = (
        samples.diagonal(),
        samples.diagonal(weights),
        samples._second_moments(),
    )
    for i, record in enumerate(stack.records()):
        for slot, rows in by_jacobians(record, X[i], architecture.output).items():
            share = weights[i].view(-1, *[1] * (rows.ndim - 1))
            torch.testing.assert_close(plain[slot][i], rows.mean(0), **EXACT)
            torch.testing.assert_close(weighed[slot][i], (share * rows).sum(0), **EXACT)
            stage, _, field = slot.partition(".")
            if field == "weight":
                moment = rows.square().mean(0).sum()
                torch.testing.assert_close(moments[int(stage)][i], moment, **EXACT)


@pytest.mark.parametrize("kind", [cases, cnns], ids=["rows", "images"])
def test_padding_and_other_networks_change_nothing(kind):
    alike = [a for a in kind.ARCHITECTURES if a.output == "logits"]
    alike = [a for a in alike if (a.depth, a.geometry) == (alike[0].depth, alike[0].geometry)]
    records = [cases.trained_looking(a, s) for s, a in enumerate(alike)]
    whole = Stack.merge([Stack.from_records([r]) for r in records]).to(dtype=torch.float64)
    X = torch.randn(N_ROWS, alike[0].n_inputs, generator=torch.Generator().manual_seed(0)).double()
    together = FisherSamples.of(whole, X)
    for i, record in enumerate(records):
        alone = FisherSamples.of(Stack.from_records([record]).to(dtype=torch.float64), X)
        torch.testing.assert_close(together.shrinkage()[i], alone.shrinkage()[0], **EXACT)
        for make in (FisherSamples.diagonal, FisherSamples.kfac_diagonal):
            wide, narrow = make(together), make(alone)
            for slot, values in narrow.items():
                own = wide[slot][i][tuple(slice(n) for n in values.shape[1:])]
                torch.testing.assert_close(own, values[0], **EXACT)


def test_the_kronecker_factored_diagonal_is_a_product_of_means():
    architecture = Architecture.mlp((3, 4, 2), activation="tanh")
    stack, X, weights = samples_of(architecture)
    weights = weights / weights.sum(1, keepdim=True)
    samples = FisherSamples.of(stack, X)
    found = samples.kfac_diagonal(weights)
    first = samples.diagonal(weights)
    # A row of ones enters a bias: its diagonal is the mean of the gradients alone.
    inputs = (weights[..., None] * X.square()).sum(1)
    expected = first["0.bias"][..., None] * inputs[:, None]
    torch.testing.assert_close(found["0.weight"], expected, **EXACT)
    torch.testing.assert_close(found["1.bias"], first["1.bias"], **EXACT)


def test_shrinking_helps_where_rows_are_few_and_goes_away_where_they_are_many():
    stack = Population.initialize(Architecture.mlp((8, 16, 2)), 20, random_state=0).blocks[0][1]
    # Of small weights the approximation is exact: inputs tell nothing about gradients.
    stack = stack.with_weights(stack.weights * 1.5)
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: torch.randn(n, 8, generator=generator)  # noqa: E731
    target = FisherSamples.of(stack, draw(20000)).diagonal()
    amounts, errors = [], []
    for n in (8, 5000):
        samples = FisherSamples.of(stack, draw(n))
        amounts.append(samples.shrinkage().mean())
        found = samples.diagonal(), samples.blended(samples.shrinkage())
        errors.append([(f - target).flat.square().sum().item() for f in found])
    assert amounts[0] > 2 * amounts[1]
    assert errors[0][1] < errors[0][0] and errors[1][1] < 1.05 * errors[1][0]


def test_outputs_of_several_kinds_are_refused():
    values = Architecture.mlp((3, 4, 2), output="multilabel")
    stack = Population.initialize(values, 2, random_state=0).blocks[0][1]
    with pytest.raises(ValueError, match=r"all logits, or all values. Got \['multilabel'\]"):
        FisherSamples.of(stack, torch.ones(4, 3))


def test_the_covariance_of_both_estimates_is_that_of_a_jackknife():
    stack, X, _ = samples_of(Architecture.mlp((3, 5, 2), activation="tanh"))
    samples = FisherSamples.of(stack, X)
    n = samples.n_samples
    left = [torch.arange(n) != i for i in range(n)]
    pairs = [
        (s.diagonal(), s.kfac_diagonal())
        for s in (FisherSamples.of(stack, X[:, rows]) for rows in left)
    ]
    for stage, squares in samples.squares.items():
        name = f"{stage}.weight"
        plain, product = (torch.stack([pair[k][name] for pair in pairs]) for k in (0, 1))
        apart = (plain - plain.mean(0)) * (product - product.mean(0))
        jackknife = (n - 1) / n * apart.flatten(2).sum((0, 2))
        torch.testing.assert_close(samples._covariance(*squares), jackknife, rtol=0.25, atol=0)
