"""From networks to what a metanetwork sees of them: :class:`FeatureBuilder`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Cells, Task
from skmeta.editing.masks import Start, choose_mask
from skmeta.editing.problem import EditProblem
from skmeta.editing.teaching import objective_of
from skmeta.gradients import KroneckerFisher, Recording
from skmeta.metanets import WeightGraph
from skmeta.metanets.inputs import rms
from skmeta.population import Stack, Weights, forward
from skmeta.population.mapping import n_numbers
from skmeta.requirements import Objective
from skmeta.requirements.resolve import Plan

# The divergence of a step is measured on every fourth reference row.
_COST_STRIDE = 4
FEATURES = ("weights", "probes", "cells", "gradients")
_FISHER_STRIDE = 2


@dataclass(frozen=True)
class FeatureBuilder:
    """Poses edits of networks as problems, with features of all networks of a stack at once.

    Parameters
    ----------
    features : {"weights", "probes", "cells", "gradients"}
        What is added to the weights: nothing; the states on a few rows; the mean states of
        each (label, group) cell; these and the natural gradients of the requirement.
    plan : Plan
        The requirement whose gradients are taken, and the mask, if there is one: the features
        are then those of masked networks, with the gradients of the divergence from the
        original ones, too. A mask needs "gradients".
    X : Tensor of shape (n_reference, n_inputs)
        Reference rows (for "weights" only their number of columns counts).
    cells : Cells
        Cells of the reference rows; they count for "cells" and "gradients" only.
    taught : Tensor of shape (n_reference, n_classes), optional
        What a teacher says there, as logits. Outputs are to be close to it, in place of those of
        the original networks; with "gradients", those of the divergence from it are seen, too.
    """

    features: str
    plan: Plan
    X: Tensor
    cells: Cells
    taught: Tensor | None = None

    @property
    def objective(self) -> Objective:
        """What an edit minimises."""
        return objective_of(self.plan.requirement, taught=self.taught is not None)

    @property
    def _starts_elsewhere(self) -> bool:
        """Whether an edit starts at other outputs than those that it should be close to."""
        return self.plan.mask is not None or self.taught is not None

    def _target(self, outputs: Tensor) -> Tensor:
        """Return what outputs should be close to, given those of the original networks."""
        return outputs if self.taught is None else self.taught.expand_as(outputs)

    def numbers(self, stack: Stack) -> int:
        """How many numbers are held of each network: states on all rows, features of weights."""
        return max(len(self.X) * max(stack.widths), 6 * n_numbers(stack))

    def start(self, stack: Stack, n_kept: Tensor | None = None) -> Start:
        """Return where edits start: at the networks themselves, or behind the mask."""
        return choose_mask(stack, self.plan, self.X, self.cells, n_kept)

    def build(self, stack: Stack, n_kept: Tensor | None = None) -> EditProblem:
        """Pose the edits of the networks of a stack.

        Parameters
        ----------
        stack : Stack
            Original networks.
        n_kept : Tensor of int of shape (n,), optional
            How many candidates of the mask stay; the plan decides by default.
        """
        start = self.start(stack, n_kept)
        if self.features == "gradients":
            return self._with_gradients(stack, start)
        nothing = self.X.new_zeros(len(stack), 0)
        logits, states = _run(stack, self.X)
        nodes, context = [nothing[:, None].expand(-1, w, -1) for w in stack.widths], nothing
        if self.features == "probes":
            nodes = [_standardised(h.mT, stack, i) for i, h in enumerate(states)]
            context = logits.softmax(-1)[..., 1:].flatten(1)
        elif self.features == "cells":
            nodes, context = self._cell_nodes(stack, states), self._cell_context(logits)
        target, zero = self._target(logits), nothing.sum(1)
        return self._problem(stack, start, target, nodes, context, [], nothing, zero)

    def _problem(
        self,
        original: Stack,
        start: Start,
        target: Tensor,
        nodes: list[Tensor],
        context: Tensor,
        steps: list[Weights],
        reach: Tensor,
        divergence: Tensor,
    ) -> EditProblem:
        size = torch.tensor([[float(a.n_parameters)] for a in original.architectures])
        parts, freedom = [size.to(context).log() - 8.0, context], torch.ones_like(divergence)
        if self.plan.mask is not None:
            parts.append(start.share.log().to(context))
            # Close to the originals little is needed: the divergence grows with the square of
            # an edit.
            freedom = (10 * divergence.sqrt()).clamp_max(1.0)
        context = torch.cat(parts, 1)
        graph = WeightGraph(
            start.stack, tuple(nodes), tuple(steps), context, reach, freedom, start.free
        )
        return EditProblem(original, graph, target, divergence, self.X, self.cells, self.objective)

    def _with_gradients(self, stack: Stack, start: Start) -> EditProblem:
        recording, masked = Recording(start.stack, self.X), self.plan.mask is not None
        original, before = recording.logits, recording.states
        if masked:
            original, before = _run(stack, self.X)
        target = self._target(original)
        logits = recording.logits.clone().requires_grad_()
        with torch.enable_grad():
            parts = self._parts(logits, target)
        pulled = []
        for part in parts:
            ones = torch.ones_like(part)
            (cotangent,) = torch.autograd.grad(part, logits, ones, retain_graph=True)
            pulled.append(recording.pull_back(cotangent))
        gradients = [factors.gradient() for factors in pulled]
        weights = self.cells.row_weights().to(self.X)
        fisher = KroneckerFisher(recording, weights, every=_FISHER_STRIDE)
        gaps = [part.detach() for part in parts]
        triples = zip(gradients, gaps, fisher.solve(gradients), strict=True)
        steps, reach, cost = self._reach(
            recording, gaps, [polyak_step(*triple) for triple in triples], target
        )
        nodes = []
        for i, node in enumerate(self._cell_nodes(start.stack, recording.states)):
            deltas = (factors.outer[i - 1].delta if i else None for factors in pulled)
            extra = [self._delta_nodes(start.stack, i, delta) for delta in deltas]
            if masked:
                moved = self._cell_means(recording.states[i] - before[i]).mT
                extra.append(_standardised(moved, start.stack, i))
            nodes.append(torch.cat([node, *extra], -1))
        gap = torch.stack(gaps, 1)
        logs = [gap.clamp_min(1e-4).log(), cost.log()]
        context = torch.cat([self._cell_context(recording.logits), gap, *logs], 1)
        divergence = gaps[0] if self._starts_elsewhere else torch.zeros_like(gaps[0])
        return self._problem(stack, start, target, nodes, context, steps, reach, divergence)

    def _parts(self, logits: Tensor, target: Tensor) -> list[Tensor]:
        """Return what is differentiated: the divergence at the start, the requirement's parts."""
        parts = []
        if self._starts_elsewhere:
            parts.append(self.objective.divergence(target, logits, self.cells))
        if self.plan.requirement is not None:
            parts += self.plan.requirement.directions(logits, self.cells).unbind(1)
        return parts

    def _reach(
        self,
        recording: Recording,
        gaps: list[Tensor],
        steps: list[Weights],
        target: Tensor,
    ) -> tuple[list[Weights], Tensor, Tensor]:
        """Return the steps, how far to go along each per unit of lam, and what it costs.

        For a part of the requirement the multiple a of its step that minimises
        lam * gap * (1 - a) + cost * a**2. A step towards the target is scaled to the minimum of
        a parabola through the divergence, and taken whole.
        """
        few, stack = self._few_rows, recording.stack
        X, here = self.X[few], recording.logits[:, few]
        scaled, reach, cost = [], [], []
        for number, (gap, step) in enumerate(zip(gaps, steps, strict=True)):
            if self._starts_elsewhere and number == 0:
                there = self._cost(target[:, few], stack, X, step, 2.0)
                factor = 2 * gap / (gap + there).clamp_min(1e-12)
                scaled.append(step * factor)
                reach.append(torch.full_like(gap, torch.inf))
                cost.append(there)
            else:
                scaled.append(step)
                cost.append(self._cost(here, stack, X, step, 1.0))
                reach.append(0.5 * gap / cost[-1])
        return scaled, torch.stack(reach, 1), torch.stack(cost, 1)

    def _cost(self, like: Tensor, stack: Stack, X: Tensor, step: Weights, a: float) -> Tensor:
        """Divergence from given predictions after a multiple of a step, at least 1e-6."""
        moved = forward(stack, X, stack.weights - a * step)
        return self.objective.divergence(like, moved, self._few_cells).clamp_min(1e-6)

    @cached_property
    def _few_rows(self) -> Tensor:
        """Every fourth row of each cell, beginning with its first."""
        codes = self.cells.codes
        return torch.cat([(codes == c).nonzero()[::_COST_STRIDE, 0] for c in codes.unique()])

    @cached_property
    def _few_cells(self) -> Cells:
        return self.cells.take(self._few_rows)

    @cached_property
    def _shares(self) -> Tensor:
        """Share of each row in the mean of its cell, ``(n_cells, n_samples)``."""
        one_hot = torch.nn.functional.one_hot(self.cells.codes, self.cells.frequencies.numel())
        share = one_hot / one_hot.sum(0).clamp_min(1)  # 0 for a cell without rows
        return share.to(self.X).T

    def _cell_means(self, h: Tensor) -> Tensor:
        """Mean over the rows of each cell, ``(n, n_samples, width) -> (n, n_cells, width)``."""
        return self._shares @ h

    def _cell_nodes(self, stack: Stack, states: list[Tensor]) -> list[Tensor]:
        """Deviation of each cell, mean and spread, ``(n, width, n_cells + 2)`` per state."""
        nodes = []
        for i, h in enumerate(states):
            means = self._cell_means(h).mT
            centre = means.mean(-1, keepdim=True)
            spread = (h.square().mean(1) - h.mean(1).square()).clamp_min(0).sqrt()[..., None]
            parts = [means - centre, centre, spread]
            nodes.append(torch.cat([_standardised(p, stack, i) for p in parts], -1))
        return nodes

    def _delta_nodes(self, stack: Stack, state: int, delta: Tensor | None) -> Tensor:
        """Mean gradient at each neuron's preactivation per cell, ``(n, width, n_cells)``."""
        if delta is None:
            n_cells = self.cells.frequencies.numel()
            return self.X.new_zeros(len(stack), stack.widths[0], n_cells)
        return _standardised(self._cell_means(delta).mT, stack, state)

    def _cell_context(self, logits: Tensor) -> Tensor:
        """Mean probability of each class in each cell, ``(n, n_cells * n_classes)``."""
        return self._cell_means(logits.softmax(-1)).flatten(1)


