"""What a small network adds to the step of a rule: :class:`LearnedRule`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta.training import Matrix, Moments, Rule

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
"""Of running means of gradients (paper on learning on gradients, F.2)."""

_SQUARE_DECAYS = (0.9, 0.99)
_PERIODS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
"""Of the 11 numbers that say which step it is."""

WIDTHS = (16, 16)
"""Of the hidden layers."""

SIZE = 1.0
"""Of what is added, where the network's output is 1, relative to the rule's step."""


class Perceptron(NamedTuple):
    """A perceptron that reads every weight alike (DeepSets), with numbers for each network.

    Attributes
    ----------
    n_channels : int
        Numbers of each weight.
    """

    n_channels: int

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of the matrices, biases included: the first one has a part for the time, too."""
        sizes = (self.n_channels + len(_PERIODS), *WIDTHS, 1)
        return [(a + 1, b) for a, b in zip(sizes, sizes[1:], strict=False)]

    @property
    def n_numbers(self) -> int:
        """How many it has."""
        return sum(a * b for a, b in self.shapes)

    def start(self, generator: torch.Generator) -> Tensor:
        """Draw numbers with which it returns zeros.

        Parameters
        ----------
        generator : Generator
            Of the draws.

        Returns
        -------
        Tensor of shape (n_numbers,)
        """
        parts = []
        for a, b in self.shapes[:-1]:
            weight = torch.randn(a, b, generator=generator, dtype=torch.float64) / math.sqrt(a - 1)
            weight[-1] = 0
            parts.append(weight.flatten())
        a, b = self.shapes[-1]
        return torch.cat([*parts, torch.zeros(a * b, dtype=torch.float64)])

    def __call__(self, numbers: Tensor, channels: Tensor, time: Tensor) -> Tensor:
        """Return a number for each weight.

        Parameters
        ----------
        numbers : Tensor of shape (n, n_numbers)
            Of the perceptron, for each network.
        channels : Tensor of shape (n, n_parameters, n_channels)
            Of each weight.
        time : Tensor of shape (n_times,)
            The same for all.

        Returns
        -------
        Tensor of shape (n, n_parameters)
        """
        h = channels
        sizes = [a * b for a, b in self.shapes]
        for i, (part, shape) in enumerate(zip(numbers.split(sizes, 1), self.shapes, strict=True)):
            weight = part.unflatten(1, shape)
            bias = weight[:, -1:]
            if i == 0:  # what is the same for all weights is part of the bias
                bias = bias + (time @ weight[:, self.n_channels : -1])[:, None]
                weight = weight[:, : self.n_channels]
            else:
                h, weight = h.relu_(), weight[:, :-1]
            h = torch.baddbmm(bias, h, weight)
        return h[..., 0]


@dataclass(frozen=True)
class Residual:
    """A perceptron with its numbers, as plain values.

    Parameters
    ----------
    numbers : tuple of float
        See :class:`Perceptron`.
    gradient_features : bool
        Whether it sees squares of gradients of single rows.
    """

    numbers: tuple[float, ...]
    gradient_features: bool

    def of(self, n: int) -> Tensor:
        """Return the numbers for some networks, ``(n, n_numbers)``."""
        return torch.tensor(self.numbers, dtype=torch.float64).expand(n, -1)


class LearnedState(NamedTuple):
    """What :class:`LearnedRule` remembers.

    Attributes
    ----------
    base : tuple
        State of the rule.
    n_steps : int
        How many were taken.
    means : Tensor of shape (6, n, n_parameters)
        Running means of gradients.
    squares : Tensor of shape (2, n, n_parameters) or None
        Of squared gradients of single rows.
    matrices : tuple of Matrix
        Where these are known.
    """

    base: Any
    n_steps: int
    means: Tensor
    squares: Tensor | None
    matrices: tuple[Matrix, ...]


