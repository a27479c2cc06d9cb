"""The one step that trains data networks: :class:`StackTrainer` and :class:`TrainState`.

Any stack, any loss that returns one value per network, any update rule. A trainer knows what
does not change from step to step; a state is all that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta._checks import check_option
from skmeta.datasets import Loss
from skmeta.gradients import Program, Trace
from skmeta.networks.ops.norm import BATCH_NORM_MOMENTUM
from skmeta.population import Stack, Weights
from skmeta.training.dropout import Dropout
from skmeta.training.rule import Matrix, Moments, Rule, copy_state
from skmeta.training.rules import RULES
from skmeta.training.schedule import Schedule
from skmeta.training.threads import keep_freed_memory

AnyLoss = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs ``(n, batch, n_outputs)`` and row numbers ``(n, batch)`` to losses ``(n,)``."""


class Snapshot(NamedTuple):
    """Numbers of many networks.

    Attributes
    ----------
    weights : Weights
        All that is trained.
    statistics : Weights
        Running statistics of batch normalisation.
    average : Weights or None
        Running mean of the weights, if the schedule of training has one.
    """

    weights: Weights
    statistics: Weights
    average: Weights | None = None

    def copy(self) -> Snapshot:
        """Copy all tensors.

        Returns
        -------
        Snapshot
            In memory of its own.
        """
        weights, statistics, average = self
        average = None if average is None else average.map(torch.clone)
        return Snapshot(weights.map(torch.clone), statistics.map(torch.clone), average)

    def where(self, networks: Tensor, other: Snapshot) -> Snapshot:
        """Take some networks from another snapshot.

        Parameters
        ----------
        networks : Tensor of bool of shape (n,)
            Which ones.
        other : Snapshot
            Of networks of the same shapes.

        Returns
        -------
        Snapshot
            In tensors of its own.
        """

        def chosen(mine: Weights, theirs: Weights) -> Weights:
            return mine.with_flat(torch.where(networks[:, None], theirs.flat, mine.flat))

        weights, statistics, average = self
        if average is not None and other.average is not None:
            average = chosen(average, other.average)
        both = chosen(weights, other.weights), chosen(statistics, other.statistics)
        return Snapshot(*both, average)


@dataclass(frozen=True)
class TrainState:
    """All that a step of training changes.

    A step works in the memory of its state: copy a state to come back to it, or to train on
    from it in two ways.

    Attributes
    ----------
    networks : Snapshot
        Weights and running statistics.
    rule : tuple
        State of the update rule.
    generators : tuple of torch.Generator
        One random stream per network; they decide batches and dropout.
    frozen : Tensor of bool of shape (n,) or None
        Networks that no longer change; None if there are none.
    n_steps : int
        How many were taken.
    """

    networks: Snapshot
    rule: Any
    generators: tuple[torch.Generator, ...]
    frozen: Tensor | None = None
    n_steps: int = 0

    def copy(self) -> TrainState:
        """Copy all tensors and random streams.

        Returns
        -------
        TrainState
            From which training goes on to the same bits.
        """
        generators = tuple(generator.clone_state() for generator in self.generators)
        networks, rule = self.networks.copy(), copy_state(self.rule)
        return replace(self, networks=networks, rule=rule, generators=generators)

    def freeze(self, networks: Tensor) -> TrainState:
        """Keep some networks as they are now.

        Parameters
        ----------
        networks : Tensor of bool of shape (n,)
            Which ones, beside those that are frozen already.

        Returns
        -------
        TrainState
            In the same memory.
        """
        frozen = networks if self.frozen is None else self.frozen | networks
        return replace(self, frozen=frozen)


