"""The one step that trains data networks: :class:`StackTrainer` and :class:`TrainState`.

Any stack, any loss that returns one value per network, any update rule. A trainer knows what
does not change from step to step; a state is all that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta._checks import check_option
from skmeta.datasets import Loss
from skmeta.population import Buffers, Parameters, Stack, Tape, forward
from skmeta.population.forward import update_buffers
from skmeta.training.backprop import Backprop
from skmeta.training.rules import RULES, Matrix, Rule, copy_state
from skmeta.training.tape import Dropout, TrainingTape
from skmeta.training.threads import keep_freed_memory

AnyLoss = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs ``(n, batch, n_outputs)`` and row numbers ``(n, batch)`` to losses ``(n,)``."""


class Snapshot(NamedTuple):
    """Numbers of many networks.

    Attributes
    ----------
    weights : Tensor of shape (n, n_parameters)
        All that is trained.
    statistics : Buffers
        Running statistics of batch normalisation.
    """

    weights: Tensor
    statistics: Buffers

    def copy(self) -> Snapshot:
        """Copy all tensors."""
        return self._map(torch.clone)

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
        return self._map(lambda mine, yours: torch.where(networks[:, None], yours, mine), other)

    def _map(self, function: Callable[..., Tensor], *others: Snapshot) -> Snapshot:
        weights, statistics = zip(self, *others, strict=True)
        fields = (tuple(map(function, *field)) for field in zip(*statistics, strict=True))
        return Snapshot(function(*weights), Buffers(*fields))


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
    ) -> None:
        keep_freed_memory()
        self.rule: Rule = RULES[check_option("rule", rule, RULES, owner="StackTrainer")]
        self.stack, self.seeds = stack, tuple(seeds)
        self.lr, self.weight_decay = (
            value.to(stack.params.weight[0])[:, None] for value in (lr, weight_decay)
        )
        self._find_columns(keep_zeros)
        # Memory to work in. Absent parameters have gradients, too, which nobody reads.
        absent = stack.params.map(torch.zeros_like)
        self._gradient = self._flat(absent)
        self._slots = self._named(self._gradient, absent)
        self._views = self._gradient, self._slots  # of the weights of the last step
        self._dropout = Dropout(stack) if train_mode else None
        backprop = Backprop(stack, stack.params, stack.params, lambda index, h: None)
        self._backprop = backprop if train_mode and backprop.supported else None

    def _find_columns(self, keep_zeros: bool) -> None:
        """Decide which tensors are columns of the weights, and which entries are trained."""
        params, trained = self.stack.params, self.stack.trainable()
        if keep_zeros:
            pairs = zip(trained.weight, params.weight, strict=True)
            trained = trained._replace(weight=tuple(m * (w != 0) for m, w in pairs))
        tensors, masks = params.tensors(), trained.tensors()
        # Layers without normalisation have no scale and shift.
        self._present = [i for i, mask in enumerate(masks) if mask.any()]
        self._sizes = [tensors[i][0].numel() for i in self._present]
        # Ones where an entry is trained; None if all are.
        mask = self._flat(trained)
        self._trained = None if mask.all() else mask

    @property
    def matrices(self) -> list[Matrix]:
        """Where the weights of the linear hidden layers are."""
        found: list[Matrix] = []
        start = 0
        for i, size in zip(self._present, self._sizes, strict=True):
            if i < self.stack.depth - 1 and (weight := self.stack.params.weight[i]).ndim == 3:
                matrix = Matrix(start, (weight.shape[1], weight.shape[2]))
                mask = None if self._trained is None else matrix.of(self._trained)
                found.append(matrix._replace(trained=mask))
            start += size
        return found

    def _flat(self, params: Parameters) -> Tensor:
        """Put all parameters in one tensor: the update rule is then a few operations."""
        tensors = params.tensors()
        return torch.cat([tensors[i].flatten(1) for i in self._present], dim=1)

    def _named(self, flat: Tensor, absent: Parameters) -> Parameters:
        """Give the parts of flat weights their names and shapes, in the same memory."""
        tensors = absent.tensors()
        for i, part in zip(self._present, flat.split(self._sizes, 1), strict=True):
            tensors[i] = part.unflatten(1, tensors[i].shape[1:])
        return absent.replace_tensors(tensors)

    def start(self) -> TrainState:
        """Return the state before the first step.

        Returns
        -------
        TrainState
            With tensors and random streams of its own.
        """
        # Absent parameters hold neutral values, which must not decay.
        decay = self.weight_decay if self._trained is None else self.weight_decay * self._trained
        networks = Snapshot(self._flat(self.stack.params), self.stack.buffers).copy()
        generators = tuple(torch.Generator().manual_seed(seed) for seed in self.seeds)
        return TrainState(
            networks, self.rule.init(networks.weights, decay, self.matrices), generators
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
        weights, statistics = state.networks
        return self.stack.with_params(self._named(weights, self.stack.params), statistics)

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
        statistics = (tuple(map(torch.clone, field)) for field in stack.buffers)
        return stack.with_params(stack.params.map(torch.clone), Buffers(*statistics))

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
        tape = Tape() if self._dropout is None else TrainingTape(self._dropout, state.generators)
        losses = self._differentiate(state.networks.weights, tape, batch, rows, loss)
        with torch.no_grad():
            if self._trained is not None:
                self._gradient.mul_(self._trained)
            kept = None if state.frozen is None else state.networks.copy()
            weights, memory = self.rule.update(
                state.rule, state.networks.weights, self._gradient, lr
            )
            networks = state.networks._replace(weights=weights)
            if isinstance(tape, TrainingTape):
                update_buffers(networks.statistics, tape.seen, rows.shape[1])
            if state.frozen is not None and kept is not None:
                networks = networks.where(state.frozen, kept)
        return replace(state, networks=networks, rule=memory), losses

    def _differentiate(
        self, weights: Tensor, tape: Tape, batch: Tensor, rows: Tensor, loss: AnyLoss
    ) -> Tensor:
        """Write the gradients of all parameters; return the losses."""
        if self._views[0] is not weights:
            self._views = weights, self._named(weights, self.stack.params)
        params = self._views[1]
        if self._backprop is None or not isinstance(tape, TrainingTape):
            tensors, slots = params.tensors(), self._slots.tensors()
            wanted = [tensors[i].requires_grad_() for i in self._present]
            losses = loss(forward(self.stack, batch, params, tape=tape), rows)
            gradients = torch.autograd.grad(losses.sum(), wanted)
            for i, gradient in zip(self._present, gradients, strict=True):
                slots[i].copy_(gradient)
            return losses.detach()
        with torch.no_grad():
            backprop = self._backprop
            backprop.params, backprop.gradients = params, self._slots
            backprop.dropout = tape.dropout
            outputs = backprop.forward(batch)
            losses, gradient = losses_and_gradient(loss, outputs, rows)
            backprop.backward(gradient)
            for index, networks, mean, var in backprop.batch_statistics():
                tape.batch_statistics(index, networks, mean, var)
        return losses


def losses_and_gradient(loss: AnyLoss, outputs: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses and the gradient of their sum, by autograd if the loss has no other way."""
    if isinstance(loss, Loss):
        return loss.with_gradient(outputs, rows)
    with torch.enable_grad():
        losses = loss(outputs.requires_grad_(), rows)
        (gradient,) = torch.autograd.grad(losses.sum(), [outputs])
    return losses.detach(), gradient
