"""Muon for the matrices of hidden layers of stacked networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta.training.elementwise import Adam, AdamState
from skmeta.training.rule import Matrix, Moments, Rule, kept_decay


class MatrixState(NamedTuple):
    """What :class:`Muon` knows of a matrix of each network; no decay is None."""

    matrix: Matrix
    weight_decay: Tensor | None
    scale: Tensor
    momentum: Tensor


class MuonState(NamedTuple):
    """What :class:`Muon` remembers; ``columns`` are those of what is in no matrix."""

    matrices: tuple[MatrixState, ...]
    columns: Tensor
    rest: AdamState


@dataclass(frozen=True)
class Muon(Rule[MuonState]):
    """Muon [1]_ for the weights of linear hidden layers, AdamW for all else.

    As ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, so that one learning rate
    and weight decay serve both.

    Parameters
    ----------
    momentum : float, default=0.95
        Of Nesterov's kind.
    coefficients : (float, float, float)
        Of the polynomial of a Newton-Schulz step.
    n_iterations : int, default=5
        Such steps.
    eps : float, default=1e-7
        Least norm of a matrix.
    adam : Adam
        The rule of all else.

    References
    ----------
    .. [1] Jordan (2024), "Muon: an optimizer for hidden layers in neural networks"; Liu et al.
       (2025), "Muon is scalable for LLM training".
    """

    momentum: float = 0.95
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315)
    n_iterations: int = 5
    eps: float = 1e-7
    adam: Adam = Adam(decoupled=True)

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> MuonState:
        """Return the state before the first step."""
        decay = torch.zeros_like(weights) if weight_decay is None else weight_decay
        decay = decay.expand_as(weights)
        elsewhere = torch.ones(weights.shape[1], dtype=torch.bool, device=weights.device)
        matrices = [matrix for matrix in matrices if matrix.hidden]
        for matrix in matrices:
            matrix.of(elsewhere[None]).fill_(False)
        columns = elsewhere.nonzero().flatten()
        rest = self.adam.init(weights[:, columns], decay[:, columns])
        states = (self._start(matrix, matrix.of(weights), matrix.of(decay)) for matrix in matrices)
        return MuonState(tuple(states), columns, rest)

    def _start(self, matrix: Matrix, weight: Tensor, decay: Tensor) -> MatrixState:
        there = torch.ones_like(weight) if matrix.trained is None else matrix.trained
        sizes = torch.stack([there.amax(dim).sum(1) for dim in (2, 1)])  # without padding
        scale = 0.2 * sizes.amax(0).sqrt()[:, None, None]
        return MatrixState(matrix, kept_decay(decay.clone()), scale, torch.zeros_like(weight))

    def update(
        self,
        state: MuonState,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
    ) -> tuple[Tensor, MuonState]:
        """Take a step."""
        rest, slopes = (flat.index_select(1, state.columns) for flat in (weights, gradient))
        rest, memory = self.adam.update(state.rest, rest, slopes, lr)
        weights.index_copy_(1, state.columns, rest)
        for matrix, decay, scale, momentum in state.matrices:
            weight, slope = matrix.of(weights), matrix.of(gradient)
            momentum.lerp_(slope, 1 - self.momentum)
            step = self._orthogonal(slope.lerp(momentum, self.momentum)).to(weight)
            if matrix.trained is not None:
                step.mul_(matrix.trained)
            if decay is not None:
                weight.mul_(1 - lr[..., None] * decay)
            weight.addcmul_(step, lr[..., None] * scale, value=-1.0)
        return weights, state._replace(rest=memory)

    def needs_moments(self, state: MuonState) -> bool:
        """Tell whether the next step needs the moments of its batch."""
        return False

    def _orthogonal(self, matrices: Tensor) -> Tensor:
        """Bring all singular values near to 1, in bfloat16 as torch does."""
        a, b, c = self.coefficients
        tall = matrices.shape[1] > matrices.shape[2]
        X = matrices.bfloat16()
        X = X.mT if tall else X
        X = X / torch.linalg.vector_norm(X, dim=(1, 2), keepdim=True).clamp(min=self.eps)
        for _ in range(self.n_iterations):
            gram = X @ X.mT
            X = torch.baddbmm(X, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), X, beta=a)
        return X.mT if tall else X