class StackTrainer:
    """How a stack is trained.

    Parameters
    ----------
    stack : Stack
        Initial networks; not changed.
    lr, weight_decay : Tensor of shape (n,)
        Per network.
    seeds : sequence of int
        One per network; they decide batches and dropout.
    rule : str or Rule
        Update rule, or its name in :data:`RULES`.
    schedule : Schedule, optional
        Of learning rates, and of averages of weights; by default the one are constant, and there
        are none of the others.
    train_mode : bool, default=True
        Dropout and batch statistics, as for training from scratch. Fine-tuning keeps the
        networks in evaluation mode: its stratified batches would distort the statistics.
    keep_zeros : bool, default=False
        Leave weights that are exactly zero at zero: those of masked networks.
    last_stage_only : Tensor of bool of shape (n,), optional
        Networks of which nothing but the last stage is trained.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import CrossEntropy
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> from skmeta.training import StackTrainer
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> (_, stack), = networks.blocks
    >>> trainer = StackTrainer(
    ...     stack, lr=torch.full((2,), 0.01), weight_decay=torch.zeros(2), seeds=[0, 1]
    ... )
    >>> X, rows = torch.eye(3), torch.arange(3).expand(2, 3)
    >>> loss = CrossEntropy(torch.tensor([0, 1, 1]))
    >>> state = trainer.start()
    >>> state, before = trainer.step(state, X, rows, loss)
    >>> for _ in range(20):
    ...     state, after = trainer.step(state, X, rows, loss)
    >>> (after < before).tolist()
    [True, True]
    """

    def __init__(
        self,
        stack: Stack,
        *,
        lr: Tensor,
        weight_decay: Tensor,
        seeds: Sequence[int],
        rule: str | Rule[Any] = "adam",
        schedule: Schedule | None = None,
        train_mode: bool = True,
        keep_zeros: bool = False,
        last_stage_only: Tensor | None = None,
    ) -> None:
        keep_freed_memory()
        if isinstance(rule, str):
            rule = RULES[check_option("rule", rule, RULES, owner="StackTrainer")]
        self.rule, self.schedule = rule, schedule
        self.stack, self.seeds, self._train = stack, tuple(seeds), train_mode
        flat = stack.weights.flat
        self.lr, self.weight_decay = (v.to(flat)[:, None] for v in (lr, weight_decay))
        trained = stack.present()
        if keep_zeros:
            masks = zip(trained.of_field("weight"), stack.weights.of_field("weight"), strict=True)
            trained = trained.replaced(weight=[m * (w != 0) for m, w in masks])
        if last_stage_only is not None:
            trained = trained.map(torch.clone)
            for slot, mask in zip(trained.layout.slots, trained.views, strict=True):
                if slot.stage < stack.depth - 1:
                    mask[last_stage_only] = 0
        # Ones where an entry is trained; None if all are.
        self._trained = None if trained.flat.all() else trained.flat
        self._program, self._gradient = Program(stack), stack.weights.map(torch.zeros_like)
        self._dropout, self._matrices = Dropout(stack), self.matrices

    @property
    def matrices(self) -> list[Matrix]:
        """Where the weights and biases of linear layers are, stage by stage."""
        layout = self.stack.weights.layout
        starts = dict(zip(layout.slots, accumulate(layout.counts, initial=0), strict=False))
        biases = {slot.stage: start for slot, start in starts.items() if slot.field == "bias"}
        found: list[Matrix] = []
        for slot, start in starts.items():
            if slot.field != "weight" or len(slot.shape) != 2:
                continue
            shape, hidden = (slot.shape[0], slot.shape[1]), slot.stage < self.stack.depth - 1
            matrix = Matrix(slot.stage, start, shape, biases.get(slot.stage), hidden)
            if self._trained is not None:
                trained = matrix.of(self._trained), matrix.bias_of(self._trained)
                matrix = matrix._replace(trained=trained[0], trained_bias=trained[1])
            found.append(matrix)
        return found

    def start(self) -> TrainState:
        """Return the state before the first step.

        Returns
        -------
        TrainState
            With tensors and random streams of its own.
        """
        # Absent parameters hold neutral values, which must not decay.
        decay = self.weight_decay if self._trained is None else self.weight_decay * self._trained
        weights = self.stack.weights
        average = None if self.schedule is None else weights
        networks = Snapshot(weights, self.stack.statistics, average).copy()
        generators = tuple(torch.Generator().manual_seed(seed) for seed in self.seeds)
        rule = self.rule.init(networks.weights.flat, decay, self._matrices)
        return TrainState(networks, rule, generators)

    def networks(self, state: TrainState) -> Stack:
        """Return the networks of a state, with averaged weights if there are such.

        Running statistics are those of the last weights.

        Parameters
        ----------
        state : TrainState
            Of this trainer.

        Returns
        -------
        Stack
            It shares memory with the state: the next step changes it.
        """
        weights, statistics, average = state.networks
        return self.stack.with_weights(weights if average is None else average, statistics)

    def copied(self, state: TrainState) -> Stack:
        """Return the networks of a state in memory of their own.

        Parameters
        ----------
        state : TrainState
            Of this trainer.

        Returns
        -------
        Stack
        """
        stack = self.networks(state)
        return stack.with_weights(*(k.map(torch.clone) for k in (stack.weights, stack.statistics)))

    def step(
        self,
        state: TrainState,
        X: Tensor,
        rows: Tensor,
        loss: AnyLoss,
        lr: Tensor | float | None = None,
    ) -> tuple[TrainState, Tensor]:
        """Take one step of every network on its own rows.

        Parameters
        ----------
        state : TrainState
            What the last step returned; its memory is used again.
        X : Tensor of shape (n_samples, n_inputs)
            Rows of the task.
        rows : Tensor of int of shape (n, batch)
            Which rows each network sees.
        loss : Loss or callable
            ``loss(outputs, rows) -> (n,)``.
        lr : Tensor of shape (n, 1) or float, optional
            Learning rates of this step; those of the trainer by default, as the schedule has it.

        Returns
        -------
        state : TrainState
            For the next step.
        losses : Tensor of shape (n,)
            Losses before the step.
        """
        rows = rows.to(X.device)
        batch = X.index_select(0, rows.flatten()).view(*rows.shape, X.shape[1])
        weights, statistics, average = state.networks
        outputs, trace = self._program.forward(
            batch, weights, train=self._train, dropout=partial(self._dropout.draw, state.generators)
        )
        losses, gradient = losses_and_gradient(loss, outputs, rows)
        with torch.no_grad():
            moments = self._backward(trace, gradient, self.rule.needs_moments(state.rule))
            kept = None if state.frozen is None else state.networks.copy()
            flat, memory = self.rule.update(
                state.rule, weights.flat, self._gradient.flat, self._rate(state, lr), moments
            )
            weights = weights if flat is weights.flat else weights.with_flat(flat)
            if self.schedule is not None and average is not None:
                average.flat.lerp_(flat, self.schedule.share(state.n_steps))
            networks = Snapshot(weights, statistics, average)
            for stage, rows_seen, *seen in self._program.statistics(trace):
                for name, value in zip(("mean", "var"), seen, strict=True):
                    statistics[f"{stage}.{name}"][rows_seen].lerp_(value[:, 0], BATCH_NORM_MOMENTUM)
            if state.frozen is not None and kept is not None:
                networks = networks.where(state.frozen, kept)
        n_steps = state.n_steps + 1
        return replace(state, networks=networks, rule=memory, n_steps=n_steps), losses

    def _backward(self, trace: Trace, gradient: Tensor, needed: bool) -> list[Moments]:
        """Put the gradient where the rule finds it; return moments if they are needed."""
        moments = []
        if needed:
            factors = self._program.backward(trace, gradient)
            layers = (factors.outer[matrix.stage] for matrix in self._matrices)
            moments = [Moments(torch.cat([h, h.new_ones(*h.shape[:2], 1)], -1), delta)
                       for h, delta in layers]  # fmt: skip
            self._gradient = factors.gradient()
        else:
            self._program.gradient(trace, gradient, self._gradient)
        if self._trained is not None:
            self._gradient.flat.mul_(self._trained)
        return moments

    def _rate(self, state: TrainState, lr: Tensor | float | None) -> Tensor:
        """Learning rates of a step."""
        if isinstance(lr, Tensor):
            return lr
        if lr is not None:
            return torch.full_like(self.lr, lr)
        return self.lr if self.schedule is None else self.lr * self.schedule.factor(state.n_steps)


def losses_and_gradient(loss: AnyLoss, outputs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses and the gradient of their sum, by autograd if the loss has no other way."""
    if isinstance(loss, Loss):
        return loss.with_gradient(outputs, rows)
    with torch.enable_grad():
        losses = loss(outputs.requires_grad_(), rows)
        (gradient,) = torch.autograd.grad(losses.sum(), [outputs])
    return losses.detach(), gradient
