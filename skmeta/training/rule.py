"""What turns gradients into a step: :class:`Rule`, and what rules are told of networks.

A rule holds hyper-parameters only. What it remembers is a state, a named tuple of tensors, which
its caller keeps: a copy of the state is a fork of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor


class Matrix(NamedTuple):
    """Where the weights of a linear layer are, and its biases.

    Attributes
    ----------
    stage : int
        Number of the layer.
    start : int
        First column of the weights.
    shape : (int, int)
        ``(width_out, width_in)``.
    bias : int or None
        First column of the biases; None if no network has any.
    hidden : bool
        Whether it is not the last layer.
    trained, trained_bias : Tensor of shape (n, width_out, width_in) and (n, width_out), or None
        Ones at what is trained, zeros at padding; None if all is.
    """

    stage: int
    start: int
    shape: tuple[int, int]
    bias: int | None = None
    hidden: bool = True
    trained: Tensor | None = None
    trained_bias: Tensor | None = None

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

    def bias_of(self, flat: Tensor) -> Tensor | None:
        """Return the biases of all networks, in the memory of the flat weights.

        Parameters
        ----------
        flat : Tensor of shape (n, n_parameters)
            Weights.

        Returns
        -------
        Tensor of shape (n, width_out) or None
            A view.
        """
        return None if self.bias is None else flat[:, self.bias : self.bias + self.shape[0]]


class Moments(NamedTuple):
    """What a batch tells of a linear layer beside its gradient.

    Attributes
    ----------
    h : Tensor of shape (n, rows, width_in + 1)
        States that enter, with a one for the bias.
    delta : Tensor of shape (n, rows, width_out)
        Gradients at what leaves, up to a factor.
    """

    h: Tensor
    delta: Tensor

    @property
    def inputs(self) -> Tensor:
        """Second moments of what enters, ``(n, width_in + 1, width_in + 1)``."""
        return (self.h.mT @ self.h) / self.h.shape[1]

    @property
    def outputs(self) -> Tensor:
        """Second moments of the gradients at what leaves, summed, ``(n, width_out, width_out)``."""
        return self.delta.mT @ self.delta

    @property
    def squares(self) -> Tensor:
        """Squared gradients of single rows, summed, ``(n, width_out, width_in + 1)``."""
        return self.delta.square().mT @ self.h.square()


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
            The linear layers, for rules that treat them apart.

        Returns
        -------
        State
            Of tensors of its own.
        """
        ...

    def update(
        self,
        state: State,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
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
        moments : sequence of Moments
            One for each matrix, if the rule needs them; None for one that was not used.

        Returns
        -------
        weights : Tensor of shape (n, n_parameters)
            Behind the step.
        state : State
            For the next one.
        """
        ...

    def needs_moments(self, state: State) -> bool:
        """Tell whether the next step needs the moments of its batch.

        Parameters
        ----------
        state : State
            Before that step.

        Returns
        -------
        bool
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


def kept_decay(weight_decay: Tensor | None) -> Tensor | None:
    """Leave out decays that do nothing.

    Parameters
    ----------
    weight_decay : Tensor or None
        Of weights.

    Returns
    -------
    Tensor or None
        None if all are zero.
    """
    return weight_decay if weight_decay is not None and weight_decay.any() else None
