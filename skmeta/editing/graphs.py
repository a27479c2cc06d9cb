"""From networks to what a metanetwork sees of them: :class:`GraphBuilder`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Cells, Task
from skmeta.gradients import KroneckerFisher, Recording
from skmeta.metanets import WeightGraph
from skmeta.metanets.inputs import rms
from skmeta.population import Stack, Tape, forward
from skmeta.population.direction import Direction
from skmeta.requirements import Objective

CHUNK = 32
# The divergence of a step is measured on every fourth reference row.
_COST_STRIDE = 4
FEATURES = ("weights", "probes", "cells", "gradients")
_FISHER_STRIDE = 2


@dataclass(frozen=True)
class GraphBuilder:
    """Computes the features of all networks of a stack at once.

    Parameters
    ----------
    features : {"weights", "probes", "cells", "gradients"}
        What is added to the weights: nothing; the states on a few rows; the mean states of
        each (label, group) cell; these and the natural gradients of the requirement.
    objective : Objective
        Whose gradients are taken. For networks that were changed already these are the
        gradients of the divergence from the original, too.
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
            self.build_few(stack if len(stack) <= CHUNK else stack.select(chunk))
            for chunk in rows.split(CHUNK)
        ]
        return parts[0] if len(parts) == 1 else WeightGraph.merge(parts, stack)

    def build_few(self, stack: Stack, teacher: Stack | None = None) -> WeightGraph:
        """Return the graphs of a few networks, which may have been changed already.

        Parameters
        ----------
        stack : Stack
            Networks as they are now.
        teacher : Stack, optional
            The networks as they were; only with the features "gradients".
        """
        size = torch.tensor([[float(a.n_parameters)] for a in stack.architectures])
        context = size.to(self.X).log() - 8.0
        if self.features == "weights":
            nodes = tuple(context.new_zeros(len(stack), w, 0) for w in stack.widths)
            return WeightGraph(stack, nodes, (), context, context.new_zeros(len(stack), 0))
        if self.features == "gradients":
            return self._with_gradients(stack, context, teacher)
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

    def _with_gradients(self, stack: Stack, context: Tensor, teacher: Stack | None) -> WeightGraph:
        assert self.cells is not None
        recording, before = Recording(stack, self.X), _States()
        with torch.no_grad():
            original = None if teacher is None else forward(teacher, self.X, tape=before)
        logits = recording.logits.clone().requires_grad_()
        with torch.enable_grad():
            parts = self._parts(logits, original)
        deltas, gradients = [], []
        for part in parts:
            ones = torch.ones_like(part)
            (cotangent,) = torch.autograd.grad(part, logits, ones, retain_graph=True)
            deltas.append(recording.pull_back(cotangent))
            gradients.append(recording.gradient(deltas[-1]))
        weights = self.cells.row_weights().to(self.X)
        fisher = KroneckerFisher(recording, weights, every=_FISHER_STRIDE)
        gaps = [part.detach() for part in parts]
        triples = zip(gradients, gaps, fisher.solve(gradients), strict=True)
        steps, reach, cost = self._reach(
            recording, gaps, [polyak_step(*triple) for triple in triples], original
        )
        nodes = []
        for i, node in enumerate(self._cell_nodes(stack, recording.states)):
            extra = [self._delta_nodes(stack, i, d[i - 1] if i else None) for d in deltas]
            if before.kept:
                moved = self._cell_means(recording.states[i] - before.kept[i]).transpose(1, 2)
                extra.append(_standardised(moved, stack, i))
            nodes.append(torch.cat([node, *extra], -1))
        gap = torch.stack(gaps, 1)
        logs = [gap.clamp_min(1e-4).log(), cost.log()]
        context = torch.cat([context, self._cell_context(recording.logits), gap, *logs], 1)
        divergence = None if teacher is None else gaps[0]
        outputs = recording.logits if original is None else original
        return WeightGraph(
            stack, tuple(nodes), tuple(steps), context, reach, teacher, divergence, outputs
        )

    def _parts(self, logits: Tensor, original: Tensor | None) -> list[Tensor]:
        """Return what is differentiated: the divergence so far, then the requirement's parts."""
        assert self.cells is not None
        parts = []
        if original is not None:
            parts.append(self.objective.divergence(original, logits, self.cells))
        if self.objective.requirement is not None:
            parts += self.objective.requirement.directions(logits, self.cells).unbind(1)
        return parts

    def _reach(
        self,
        recording: Recording,
        gaps: list[Tensor],
        steps: list[Direction],
        original: Tensor | None,
    ) -> tuple[list[Direction], Tensor, Tensor]:
        """Return the steps, how far to go along each per unit of lam, and what it costs.

        For a part of the requirement the multiple a of its step that minimises
        lam * gap * (1 - a) + cost * a**2. A step back towards the original networks is
        scaled to the minimum of a parabola through the divergence, and taken whole.
        """
        few, stack = self._few_rows(), recording.stack
        X, here = self.X[few], recording.logits[:, few]
        scaled, reach, cost = [], [], []
        for number, (gap, step) in enumerate(zip(gaps, steps, strict=True)):
            if original is not None and number == 0:
                there = self._cost(original[:, few], stack, X, step, 2.0)
                factor = 2 * gap / (gap + there).clamp_min(1e-12)
                scaled.append(_times(step, factor))
                reach.append(torch.full_like(gap, torch.inf))
                cost.append(there)
            else:
                scaled.append(step)
                cost.append(self._cost(here, stack, X, step, 1.0))
                reach.append(0.5 * gap / cost[-1])
        return scaled, torch.stack(reach, 1), torch.stack(cost, 1)

    def _cost(self, like: Tensor, stack: Stack, X: Tensor, step: Direction, a: float) -> Tensor:
        """Divergence from given predictions after a multiple of a step, at least 1e-6."""
        assert self.cells is not None
        moved = forward(stack, X, step.added_to(stack.params, -a))
        cells = self.cells.take(self._few_rows())
        return self.objective.divergence(like, moved, cells).clamp_min(1e-6)

    def _few_rows(self) -> Tensor:
        """Every fourth row of each cell, beginning with its first."""
        assert self.cells is not None
        codes = self.cells.codes
        return torch.cat([(codes == c).nonzero()[::_COST_STRIDE, 0] for c in codes.unique()])

    def _cell_means(self, h: Tensor) -> Tensor:
        """Mean over the rows of each cell, ``(n, n_samples, width) -> (n, n_cells, width)``."""
        assert self.cells is not None
        one_hot = torch.nn.functional.one_hot(self.cells.codes, self.cells.frequencies.numel())
        share = (one_hot / one_hot.sum(0).clamp_min(1)).to(h)  # 0 for a cell without rows
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
    features: str,
    objective: Objective,
    task: Task,
    rows: np.ndarray,
    device: torch.device | str = "cpu",
) -> GraphBuilder:
    """Return the builder that computes on some rows of a task."""
    X, _, _ = task.tensors(device)
    cells = None
    if features in ("cells", "gradients"):
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
    return _times(direction, value / direction.dot(gradient).clamp_min(1e-12))


def _times(direction: Direction, factors: Tensor) -> Direction:
    """Multiply a direction by one number per network."""
    return direction.map(lambda t: t * factors.view(-1, *[1] * (t.ndim - 1)))
