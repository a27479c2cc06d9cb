"""Weights that make up for those that are missing, in closed form: :func:`reconstruct`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.population import Stack, Weights, forward

_RIDGE = 1e-2


def reconstruct(stack: Stack, masks: Sequence[Tensor], X: Tensor, weights: Tensor) -> Weights:
    """Set masked weights to zero and fit the others so that each layer's outputs stay.

    Layer by layer, from the inputs on, each neuron's kept weights and bias are the ridge
    regression of its original preactivations on what the edited layers below now give, as
    in optimal brain surgeon-like methods [1]_ but with all weights of a row at once.

    Parameters
    ----------
    stack : Stack
        Original networks.
    masks : sequence of Tensor
        Zeros and ones per layer, ``(n, out, in)`` or broadcastable against it.
    X : Tensor of shape (n_samples, n_inputs)
        Rows to regress on.
    weights : Tensor of shape (n_samples,)
        Weights of the rows; they sum to 1.

    Returns
    -------
    Weights
        Of the edited networks; masked ones are exactly zero.

    References
    ----------
    .. [1] E. Frantar, D. Alistarh, "Optimal brain compression", 2022.

    Examples
    --------
    >>> import torch
    >>> from skmeta.gradients import reconstruct
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> population = Population.initialize(Architecture.mlp((2, 8, 2)), 5, random_state=0)
    >>> ((_, stack),) = population.blocks
    >>> X = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)).expand(50, 2)
    >>> masks = (torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, 1))
    >>> weights = reconstruct(stack, masks, X, torch.full((50,), 0.02))  # the inputs are equal
    >>> first = stack.weights["0.weight"]
    >>> torch.allclose(weights["0.weight"][..., 0], first.sum(2), atol=0.02)
    True
    """
    with torch.no_grad():
        now = dict(stack.weights.items())
        present = stack.present()
        before = _states(stack, X, stack.weights)
        for i, mask in enumerate(masks):
            now[f"{i}.weight"] = now[f"{i}.weight"] * mask
        for i, mask in enumerate(masks):
            weight, bias = f"{i}.weight", f"{i}.bias"
            mix = stack.plan[i].mix
            h = _states(stack, X, Weights.of(stack.weights.layout, now))[i]
            old = mix.forward(before[i], stack.weights[weight], stack.weights.get(bias), None)
            missing = old - mix.forward(h, now[weight], now.get(bias), None)
            wide = mask * present[weight] if mask.shape[1] > 1 else mask
            there = stack.true_neurons(i)
            change = _regress(h, missing, wide.expand(-1, -1, h.shape[2]), weights, there)
            now[weight] = now[weight] + change[..., :-1] * mask * present[weight]
            if bias in now:
                now[bias] = now[bias] + change[..., -1] * present[bias]
        return Weights.of(stack.weights.layout, now)


def _states(stack: Stack, X: Tensor, weights: Weights) -> list[Tensor]:
    """Return the state that enters each stage."""
    states: list[Tensor] = []
    forward(stack, X, weights, see=lambda _, h: states.append(h))
    return states


def _regress(h: Tensor, target: Tensor, mask: Tensor, weights: Tensor, there: Tensor) -> Tensor:
    """Regress targets ``(n, samples, out)`` on kept columns of ``[h, 1]``, ``(n, out, in + 1)``.

    ``mask`` is ``(n, out, in)``, or ``(n, 1, in)`` if all neurons keep the same columns;
    ``there`` has ones at true columns ``(n, in)``: how much padding there is depends on the
    other networks of the stack.
    """
    h = torch.cat([h, torch.ones_like(h[..., :1])], 2)
    mask = torch.cat([mask, torch.ones_like(mask[..., :1])], 2).expand(len(h), -1, -1)
    weighted = h * weights[:, None]
    moment = torch.bmm(weighted.transpose(1, 2), h)
    right = torch.bmm(target.transpose(1, 2), weighted)
    ridge = _RIDGE * moment.diagonal(dim1=1, dim2=2).sum(1) / (there.sum(1) + 1)
    eye = torch.eye(h.shape[2]).to(h)
    regular = moment + ridge[:, None, None] * eye
    # A masked column becomes that of the unit matrix: its coefficient is zero.
    matrix = regular[:, None] * mask[..., None] * mask[:, :, None] + torch.diag_embed(1 - mask)
    factor = torch.linalg.cholesky(matrix)
    if mask.shape[1] == 1:
        return torch.cholesky_solve((right * mask).transpose(1, 2), factor[:, 0]).transpose(1, 2)
    return torch.cholesky_solve((right * mask)[..., None], factor)[..., 0]
