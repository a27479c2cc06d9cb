"""What a small network adds to the step of a rule: :class:`LearnedRule`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta.population.mapping import pieces
from skmeta.training import Matrix, Moments
from skmeta.training.rule import Rule

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
"""Of running means of gradients (paper on learning on gradients, F.2)."""

_SQUARE_DECAYS = (0.9, 0.99)
_PERIODS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
"""Of the 11 numbers that say which step it is."""

_TINY = 1e-18
"""Least size that channels are divided by, whose square is above the least float32."""

_PER_WEIGHT = 256
"""Numbers that the perceptron is said to hold for each weight: pieces fit into a near cache."""

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

    def __call__(self, numbers: Tensor, channels: Tensor, sizes: Tensor, time: Tensor) -> Tensor:
        """Return a number for each weight.

        Parameters
        ----------
        numbers : Tensor of shape (n, n_numbers)
            Of the perceptron, for each network.
        channels : Tensor of shape (n_channels, n, n_parameters)
            Of each weight.
        sizes : Tensor of shape (n_channels, n)
            By which channels are divided.
        time : Tensor of shape (n_times,)
            The same for all.

        Returns
        -------
        Tensor of shape (n, n_parameters)
        """
        counts = [a * b for a, b in self.shapes]
        parts = zip(numbers.split(counts, 1), self.shapes, strict=True)
        matrices = [part.unflatten(1, shape).mT for part, shape in parts]
        first = matrices[0]
        # What is the same for all weights of a network is part of the bias.
        bias = first[..., -1:] + (first[..., self.n_channels : -1] @ time)[..., None]
        first = first[..., : self.n_channels] / sizes.T[:, None]
        layers = [(bias, first), *((m[..., -1:], m[..., :-1]) for m in matrices[1:])]
        found = torch.empty_like(channels[0])
        for some in pieces(found.shape[1], _PER_WEIGHT * len(found), found.device):
            h = channels[:, :, some].transpose(0, 1)
            for number, (shift, matrix) in enumerate(layers):
                h = torch.baddbmm(shift, matrix, h.relu_() if number else h)
            found[:, some] = h[:, 0]
        return found


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
        """Return the numbers for some networks.

        Parameters
        ----------
        n : int
            How many networks.

        Returns
        -------
        Tensor of shape (n, n_numbers)
        """
        return torch.tensor(self.numbers, dtype=torch.float64).expand(n, -1)


class LearnedState(NamedTuple):
    """What :class:`LearnedRule` remembers.

    Attributes
    ----------
    base : tuple
        State of the rule.
    n_steps : int
        How many were taken.
    channels : Tensor of shape (n_channels, n, n_parameters)
        What the perceptron sees; running means of gradients come first.
    squares : Tensor of shape (2, n, n_parameters) or None
        Running means of squared gradients of single rows.
    matrices : tuple of Matrix
        Where these are known.
    periods : Tensor of shape (11,)
        By which steps are counted.
    """

    base: Any
    n_steps: int
    channels: Tensor
    squares: Tensor | None
    matrices: tuple[Matrix, ...]
    periods: Tensor


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
        channels = weights.new_zeros(self.perceptron.n_channels, *weights.shape)
        squares = weights.new_zeros(len(_SQUARE_DECAYS), *weights.shape)
        kept = squares if self.gradient_features else None
        periods = torch.tensor(_PERIODS, dtype=weights.dtype, device=weights.device)
        return LearnedState(base, 0, channels, kept, tuple(matrices), periods)

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
        n_steps, n, channels = state.n_steps + 1, len(DECAYS), state.channels
        before, slope, step = channels[n : n + 3]
        before.copy_(weights)
        slope.copy_(gradient)
        _average(channels[:n], gradient, DECAYS, n_steps)
        if state.squares is not None:
            square = self._squares(state, gradient, moments)
            _average(state.squares, square, _SQUARE_DECAYS, n_steps)
            roots = channels[n + 3 : -1]
            torch.sqrt(state.squares, out=roots)
            torch.div(channels[2], roots[0].clamp_min(_TINY), out=channels[-1])  # signal and noise
        told = moments if self.base.needs_moments(state.base) else ()
        weights, base = self.base.update(state.base, weights, gradient, lr, told)
        torch.sub(weights, before, out=step)
        moved = step != 0
        before.mul_(moved)  # absent parameters hold neutral values
        count = moved.sum(1).clamp_min(1)
        sizes = torch.linalg.vector_norm(channels, dim=2) / count.sqrt()
        phases = n_steps / state.periods
        numbers = self.numbers.to(weights)
        added = self.perceptron(numbers, channels, sizes.clamp_min(_TINY), phases.tanh())
        weights = weights.addcmul_(added.mul_(moved), SIZE * sizes[n + 2, :, None])
        return weights, state._replace(base=base, n_steps=n_steps)

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


def _average(means: Tensor, new: Tensor, decays: Sequence[float], n_steps: int) -> None:
    """Take values into running means, the first of which are those of few steps."""
    for mean, decay in zip(means, decays, strict=True):
        mean.lerp_(new, max(1 - decay, 1 / n_steps))
