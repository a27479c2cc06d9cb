"""The one step that trains data networks: :class:`StackTrainer` and :class:`TrainState`.

Any stack, any loss that returns one value per network, any update rule. A trainer knows what
does not change from step to step; a state is all that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta._checks import check_option
from skmeta.datasets import Loss
from skmeta.gradients import Program
from skmeta.networks.ops.norm import BATCH_NORM_MOMENTUM
from skmeta.population import Stack, Weights
from skmeta.training.dropout import Dropout
from skmeta.training.rules import RULES, Matrix, Rule, copy_state
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
    """

    weights: Weights
    statistics: Weights

    def copy(self) -> Snapshot:
        """Copy all tensors.

        Returns
        -------
        Snapshot
            In memory of its own.
        """
        return Snapshot(*(kind.map(torch.clone) for kind in self))

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
        pairs = zip(self, other, strict=True)
        chosen = (m.with_flat(torch.where(networks[:, None], o.flat, m.flat)) for m, o in pairs)
        return Snapshot(*chosen)


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
    """

    networks: Snapshot
    rule: Any
    generators: tuple[torch.Generator, ...]
    frozen: Tensor | None = None

    def copy(self) -> TrainState:
        """Copy all tensors and random streams.

        Returns
        -------
        TrainState
            From which training goes on to the same bits.
        """
        generators = tuple(generator.clone_state() for generator in self.generators)
        return TrainState(self.networks.copy(), copy_state(self.rule), generators, self.frozen)

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
    rule : {"adam", "adamw", "sgd", "rmsprop", "muon"}
        Update rule.
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
        rule: str = "adam",
        train_mode: bool = True,
        keep_zeros: bool = False,
        last_stage_only: Tensor | None = None,
    ) -> None:
        keep_freed_memory()
        self.rule: Rule = RULES[check_option("rule", rule, RULES, owner="StackTrainer")]
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
        self._dropout = Dropout(stack)

    @property
    def matrices(self) -> list[Matrix]:
        """Where the weights of the linear hidden layers are."""
        found: list[Matrix] = []
        start, layout = 0, self.stack.weights.layout
        for slot, count in zip(layout.slots, layout.counts, strict=True):
            hidden = slot.field == "weight" and slot.stage < self.stack.depth - 1
            if hidden and len(slot.shape) == 2:
                matrix = Matrix(start, (slot.shape[0], slot.shape[1]))
                mask = None if self._trained is None else matrix.of(self._trained)
                found.append(matrix._replace(trained=mask))
            start += count
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
        networks = Snapshot(self.stack.weights, self.stack.statistics).copy()
        generators = tuple(torch.Generator().manual_seed(seed) for seed in self.seeds)
        return TrainState(
            networks, self.rule.init(networks.weights.flat, decay, self.matrices), generators
        )

    def networks(self, state: TrainState) -> Stack:
        """Return the networks of a state.

        Parameters
        ----------
        state : TrainState
            Of this trainer.

        Returns
        -------
        Stack
            It shares memory with the state: the next step changes it.
        """
        return self.stack.with_weights(*state.networks)

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
        return self.stack.with_weights(*state.networks.copy())

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
            Learning rates of this step; those of the trainer by default.

        Returns
        -------
        state : TrainState
            For the next step.
        losses : Tensor of shape (n,)
            Losses before the step.
        """
        rows = rows.to(X.device)
        batch = X.index_select(0, rows.flatten()).view(*rows.shape, X.shape[1])
        if not isinstance(lr, Tensor):
            lr = self.lr if lr is None else torch.full_like(self.lr, lr)
        weights, statistics = state.networks
        outputs, trace = self._program.forward(
            batch, weights, train=self._train, dropout=partial(self._dropout.draw, state.generators)
        )
        losses, gradient = losses_and_gradient(loss, outputs, rows)
        with torch.no_grad():
            self._program.gradient(trace, gradient, self._gradient)
            if self._trained is not None:
                self._gradient.flat.mul_(self._trained)
            kept = None if state.frozen is None else state.networks.copy()
            flat, memory = self.rule.update(state.rule, weights.flat, self._gradient.flat, lr)
            networks = Snapshot(
                weights if flat is weights.flat else weights.with_flat(flat), statistics
            )
            for stage, rows_seen, *seen in self._program.statistics(trace):
                for name, value in zip(("mean", "var"), seen, strict=True):
                    statistics[f"{stage}.{name}"][rows_seen].lerp_(value[:, 0], BATCH_NORM_MOMENTUM)
            if state.frozen is not None and kept is not None:
                networks = networks.where(state.frozen, kept)
        return replace(state, networks=networks, rule=memory), losses


def losses_and_gradient(loss: AnyLoss, outputs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses and the gradient of their sum, by autograd if the loss has no other way."""
    if isinstance(loss, Loss):
        return loss.with_gradient(outputs, rows)
    with torch.enable_grad():
        losses = loss(outputs.requires_grad_(), rows)
        (gradient,) = torch.autograd.grad(losses.sum(), [outputs])
    return losses.detach(), gradient
