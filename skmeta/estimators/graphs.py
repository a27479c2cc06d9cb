"""From networks to what a metanetwork sees of them: :class:`GraphBuilder`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Task
from skmeta.estimators.reference import representative_rows
from skmeta.gradients import KroneckerFisher, Recording
from skmeta.metanets import WeightGraph
from skmeta.metanets.inputs import rms
from skmeta.population import Population, Stack, Tape, forward
from skmeta.population.direction import Direction
from skmeta.requirements import Cells, Objective

_CHUNK = 32
# The divergence of a step is measured on every fourth reference row.
_COST_STRIDE = 4
FEATURES = ("weights", "probes", "cells", "gradients")
_PROBE_ROWS = 64
_REFERENCE_ROWS_PER_CELL = 128


@dataclass(frozen=True)
class GraphBuilder:
    """Computes the features of all networks of a stack at once.

    Parameters
    ----------
    features : {"weights", "probes", "cells", "gradients"}
        What is added to the weights: nothing; the states on a few rows; the mean states of
        each (label, group) cell; these and the natural and plain gradients of the
        requirement.
    objective : Objective
        Whose gradients are taken.
    X : Tensor of shape (n_reference, n_inputs)
        Reference rows (for "weights" only their number of columns counts).
    cells : Cells or None
        Cells of the reference rows; not needed for "weights" and "probes".
    """

    features: str
    objective: Objective
    X: Tensor
    cells: Cells | None

    def build(self, stack: Stack) -> WeightGraph:
        """Return the graphs of the networks of a stack.

        A few networks at a time: their states on all reference rows stay in the cache.
        """
        rows = torch.arange(len(stack))
        parts = [
            self._build(stack if len(stack) <= _CHUNK else stack.select(chunk))
            for chunk in rows.split(_CHUNK)
        ]
        return parts[0] if len(parts) == 1 else WeightGraph.merge(parts, stack)

    def _build(self, stack: Stack) -> WeightGraph:
        size = torch.tensor([[float(a.n_parameters)] for a in stack.architectures])
        context = size.to(self.X).log() - 8.0
        if self.features == "weights":
            nodes = tuple(context.new_zeros(len(stack), w, 0) for w in stack.widths)
            return WeightGraph(stack, nodes, (), context, context.new_zeros(len(stack), 0))
        if self.features == "gradients":
            return self._with_gradients(stack, context)
        states = _States()
        with torch.no_grad():
            logits = forward(stack, self.X, tape=states)
        if self.features == "probes":
            nodes = tuple(_standardised(h.transpose(1, 2), stack, i) for i, h in states.items())
            positive = logits.softmax(-1)[..., 1:].flatten(1)
            context = torch.cat([context, positive], 1)
        else:
            nodes = tuple(self._cell_nodes(stack, states.kept))
            context = torch.cat([context, self._cell_context(logits)], 1)
        return WeightGraph(stack, nodes, (), context, context.new_zeros(len(stack), 0))

    def _with_gradients(self, stack: Stack, context: Tensor) -> WeightGraph:
        assert self.cells is not None
        recording = Recording(stack, self.X)
        logits = recording.logits.clone().requires_grad_()
        with torch.enable_grad():
            parts = self.objective.requirement.directions(logits, self.cells).unbind(1)
        deltas, gradients = [], []
        for part in parts:
            ones = torch.ones_like(part)
            (cotangent,) = torch.autograd.grad(part, logits, ones, retain_graph=True)
            deltas.append(recording.pull_back(cotangent))
            gradients.append(recording.gradient(deltas[-1]))
        fisher = KroneckerFisher(recording, self.cells.row_weights().to(self.X))
        pairs = zip(fisher.solve(gradients), gradients, strict=True)
        gaps = [part.detach() for part in parts]
        steps = [
            polyak_step(gradient, gap, direction)
            for gap, pair in zip(gaps, pairs, strict=True)
            for gradient in pair[1:]
            for direction in pair
        ]
        reach, cost = self._reach(recording, gaps, steps)
        nodes = []
        for i, node in enumerate(self._cell_nodes(stack, recording.states)):
            extra = [self._delta_nodes(stack, i, d[i - 1] if i else None) for d in deltas]
            nodes.append(torch.cat([node, *extra], -1))
        gap = torch.stack(gaps, 1)
        logs = [gap.clamp_min(1e-4).log(), cost.log()]
        context = torch.cat([context, self._cell_context(recording.logits), gap, *logs], 1)
        return WeightGraph(stack, tuple(nodes), tuple(steps), context, reach)

    def _reach(
        self, recording: Recording, gaps: list[Tensor], steps: list[Direction]
    ) -> tuple[Tensor, Tensor]:
        """Return how far to go along each step per unit of lam, and what a whole step costs.

        The multiple a of a step that minimises lam * gap * (1 - a) + cost * a**2.
        """
        assert self.cells is not None
        few, stack = self._few_rows(), recording.stack
        cells, here, X = self.cells.take(few), recording.logits[:, few], self.X[few]
        cost = torch.stack(
            [
                self.objective.divergence(
                    here, forward(stack, X, s.added_to(stack.params, -1)), cells
                )
                for s in steps
            ],
            1,
        ).clamp_min(1e-6)
        n_per_gap = len(steps) // len(gaps)
        return 0.5 * torch.stack(gaps, 1).repeat_interleave(n_per_gap, 1) / cost, cost

    def _few_rows(self) -> Tensor:
        """Every fourth row of each cell, beginning with its first."""
        assert self.cells is not None
        codes = self.cells.codes
        return torch.cat([(codes == c).nonzero()[::_COST_STRIDE, 0] for c in codes.unique()])

    def _cell_means(self, h: Tensor) -> Tensor:
        """Mean over the rows of each cell, ``(n, n_samples, width) -> (n, n_cells, width)``."""
        assert self.cells is not None
        one_hot = torch.nn.functional.one_hot(self.cells.codes, self.cells.frequencies.numel())
        share = (one_hot / one_hot.sum(0)).to(h)
        return share.T @ h

    def _cell_nodes(self, stack: Stack, states: list[Tensor]) -> list[Tensor]:
        """Deviation of each cell, mean and spread, ``(n, width, n_cells + 2)`` per state."""
        nodes = []
        for i, h in enumerate(states):
            means = self._cell_means(h).transpose(1, 2)
            centre = means.mean(-1, keepdim=True)
            spread = (h.square().mean(1) - h.mean(1).square()).clamp_min(0).sqrt()[..., None]
            parts = [means - centre, centre, spread]
            nodes.append(torch.cat([_standardised(p, stack, i) for p in parts], -1))
        return nodes

    def _delta_nodes(self, stack: Stack, state: int, delta: Tensor | None) -> Tensor:
        """Mean gradient at each neuron's preactivation per cell, ``(n, width, n_cells)``."""
        assert self.cells is not None
        if delta is None:
            n_cells = self.cells.frequencies.numel()
            return self.X.new_zeros(len(stack), stack.widths[0], n_cells)
        return _standardised(self._cell_means(delta).transpose(1, 2), stack, state)

    def _cell_context(self, logits: Tensor) -> Tensor:
        """Mean probability of each class in each cell, ``(n, n_cells * n_classes)``."""
        return self._cell_means(logits.softmax(-1)).flatten(1)


