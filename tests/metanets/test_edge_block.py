"""The chunked edge block equals its slow reference, forward and backward."""

import pytest
import torch

from skmeta.metanets.edge_block import edge_block, edge_block_reference


@pytest.mark.parametrize("chunk", [1, 1200, 2**21])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(3, 5, 7, 4), (1, 1, 9, 3), (4, 2, 1, 6)])
def test_values_and_gradients(monkeypatch, chunk, masked, shape):
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", chunk)
    g = torch.Generator().manual_seed(0)
    n, n_out, n_in, c = shape

    def draw(*size):
        return torch.randn(*size, dtype=torch.float64, generator=g).requires_grad_()

    args = [draw(*shape), draw(n, n_in, c), draw(n, n_out, c), draw(c, c), draw(c, c)]
    mask = None
    if masked:
        mask = (torch.rand(n, n_out, n_in, generator=g) > 0.3).double()
    fast, slow = edge_block(*args, mask), edge_block_reference(*args, mask)
    weights = [torch.randn(t.shape, dtype=torch.float64, generator=g) for t in slow]
    gradients = []
    for outputs in (fast, slow):
        total = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
        gradients.append(torch.autograd.grad(total, args))
    for a, b in zip([*fast, *gradients[0]], [*slow, *gradients[1]], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
