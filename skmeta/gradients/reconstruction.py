"""Weights that make up for those that are missing, in closed form: :func:`reconstruct`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta.population import Parameters, Stack, Tape, forward

_RIDGE = 1e-2


class _Trace(Tape):
    """Keeps the inputs and outputs of the linear layers."""

    def __init__(self) -> None:
        self.states: list[Tensor] = []
        self.outputs: list[Tensor] = []

    def state(self, index: int, h: Tensor) -> Tensor:
        self.states.append(h)
        return h

    def preactivation(self, index: int, z: Tensor) -> Tensor:
        self.outputs.append(z)
        return z


def reconstruct(stack: Stack, masks: Sequence[Tensor], X: Tensor, weights: Tensor) -> Parameters:
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
    params : Parameters
        Weights of the edited networks; masked ones are exactly zero.

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
    >>> params = reconstruct(stack, masks, X, torch.full((50,), 0.02))  # the inputs are equal
    >>> first = stack.params.weight[0]
    >>> torch.allclose(params.weight[0][..., 0], first.sum(2), atol=0.02)
    True
    """
    with torch.no_grad():
        original = _Trace()
        forward(stack, X, tape=original)
        weight = [w * m for w, m in zip(stack.params.weight, masks, strict=True)]
        bias = list(stack.params.bias)
        present = stack.trainable()
        for i, mask in enumerate(masks):
            params = stack.params._replace(weight=tuple(weight), bias=tuple(bias))
            now = _Trace()
            forward(stack, X, params, tape=now)
            wide = mask * present.weight[i] if mask.shape[1] > 1 else mask
            h, missing = now.states[i], original.outputs[i] - now.outputs[i]
            there = stack._ones_mask(i)
            change = _regress(h, missing, wide.expand(-1, -1, h.shape[2]), weights, there)
            weight[i] = weight[i] + change[..., :-1] * mask * present.weight[i]
            bias[i] = bias[i] + change[..., -1] * present.bias[i]
        return stack.params._replace(weight=tuple(weight), bias=tuple(bias))


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
