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


class Matrix(NamedTuple):
    """Where the weights of a linear hidden layer are.

    Attributes
    ----------
    start : int
        Their first column.
    shape : (int, int)
        ``(width_out, width_in)``.
    trained : Tensor of shape (n, width_out, width_in) or None
        Ones at what is trained, zeros at padding; None if all is.
    """

    start: int
    shape: tuple[int, int]
    trained: Tensor | None = None

    def of(self, flat: Tensor) -> Tensor:
        """Return the matrices of all networks, in the memory of the flat weights.

        Parameters
        ----------
        flat : Tensor of shape (n, n_parameters)
            Weights.

        Returns
        -------
        Tensor of shape (n, width_out, width_in)
            A view.
        """
        size = self.shape[0] * self.shape[1]
        return flat[:, self.start : self.start + size].unflatten(1, self.shape)


State = TypeVar("State")


class Rule(Protocol[State]):
    """What :data:`RULES` holds."""

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> State:
        """Return the state before the first step.

        Parameters
        ----------
        weights : Tensor of shape (n, n_parameters)
            As they are then.
        weight_decay : Tensor of shape (n, 1) or (n, n_parameters), optional
            Per network, or per weight; none by default.
        matrices : sequence of Matrix, optional
            The weights of linear hidden layers, for rules that treat them apart.

        Returns
        -------
        State
            Of tensors of its own.
        """
        ...

    def update(
        self, state: State, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Take a step.

        Parameters
        ----------
        state : State
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
        state : State
            For the next one.
        """
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
        return SGDState(_decay(weight_decay), torch.zeros_like(weights))

    def update(
        self, state: SGDState, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, SGDState]:
        """Take a step."""
        if state.weight_decay is not None:
            gradient = gradient.addcmul_(weights, state.weight_decay)
        state.velocity.mul_(self.momentum).add_(gradient)
        return weights.addcmul_(state.velocity, lr, value=-1.0), state


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
        return RMSpropState(_decay(weight_decay), torch.zeros_like(weights))

    def update(
        self, state: RMSpropState, weights: Tensor, gradient: Tensor, lr: Tensor
    ) -> tuple[Tensor, RMSpropState]:
        """Take a step."""
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
        return AdamState(_decay(weight_decay), n_steps, *zeros)

    def update(
        self, state: AdamState, weights: Tensor, gradient: Tensor, lr: Tensor
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
        return MatrixState(matrix, _decay(decay.clone()), scale, torch.zeros_like(weight))

    def update(
        self, state: MuonState, weights: Tensor, gradient: Tensor, lr: Tensor
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


RULES: dict[str, Rule[Any]] = {
    "adam": Adam(),
    "adamw": Adam(decoupled=True),
    "sgd": SGD(),
    "rmsprop": RMSprop(),
    "muon": Muon(),
}
"""The update rules by name."""
