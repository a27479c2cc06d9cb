"""Steps along the natural gradient, by Kronecker factors, for the matrices of stacked networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta.training.elementwise import Adam, AdamState
from skmeta.training.rule import Matrix, Moments, Rule, kept_decay

_SIZE = 0.3
"""Root mean square of a long step with a learning rate of 1; AdamW's are about as long."""

_VANISHING = 0.1
"""Size of the mean gradient, relative to the root mean square of gradients, at which a step has
half its length; of noise alone it would be .23."""

WIDEST = 320
"""Columns of the largest block: inverses take their third power."""

_TINY = 1e-35
"""What is below counts as zero; float32 has no inverse of much smaller numbers."""


class LayerState(NamedTuple):
    """What :class:`Kfac` knows of a layer; biases are a last column.

    Attributes
    ----------
    matrix : Matrix
        Where it is.
    weight_decay, trained : Tensor of shape (n, width_out, columns) or None
        None if there is none, or all are trained.
    columns : Tensor of shape (n, 1, columns) or None
        Ones at columns that are trained; not all networks of a stack have biases.
    n_inputs, n_outputs, size : Tensor of shape (n, 1, 1)
        Columns, rows and entries without padding.
    inputs, outputs : Tensor of shape (n, n_blocks, size, size) and (n, width_out, width_out)
        Running means of the moments.
    left, right : Tensor
        Inverses of the one and the other.
    momentum : Tensor of shape (n, width_out, columns)
        Running mean of gradients.
    square : Tensor of shape (n, 1, 1)
        Running mean of their squared norms.
    """

    matrix: Matrix
    weight_decay: Tensor | None
    trained: Tensor | None
    columns: Tensor | None
    n_inputs: Tensor
    n_outputs: Tensor
    size: Tensor
    inputs: Tensor
    outputs: Tensor
    left: Tensor
    right: Tensor
    momentum: Tensor
    square: Tensor


class KfacState(NamedTuple):
    """What :class:`Kfac` remembers; ``columns`` are those of what is in no linear layer."""

    n_steps: int
    layers: tuple[LayerState, ...]
    columns: Tensor
    rest: AdamState


