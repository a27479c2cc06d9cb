"""In which order a network can do without its inputs: :func:`backward_elimination`."""

from __future__ import annotations

import torch
from torch import Tensor

from skmeta.population import Stack, forward
from skmeta.requirements.divergence import jensen_shannon
from skmeta.requirements.rounding import settled

_RIDGE = 1e-3
_SHARE_PER_ROUND = 0.1


def backward_elimination(stack: Stack, X: Tensor, weights: Tensor) -> Tensor:
    """Rank the inputs of each network by leaving out the most dispensable, one after the other.

    An input is left out by replacing it with its ridge regression on the inputs that are
    still there; the one whose absence moves the predictions least goes first. With many
    inputs a tenth goes at a time.

    In float32 what is told apart would depend on the other networks of the stack: ranks want
    float64, as do all scores of :func:`~skmeta.requirements.masks.keep_largest`.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_inputs)
        Rows to look at.
    weights : Tensor of shape (n_samples,)
        Weights of the rows; they sum to 1.

    Returns
    -------
    Tensor of shape (n, n_inputs)
        0 for the input that goes first, up to ``n_inputs - 1``; of those that go together
        the most dispensable is first.

    Examples
    --------
    >>> import torch
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> from skmeta.requirements.elimination import backward_elimination
    >>> ((_, stack),) = Population.initialize(Architecture.mlp((3, 8, 2)), 1, random_state=0).blocks
    >>> X = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> X[:, 1] = 0.0
    >>> backward_elimination(stack, X, torch.full((50,), 0.02))[0, 1]  # it says nothing
    tensor(0.)
    """
    with torch.no_grad():
        original = forward(stack, X)
        n, n_inputs = len(stack), X.shape[1]
        kept, ranks = X.new_ones(n, n_inputs), X.new_zeros(n, n_inputs)
        while (n_left := int(kept[0].sum())) > 1:
            costs = torch.zeros_like(kept)
            for j in range(n_inputs):
                without = kept.clone()
                without[:, j] = 0
                divergence = jensen_shannon(original, forward(stack, _impute(X, without, weights)))
                costs[:, j] = divergence @ weights
            costs = settled(costs).masked_fill_(kept == 0, torch.inf)
            n_gone = max(int(_SHARE_PER_ROUND * n_left), 1)
            gone = costs.argsort(dim=1, stable=True)[:, :n_gone]
            first = n_inputs - n_left
            order = torch.arange(first, first + n_gone, device=X.device).to(X).expand(n, -1)
            ranks.scatter_(1, gone, order)
            kept.scatter_(1, gone, 0.0)
        return torch.where(kept > 0, n_inputs - 1.0, ranks)


def _impute(X: Tensor, kept: Tensor, weights: Tensor) -> Tensor:
    """Replace inputs that are not kept by their regression, ``(n, n_samples, n_inputs)``."""
    rows = torch.cat([X, torch.ones_like(X[:, :1])], 1)
    moment = (rows * weights[:, None]).T @ rows
    kept = torch.cat([kept, torch.ones_like(kept[:, :1])], 1)
    regular = moment + _RIDGE * torch.eye(len(moment)).to(X)
    matrix = regular * kept[:, :, None] * kept[:, None] + torch.diag_embed(1 - kept)
    right = kept[:, :, None] * moment[:, :-1]
    coefficients = torch.cholesky_solve(right, torch.linalg.cholesky(matrix))
    present = kept[:, None, :-1]
    return X * present + (rows @ coefficients) * (1 - present)
