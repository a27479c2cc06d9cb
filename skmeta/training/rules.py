"""Update rules on stacked weights, one setting per network: what turns gradients into a step.

Each rule is that of ``torch.optim``, applied to a ``(n, n_parameters)`` tensor. A rule holds
hyper-parameters only. What it remembers is a state, a named tuple of tensors, which its caller
keeps: a copy of the state is a fork of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch.optim.adam import adam

Matrix = tuple[int, tuple[int, int]]
"""Where the weights ``(width_out, width_in)`` of a hidden layer begin in a row, and their shape."""

State = TypeVar("State")


class Rule(Protocol[State]):
    """What :data:`RULES` holds."""

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> State:
        """Return the state before the first step."""
        ...

    def update(
        self, state: State, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Take a step, in the memory of all that comes in."""
        ...


def copy_state(state: Any) -> Any:
    """Copy the state of a rule, so that steps from one leave the other as it is.

    Parameters
    ----------
    state : tuple, Tensor or None
        From ``init`` or ``update``.

    Returns
    -------
    tuple, Tensor or None
        As the state.
    """
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*map(copy_state, state))
    return tuple(map(copy_state, state)) if isinstance(state, tuple) else state


def _decay(weight_decay: Tensor | None) -> Tensor | None:
    """Leave out decays that do nothing."""
    return weight_decay if weight_decay is not None and weight_decay.any() else None


class SGDState(NamedTuple):
    """What :class:`SGD` remembers; no decay is None."""

    weight_decay: Tensor | None
    velocity: Tensor


@dataclass(frozen=True)
class SGD:
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
        """Return the state before the first step; see :class:`Adam`."""
        return SGDState(_decay(weight_decay), torch.zeros_like(weights))

    def update(
        self, state: SGDState, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, SGDState]:
        """Take a step; see :class:`Adam`."""
        if state.weight_decay is not None:
            gradient = gradient.addcmul_(weights, state.weight_decay)
        state.velocity.mul_(self.momentum).add_(gradient)
        return weights.addcmul_(state.velocity, lr, value=-1.0), state


class RMSpropState(NamedTuple):
    """What :class:`RMSprop` remembers; no decay is None."""

    weight_decay: Tensor | None
    square: Tensor


@dataclass(frozen=True)
class RMSprop:
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
        """Return the state before the first step; see :class:`Adam`."""
        return RMSpropState(_decay(weight_decay), torch.zeros_like(weights))

    def update(
        self, state: RMSpropState, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, RMSpropState]:
        """Take a step; see :class:`Adam`."""
        if state.weight_decay is not None:
            gradient = gradient.addcmul_(weights, state.weight_decay)
        state.square.mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        step = state.square.sqrt().add_(self.eps).reciprocal_().mul_(gradient)
        return weights.addcmul_(step, lr, value=-1.0), state


class AdamState(NamedTuple):
    """What :class:`Adam` remembers; no decay is None."""

    weight_decay: Tensor | None
    n_steps: Tensor
    mean: Tensor
    square: Tensor


@dataclass(frozen=True)
class Adam:
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
        """Return the state before the first step.

        Parameters
        ----------
        weights : Tensor of shape (n, n_parameters)
            As they are then.
        weight_decay : Tensor of shape (n, 1) or (n, n_parameters), optional
            Per network, or per weight; none by default.
        matrices : sequence of (int, (int, int)), optional
            Weights of hidden layers: the first column, and (width_out, width_in).

        Returns
        -------
        AdamState
            Of tensors of its own.
        """
        n_steps = torch.zeros((), dtype=torch.float32, device=weights.device)
        zeros = (torch.zeros_like(weights) for _ in range(2))
        return AdamState(_decay(weight_decay), n_steps, *zeros)

    def update(
        self, state: AdamState, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, AdamState]:
        """Take a step.

        Parameters
        ----------
        state : AdamState
            What came out of the last step, or of ``init``; its memory is used again.
        weights : Tensor of shape (n, n_parameters)
            Their memory is used again.
        gradient : Tensor of shape (n, n_parameters)
            Of each network's loss. It is overwritten.
        lr : Tensor of shape (n, 1)
            Learning rates.

        Returns
        -------
        weights : Tensor of shape (n, n_parameters)
            Behind the step.
        state : AdamState
            For the next one.
        """
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


RULES: dict[str, Rule[Any]] = {
    "adam": Adam(),
    "adamw": Adam(decoupled=True),
    "sgd": SGD(),
    "rmsprop": RMSprop(),
}
"""The update rules by name."""
