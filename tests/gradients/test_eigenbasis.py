"""Curvature in the eigenbasis of Kronecker factors, against whole matrices."""

import pytest
import torch

from skmeta.gradients import FisherSamples
from skmeta.gradients.natural import DAMPING
from skmeta.population import Stack
from tests.gradients.test_fisher import EXACT, N_ROWS, samples_of
from tests.population import cases, cnns

CASES = [(name, a) for name, a in cases.CASES if a.output in ("logits", "values")]


def whole(samples, stage, i, shares):
    """The Fisher information of a matrix of weights, diagonal in the basis of K-FAC, all of it."""
    stack = samples.stack
    n_in, n_out = (int(stack.true_neurons(s)[i].sum()) for s in (stage, stage + 1))
    h = samples.factors[0].outer[stage].h[i, :, :n_in]
    deltas = [f.outer[stage].delta[i, :, :n_out] for f in samples.factors]
    inner = torch.linalg.eigh((h * shares[:, None]).T @ h).eigenvectors
    outer = torch.linalg.eigh(sum((d * shares[:, None]).T @ d for d in deltas)).eigenvectors
    basis = torch.kron(outer, inner)
    moments = 0
    for d in deltas:
        rows = torch.einsum("so,si->soi", d, h).flatten(1) @ basis
        moments = moments + (shares[:, None] * rows.square()).sum(0)
    return (basis * moments) @ basis.T, (n_out, n_in)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name, architecture", CASES, ids=[c[0] for c in CASES])
def test_diagonals_are_those_of_the_whole_matrix(name, architecture, weighted):
    stack, X, weights = samples_of(architecture)
    samples = FisherSamples.of(stack, X)
    given = weights if weighted else None
    found, left = samples.ekfac_diagonal(given), samples.conditional_diagonal(given)
    plain = samples.diagonal(given)
    for i in range(len(stack)):
        shares = weights[i] if weighted else torch.full((N_ROWS,), 1 / N_ROWS, dtype=X.dtype)
        for stage in range(stack.depth):
            matrix, shape = whole(samples, stage, i, shares)
            slot = f"{stage}.weight"
            own = (i, *(slice(n) for n in shape))
            torch.testing.assert_close(found[slot][own], matrix.diagonal().view(shape), **EXACT)
            added = DAMPING * matrix.diagonal().mean()
            inverse = torch.linalg.inv(matrix + added * torch.eye(len(matrix)).double())
            expected = (1 / inverse.diagonal() - added).clamp_min(0).view(shape)
            torch.testing.assert_close(left[slot][own], expected, rtol=1e-7, atol=1e-10)
            assert (left[slot][own] <= found[slot][own] * (1 + 1e-9) + 1e-12).all()
        for slot, values in plain.items():
            if not slot.endswith("weight"):
                torch.testing.assert_close(found[slot][i], values[i], **EXACT)
                torch.testing.assert_close(left[slot][i], values[i], **EXACT)


def test_padding_and_other_networks_change_nothing():
    alike = [a for a in cases.ARCHITECTURES if a.output == "logits"]
    alike = [a for a in alike if a.depth == alike[0].depth]
    records = [cases.trained_looking(a, s) for s, a in enumerate(alike)]
    together = Stack.merge([Stack.from_records([r]) for r in records]).to(dtype=torch.float64)
    X = torch.randn(N_ROWS, alike[0].n_inputs, generator=torch.Generator().manual_seed(0)).double()
    for make in (FisherSamples.ekfac_diagonal, FisherSamples.conditional_diagonal):
        wide = make(FisherSamples.of(together, X))
        for i, record in enumerate(records):
            alone = Stack.from_records([record]).to(dtype=torch.float64)
            for slot, values in make(FisherSamples.of(alone, X)).items():
                own = wide[slot][i][tuple(slice(n) for n in values.shape[1:])]
                torch.testing.assert_close(own, values[0], rtol=1e-7, atol=1e-10)


def test_images_are_refused():
    stack, X, _ = samples_of(next(a for _, a in cnns.CASES if a.output == "logits"))
    with pytest.raises(ValueError, match="needs networks of linear layers"):
        FisherSamples.of(stack, X).ekfac_diagonal()
