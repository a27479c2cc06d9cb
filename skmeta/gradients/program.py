"""Forward and backward passes of a stack: :class:`Program`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from skmeta.gradients.factors import Affine, Factors, Outer
from skmeta.population import Stack, Weights
from skmeta.population.columns import Pass, Return, Rows
from skmeta.population.forward import run

Dropout = Callable[[int, Tensor, Tensor], Tensor]
"""``dropout(stage, h, rates)`` draws the factors of the states of a stage in training."""


@dataclass
class Trace:
    """What a forward pass keeps for backward passes.

    Attributes
    ----------
    weights : Weights
        Of the networks that ran.
    passing : Pass
        States and what operations have kept.
    """

    weights: Weights
    passing: Pass

    @property
    def states(self) -> list[Tensor]:
        """State that enters each stage, ``(n, rows, width)``; of images, positions are rows."""
        states = self.passing.states
        return [states[index] for index in range(len(states))]


class _Sink(Protocol):
    """Told the parts of a gradient."""

    def mix(self, stage: int, h: Tensor, g: Tensor) -> None:
        """Take the states that enter a mix and the gradient behind it."""

    def affine(self, stage: int, rows: Rows, normal: Tensor, g: Tensor) -> None:
        """Take what a scale multiplies and the gradient behind it, which will be overwritten."""


class Program:
    """The networks of a stack as one function with a gradient, without autograd.

    Small networks spend more time around their matrix products than in them. Gradients are
    written where they are wanted, those of skip connections add up in place, and runs of equal
    networks are normalised and activated in their own rows. Operations that know no gradient by
    hand are differentiated one by one.

    Parameters
    ----------
    stack : Stack
        The networks.

    Examples
    --------
    >>> import torch
    >>> from skmeta.gradients import Program
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> population = Population.initialize(Architecture.mlp((3, 8, 2)), 5, random_state=0)
    >>> ((_, stack),) = population.blocks
    >>> program = Program(stack)
    >>> outputs, trace = program.forward(torch.ones(10, 3))
    >>> factors = program.backward(trace, outputs.softmax(-1) - torch.tensor([1.0, 0.0]))
    >>> factors.gradient()["0.weight"].shape, factors.per_sample()["0.weight"].shape
    (torch.Size([5, 8, 3]), torch.Size([5, 10, 8, 3]))
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def forward(
        self,
        X: Tensor,
        weights: Weights | None = None,
        *,
        train: bool = False,
        dropout: Dropout | None = None,
    ) -> tuple[Tensor, Trace]:
        """Run the networks and keep what backward passes need.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
            Shared rows, or rows per network.
        weights : Weights, optional
            In place of the stack's own.
        train : bool, default=False
            Normalise batches by their own statistics, and drop.
        dropout : callable, optional
            ``dropout(stage, h, rates)`` draws the factors of a state ``(n, rows, width)``.

        Returns
        -------
        outputs : Tensor of shape (n, n_samples, n_outputs)
            Without a graph.
        trace : Trace
            For :meth:`backward`.
        """
        weights = self.stack.weights if weights is None else weights
        bare = weights.map(torch.detach) if weights.flat.requires_grad else weights
        passing = Pass(self.stack.values(bare), train, keep=True, dropout=dropout)
        with torch.no_grad():
            outputs = run(self.stack, X.detach(), passing)
        return outputs, Trace(weights, passing)

    def backward(self, trace: Trace, gradient: Tensor) -> Factors:
        """Return the gradient of all weights as factors.

        Parameters
        ----------
        trace : Trace
            From :meth:`forward`.
        gradient : Tensor of shape (n, n_samples, n_outputs)
            At the outputs.

        Returns
        -------
        Factors
            Of the sum over rows, and of each row.
        """
        factors = Factors(self.stack, trace.weights.layout)
        self._walk(trace, gradient, _Collect(factors))
        return factors

    def gradient(self, trace: Trace, gradient: Tensor, out: Weights) -> None:
        """Write the gradient of all weights, summed over the rows.

        Padded neurons stay zero, their gradients need not: the weights behind them are zero, and
        whoever reads the gradient must drop that of entries that are no parameters.

        Parameters
        ----------
        trace : Trace
            From :meth:`forward`.
        gradient : Tensor of shape (n, n_samples, n_outputs)
            At the outputs.
        out : Weights
            In the layout of the weights, zero at first; overwritten but for scales and shifts
            that a network lacks.
        """
        self._walk(trace, gradient, _Write(self.stack, out))

    def statistics(self, trace: Trace) -> list[tuple[int, slice, Tensor, Tensor]]:
        """Return what batch normalisations have seen in training.

        Parameters
        ----------
        trace : Trace
            From :meth:`forward` with ``train``.

        Returns
        -------
        list of (int, slice, Tensor, Tensor)
            Stage, networks, mean and unbiased variance ``(n_networks, 1, width)``.
        """
        found = []
        for index, (stage, saved) in enumerate(
            zip(self.stack.plan, trace.passing.saved, strict=True)
        ):
            for column, kept in zip(stage.columns, saved, strict=True):
                found += [(index, *seen) for seen in column.seen(kept)]
        return found

    @torch.no_grad()
    def _walk(self, trace: Trace, gradient: Tensor, sink: _Sink) -> None:
        plan, passing = self.stack.plan, trace.passing
        arrived: list[Tensor | None] = [None] * (len(plan) + 1)
        arrived[-1] = gradient.clone() if plan[-1].columns else gradient
        back = Return(passing.states, arrived, sink.affine)
        for index in reversed(range(len(plan))):
            stage, g, h = plan[index], arrived[index + 1], passing.states[index]
            arrived[index + 1] = None
            assert g is not None
            columns = zip(stage.columns, passing.saved[index], strict=True)
            for column, saved in reversed(list(columns)):
                g = column.backward(g, saved, back)
            sink.mix(index, h, g)
            if index:
                weight = passing.values[f"{index}.weight"]
                arrived[index] = stage.mix.pull(g, weight, stage.size, arrived[index])


class _Write:
    """Writes sums over rows."""

    def __init__(self, stack: Stack, out: Weights) -> None:
        self.plan, self.out = stack.plan, out

    def mix(self, stage: int, h: Tensor, g: Tensor) -> None:
        bias = self.out.get(f"{stage}.bias")
        if bias is not None:
            torch.sum(g, 1, out=bias)
        # Faster than a product that writes into a slice.
        plan = self.plan[stage]
        self.out[f"{stage}.weight"].copy_(plan.mix.gradient(h, g, plan.size))

    def affine(self, stage: int, rows: Rows, normal: Tensor, g: Tensor) -> None:
        if f"{stage}.scale" in self.out:
            self.out[f"{stage}.scale"][rows] = (g * normal).sum(1)
            self.out[f"{stage}.shift"][rows] = g.sum(1)


class _Collect:
    """Keeps the factors."""

    def __init__(self, factors: Factors) -> None:
        self.factors = factors

    def mix(self, stage: int, h: Tensor, g: Tensor) -> None:
        mask = self.factors.stack.state_mask(stage + 1)
        # Skip connections bring gradients to padding, which is no neuron.
        self.factors.outer[stage] = Outer(h, g if mask is None else g * mask[:, None])

    def affine(self, stage: int, rows: Rows, normal: Tensor, g: Tensor) -> None:
        self.factors.affine.append(Affine(stage, rows, normal, g.clone()))