@dataclass(frozen=True, eq=False)
class LearnedRule(Rule[LearnedState]):
    """The step of a rule, and what a perceptron over each weight's history adds to it.

    Equation 10 of the paper on learning on gradients [1]_, with the step of any rule in place of
    momentum: the perceptron sees the weight, its gradient, six running means of it, the rule's own
    step, and which step it is; with ``gradient_features`` (eq. 11) also the mean square of the
    gradients of single rows, which the mean gradient does not tell. All are relative to their root
    mean square over the network, and what is added is relative to that of the rule's step. Where
    the rule leaves a weight alone, so does the perceptron.

    Parameters
    ----------
    base : Rule
        Of :data:`~skmeta.training.RULES`.
    numbers : Tensor of shape (n, n_numbers)
        Of the perceptron, for each network.
    gradient_features : bool
        Whether it sees squares.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients", section 7.2.
    """

    base: Rule[Any]
    numbers: Tensor
    gradient_features: bool

    @property
    def perceptron(self) -> Perceptron:
        """What reads the weights."""
        return perceptron(gradient_features=self.gradient_features)

    def init(
        self, weights: Tensor, weight_decay: Tensor | None = None, matrices: Sequence[Matrix] = ()
    ) -> LearnedState:
        """Return the state before the first step."""
        base = self.base.init(weights, weight_decay, matrices)
        means = weights.new_zeros(len(DECAYS), *weights.shape)
        squares = weights.new_zeros(len(_SQUARE_DECAYS), *weights.shape)
        kept = squares if self.gradient_features else None
        return LearnedState(base, 0, means, kept, tuple(matrices))

    def needs_moments(self, state: LearnedState) -> bool:
        """Tell whether the next step needs the moments of its batch."""
        return self.gradient_features or self.base.needs_moments(state.base)

    def update(
        self,
        state: LearnedState,
        weights: Tensor,
        gradient: Tensor,
        lr: Tensor,
        moments: Sequence[Moments | None] = (),
    ) -> tuple[Tensor, LearnedState]:
        """Take a step."""
        n_steps = state.n_steps + 1
        for mean, decay in zip(state.means, DECAYS, strict=True):
            mean.lerp_(gradient, max(1 - decay, 1 / n_steps))
        if state.squares is not None:
            square = self._squares(state, gradient, moments)
            for mean, decay in zip(state.squares, _SQUARE_DECAYS, strict=True):
                mean.lerp_(square, max(1 - decay, 1 / n_steps))
        before, slope = weights.clone(), gradient.clone()
        told = moments if self.base.needs_moments(state.base) else ()
        weights, base = self.base.update(state.base, weights, gradient, lr, told)
        step = weights - before
        moved = step != 0
        count = moved.sum(1, keepdim=True).clamp_min(1)

        def relative(x: Tensor) -> Tensor:
            return x / _size(x * moved, count)  # absent parameters hold neutral values

        channels = [before, slope, *state.means, step]
        if state.squares is not None:
            roots = state.squares.sqrt()
            tiny = torch.finfo(roots.dtype).tiny
            signal = state.means[2] / roots[0].clamp_min(tiny)
            channels += [*roots, signal]
        table = torch.stack([relative(channel) for channel in channels], -1)
        phases = n_steps / torch.tensor(_PERIODS, dtype=weights.dtype, device=weights.device)
        added = self.perceptron(self.numbers.to(weights), table, phases.tanh())
        scale = SIZE * _size(step, count)
        weights = weights.add_(added.mul_(moved).mul_(scale))
        return weights, LearnedState(base, n_steps, state.means, state.squares, state.matrices)

    def _squares(
        self, state: LearnedState, gradient: Tensor, moments: Sequence[Moments | None]
    ) -> Tensor:
        """Squared gradients of single rows; where they are not known, that of their mean."""
        square = gradient.square()
        if not moments:
            return square
        for matrix, seen in zip(state.matrices, moments, strict=True):
            if seen is None:
                continue
            squares = seen.squares
            matrix.of(square).copy_(squares[..., : matrix.shape[1]])
            if (bias := matrix.bias_of(square)) is not None:
                bias.copy_(squares[..., -1])
        return square


def perceptron(*, gradient_features: bool) -> Perceptron:
    """Return what reads weights, with their squares or without.

    Parameters
    ----------
    gradient_features : bool
        Whether it sees squares.

    Returns
    -------
    Perceptron
    """
    squares = len(_SQUARE_DECAYS) + 1 if gradient_features else 0
    return Perceptron(3 + len(DECAYS) + squares)


def _size(x: Tensor, count: Tensor) -> Tensor:
    """Root mean square over the weights of each network."""
    tiny = torch.finfo(x.dtype).tiny
    return (x.square().sum(1, keepdim=True) / count).sqrt().clamp_min(tiny**0.5)