@dataclass(frozen=True, eq=False)
class Kfac(Rule[KfacState]):
    """K-FAC [1]_ for the linear layers, AdamW for all else.

    The curvature of a layer is taken to be the Kronecker product of the second moments of what
    enters it and of the gradients at what leaves it, here those of the batch's own labels (the
    empirical Fisher information). The running mean of gradients, times the inverses of both, gives
    the direction of a step. Its length hardly depends on the gradient, as in Muon: about that of
    AdamW's, so that a learning rate means the same, unless gradients vanish in comparison with what
    they have been; where there is no loss left, the direction of a step is noise. So curvature is
    needed up to a factor only, and the scale of the loss plays no part. Of more than 320 inputs the
    moments are taken in blocks, which costs time in proportion.

    Parameters
    ----------
    damping : float or Tensor of shape (n,), default=0.1
        Added to both moments, relative to their mean eigenvalue; one number, or one per network.
    momentum : float, default=0.9
        Decay of the running mean of gradients.
    decay : float, default=0.8
        Of that of moments.
    every : int, default=5
        Steps from one batch whose moments are taken to the next.
    inverse_every : int, default=20
        Steps from one inverse to the next; they come faster in the beginning.
    adam : Adam
        The rule of all else.

    References
    ----------
    .. [1] Martens and Grosse (2015), "Optimizing neural networks with Kronecker-factored
       approximate curvature".

    Examples
    --------
    >>> import torch
    >>> from skmeta.training import Kfac, Matrix, Moments
    >>> rule, weights = Kfac(damping=1e-3), torch.zeros(1, 2)
    >>> state = rule.init(weights, matrices=[Matrix(0, 0, (1, 2))])
    >>> h = torch.tensor([[[10.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> moments = [Moments(h, torch.ones(1, 3, 1))]
    >>> gradient, lr = torch.tensor([[100.0, 1.0]]), torch.tensor([[1.0]])
    >>> weights, state = rule.update(state, weights, gradient, lr, moments)
    >>> weights.round(decimals=1)
    tensor([[-0.3000, -0.3000]])
    """

    damping: float | Tensor = 0.1
    momentum: float = 0.9
    decay: float = 0.8
    every: int = 5
    inverse_every: int = 20
    adam: Adam = Adam(decoupled=True)

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> KfacState:
        """Return the state before the first step."""
        decay = torch.zeros_like(weights) if weight_decay is None else weight_decay
        decay = decay.expand_as(weights)
        elsewhere = torch.ones(weights.shape[1], dtype=torch.bool, device=weights.device)
        for matrix in matrices:
            matrix.of(elsewhere[None]).fill_(False)
            if (bias := matrix.bias_of(elsewhere[None])) is not None:
                bias.fill_(False)
        columns = elsewhere.nonzero().flatten()
        rest = self.adam.init(weights[:, columns], decay[:, columns])
        layers = tuple(self._start(matrix, weights, decay) for matrix in matrices)
        return KfacState(0, layers, columns, rest)

    def _start(self, matrix: Matrix, weights: Tensor, decay: Tensor) -> LayerState:
        momentum = torch.zeros_like(_joined(matrix, weights))
        trained = None
        if matrix.trained is not None:
            ones = weights.new_ones(len(weights), matrix.shape[0])
            bias = ones if matrix.trained_bias is None else matrix.trained_bias
            parts = [matrix.trained] + [bias[..., None]] * (matrix.bias is not None)
            trained = torch.cat(parts, -1)
        there = torch.ones_like(momentum) if trained is None else trained
        rows, columns = there.amax(2), there.amax(1)
        n_outputs, n_inputs = (some.sum(1)[:, None, None] for some in (rows, columns))
        size = there.sum((1, 2))[:, None, None]
        n_blocks = -(-momentum.shape[2] // WIDEST)
        size_of_block = -(-momentum.shape[2] // n_blocks)
        left = momentum.new_zeros(len(momentum), *[momentum.shape[1]] * 2)
        right = momentum.new_zeros(len(momentum), n_blocks, *[size_of_block] * 2)
        return LayerState(
            matrix=matrix,
            weight_decay=kept_decay(_joined(matrix, decay)),
            trained=trained,
            columns=None if trained is None else columns[:, None],
            n_inputs=n_inputs.clamp_min(1),
            n_outputs=n_outputs.clamp_min(1),
            size=size.clamp_min(1),
            inputs=right,
            outputs=left,
            left=left.clone(),
            right=right.clone(),
            momentum=momentum,
            square=torch.zeros_like(size, dtype=torch.float64),
        )

    def update(
        self,
        state: KfacState,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
    ) -> tuple[Tensor, KfacState]:
        """Take a step."""
        rest, slopes = (flat.index_select(1, state.columns) for flat in (weights, gradient))
        rest, memory = self.adam.update(state.rest, rest, slopes, lr)
        weights.index_copy_(1, state.columns, rest)
        layers = state.layers
        if moments:
            layers = tuple(
                layer if seen is None else self._learn(state.n_steps, layer, seen)
                for layer, seen in zip(layers, moments, strict=True)
            )
        for layer in layers:
            self._step(state.n_steps, layer, weights, gradient, lr[..., None])
        return weights, KfacState(state.n_steps + 1, layers, state.columns, memory)

    def needs_moments(self, state: KfacState) -> bool:
        """Tell whether the next step needs the moments of its batch."""
        return state.n_steps < self.inverse_every or state.n_steps % self.every == 0

    def _learn(self, step: int, layer: LayerState, seen: Moments) -> LayerState:
        """Take moments of a batch into their means, and invert these from time to time."""
        new = max(1 - self.decay, 1 / (step + 1))  # the first means are those of few batches
        h = seen.h[..., : layer.momentum.shape[2]]  # without ones where there is no bias
        h = _in_blocks(h if layer.columns is None else h * layer.columns, layer.inputs)
        layer.inputs.lerp_(h.mT @ h / h.shape[2], new)
        # Each batch counts alike: neither a scaled loss nor one that falls weighs moments.
        largest = seen.delta.abs().amax((1, 2), keepdim=True).clamp_min(_TINY)
        outputs = Moments(seen.h, seen.delta / largest).outputs
        layer.outputs.lerp_(outputs / _mean(outputs, layer.n_outputs), new)
        early = step < self.inverse_every and step & (step + 1) == 0
        if not early and step % self.inverse_every:
            return layer
        left = self._inverse(layer.outputs, layer.n_outputs)
        return layer._replace(left=left, right=self._inverse(layer.inputs, layer.n_inputs))

    def _step(
        self, n: int, layer: LayerState, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> None:
        matrix, momentum = layer.matrix, layer.momentum
        slope = _joined(matrix, gradient)
        momentum.lerp_(slope, max(1 - self.momentum, 1 / (n + 1)))
        layer.square.lerp_(_norm(slope).square(), max(1 - self.adam.betas[1], 1 / (n + 1)))
        step = _in_blocks(layer.left @ momentum, layer.right) @ layer.right
        step = step.transpose(1, 2).flatten(2)[..., : momentum.shape[2]]
        if layer.trained is not None:
            step.mul_(layer.trained)
        relative = _norm(momentum) / layer.square.sqrt().clamp_min(_TINY)
        length = _SIZE * layer.size.sqrt() * relative / (relative + _VANISHING)
        step.mul_((lr * length / _norm(step).clamp_min(_TINY)).to(step))
        if layer.weight_decay is not None:
            step.addcmul_(lr * layer.weight_decay, _joined(matrix, weights))
        matrix.of(weights).sub_(step[..., : matrix.shape[1]])
        if (bias := matrix.bias_of(weights)) is not None:
            bias.sub_(step[..., -1])

    def _inverse(self, moment: Tensor, count: Tensor) -> Tensor:
        """Invert damped moments; one that cannot be is nan, for its network alone."""
        damping = self.damping
        if isinstance(damping, Tensor):
            damping = damping.reshape(-1, *[1] * (moment.ndim - 2))
        damped = moment / _mean(moment, count)
        damped.diagonal(dim1=-2, dim2=-1).add_(damping)
        factor, info = torch.linalg.cholesky_ex(damped)
        factor = torch.where(info[..., None, None] == 0, factor, math.nan)
        return torch.cholesky_inverse(factor)


def _joined(matrix: Matrix, flat: Tensor) -> Tensor:
    """Return weights with biases as a last column."""
    bias = matrix.bias_of(flat)
    parts = [matrix.of(flat)] + ([] if bias is None else [bias[..., None]])
    return torch.cat(parts, -1)


def _norm(x: Tensor) -> Tensor:
    """Norms of matrices, in float64: squares of gradients that vanish are below float32."""
    return torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True, dtype=torch.float64)


def _mean(moment: Tensor, count: Tensor) -> Tensor:
    """Mean eigenvalue, without those of padding."""
    trace = moment.diagonal(dim1=-2, dim2=-1).flatten(1).sum(1)
    mean = (trace / count.flatten()).clamp_min(torch.finfo(moment.dtype).tiny)
    return mean.view(-1, *[1] * (moment.ndim - 1))


def _in_blocks(x: Tensor, like: Tensor) -> Tensor:
    """Cut columns into blocks, filled up with zeros: ``(n, n_blocks, rows, size)``."""
    n_blocks, size = like.shape[1], like.shape[-1]
    if missing := n_blocks * size - x.shape[-1]:
        x = torch.nn.functional.pad(x, (0, missing))
    return x.unflatten(2, (n_blocks, size)).transpose(1, 2)
