"""Update rules that treat every weight alike, on stacked weights, one setting per network.

Each is that of ``torch.optim``, applied to a ``(n, n_parameters)`` tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam

from skmeta.training.rule import Matrix, Moments, Rule, kept_decay


class SGDState(NamedTuple):
    """What :class:`SGD` remembers; no decay is None."""

    weight_decay: Tensor | None
    velocity: Tensor


@dataclass(frozen=True)
class SGD(Rule[SGDState]):
    """Stochastic gradient descent with momentum and L2 weight decay.

    Parameters
    ----------
    momentum : float, default=0.9
        Decay of the velocity.
    """

    momentum: float = 0.9

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> SGDState:
        """Return the state before the first step."""
        return SGDState(kept_decay(weight_decay), torch.zeros_like(weights))

    def update(
        self,
        state: SGDState,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
    ) -> tuple[Tensor, SGDState]:
        """Take a step."""
        if state.weight_decay is not None:
            gradient = gradient.addcmul_(weights, state.weight_decay)
        state.velocity.mul_(self.momentum).add_(gradient)
        return weights.addcmul_(state.velocity, lr, value=-1.0), state

    def needs_moments(self, state: SGDState) -> bool:
        """Tell whether the next step needs the moments of its batch."""
        return False


class RMSpropState(NamedTuple):
    """What :class:`RMSprop` remembers; no decay is None."""

    weight_decay: Tensor | None
    square: Tensor


@dataclass(frozen=True)
class RMSprop(Rule[RMSpropState]):
    """RMSprop with L2 weight decay, without momentum.

    Parameters
    ----------
    alpha, eps : float
        As in ``torch.optim.RMSprop``.
    """

    alpha: float = 0.99
    eps: float = 1e-8

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> RMSpropState:
        """Return the state before the first step."""
        return RMSpropState(kept_decay(weight_decay), torch.zeros_like(weights))

    def update(
        self,
        state: RMSpropState,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
    ) -> tuple[Tensor, RMSpropState]:
        """Take a step."""
        if state.weight_decay is not None:
            gradient = gradient.addcmul_(weights, state.weight_decay)
        state.square.mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        step = state.square.sqrt().add_(self.eps).reciprocal_().mul_(gradient)
        return weights.addcmul_(step, lr, value=-1.0), state

    def needs_moments(self, state: RMSpropState) -> bool:
        """Tell whether the next step needs the moments of its batch."""
        return False


class AdamState(NamedTuple):
    """What :class:`Adam` remembers; no decay is None."""

    weight_decay: Tensor | None
    n_steps: Tensor
    mean: Tensor
    square: Tensor


@dataclass(frozen=True)
class Adam(Rule[AdamState]):
    """Adam; ``decoupled`` selects AdamW's weight decay in place of L2.

    Parameters
    ----------
    betas, eps : float
        As in ``torch.optim.Adam``.
    decoupled : bool, default=False
        Multiply the weights by ``1 - lr * weight_decay`` (AdamW) in place of adding
        ``weight_decay * weight`` to the gradient (Adam).

    Examples
    --------
    >>> import torch
    >>> from skmeta.training import Adam
    >>> rule, weights = Adam(), torch.zeros(2, 3)
    >>> state = rule.init(weights)
    >>> lr = torch.tensor([[0.1], [0.2]])
    >>> weights, state = rule.update(state, weights, torch.ones(2, 3), lr)
    >>> weights
    tensor([[-0.1000, -0.1000, -0.1000],
            [-0.2000, -0.2000, -0.2000]])
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled: bool = False

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> AdamState:
        """Return the state before the first step."""
        n_steps = torch.zeros((), dtype=torch.float32, device=weights.device)
        zeros = (torch.zeros_like(weights) for _ in range(2))
        return AdamState(kept_decay(weight_decay), n_steps, *zeros)

    def update(
        self,
        state: AdamState,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
    ) -> tuple[Tensor, AdamState]:
        """Take a step."""
        if state.weight_decay is not None:
            if self.decoupled:
                weights.mul_(1 - lr * state.weight_decay)
            else:
                gradient.addcmul_(weights, state.weight_decay)
        # torch's fused kernel knows one learning rate: it takes a step of size 1 from zero,
        # which is then scaled per network.
        step = torch.zeros_like(weights)
        adam(
            [step],
            [gradient],
            [state.mean],
            [state.square],
            [],
            [state.n_steps],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=1.0,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
        return weights.addcmul_(step, lr), state

    def needs_moments(self, state: AdamState) -> bool:
        """Tell whether the next step needs the moments of its batch."""
        return False