def make_builder(
    features: str, objective: Objective, task: Task, population: Population, seed: int
) -> GraphBuilder:
    """Choose the reference rows of a task and return the builder that computes on them."""
    device = population.device
    X, _, _ = task.tensors(device)
    if features == "weights":
        return GraphBuilder(features, objective, X[:0], None)
    if features == "probes":
        rows = np.random.default_rng(seed).permutation(task.n_samples)[:_PROBE_ROWS]
        return GraphBuilder(features, objective, X[np.sort(rows)], None)
    rows = representative_rows(task, population, _REFERENCE_ROWS_PER_CELL)
    cells = Cells.of(task, device).take(torch.as_tensor(rows))
    return GraphBuilder(features, objective, X[rows], cells)


class _States(Tape):
    """Keeps the states of a forward pass."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def state(self, index: int, h: Tensor) -> Tensor:
        self.kept.append(h)
        return h

    def items(self):
        return enumerate(self.kept)


def _standardised(values: Tensor, stack: Stack, state: int) -> Tensor:
    """Divide by the root mean square over the neurons of a state."""
    mask = stack.state_mask(state)
    mask = values.new_ones(values.shape[:2]) if mask is None else mask
    return values / rms(values, mask[..., None])


def polyak_step(gradient: Direction, value: Tensor, direction: Direction) -> Direction:
    """Scale a direction so that one step along it would bring a linear function to zero."""
    factor = value / direction.dot(gradient).clamp_min(1e-12)
    return direction.map(lambda t: t * factor.view(-1, *[1] * (t.ndim - 1)))