def make_builder(
    features: str,
    plan: Plan,
    task: Task,
    rows: np.ndarray,
    device: torch.device | str = "cpu",
    taught: Tensor | None = None,
) -> FeatureBuilder:
    """Return the builder that computes on some rows of a task, all of which may be taught."""
    X, _, _ = task.tensors(device)
    if features in ("cells", "gradients"):
        cells = Cells.of(task, device).take(torch.as_tensor(rows))
    else:
        codes = torch.zeros(len(rows), dtype=torch.long, device=device)
        cells = Cells(codes, torch.full((1, 1), float(len(rows) > 0), device=device))
    taught = None if taught is None else taught[rows].to(X)
    return FeatureBuilder(features, plan, X[rows], cells, taught)


def _run(stack: Stack, X: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return outputs and all states, ``(n, n_samples, width)``."""
    states: list[Tensor] = []
    with torch.no_grad():
        outputs = forward(stack, X, see=lambda _, h: states.append(h))
    return outputs, states


def _standardised(values: Tensor, stack: Stack, state: int) -> Tensor:
    """Divide by the root mean square over the neurons of a state."""
    mask = stack.state_mask(state)
    mask = values.new_ones(values.shape[:2]) if mask is None else mask
    return values / rms(values, mask[..., None])


def polyak_step(gradient: Weights, value: Tensor, direction: Weights) -> Weights:
    """Scale a direction so that one step along it would bring a linear function to zero."""
    return direction * (value / direction.dot(gradient).clamp_min(1e-12))
