"""The one vectorised training loop for data networks: :func:`train_stack`.

Any stack, any loss that returns one value per network, any update rule. The zoo is this
loop with cross-entropy, fine-tuning is it with divergence + lam * violation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from skmeta._checks import shown
from skmeta.population import Buffers, Stack, forward
from skmeta.population.forward import Tape, update_buffers
from skmeta.training.backprop import Backprop
from skmeta.training.losses import CrossEntropy
from skmeta.training.rules import make_rule
from skmeta.training.tape import TrainingTape
from skmeta.training.threads import keep_freed_memory

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs ``(n, batch, n_outputs)`` and row numbers ``(n, batch)`` to losses ``(n,)``."""


class Sampler(Protocol):
    """Draws the rows of each step."""

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Yield row numbers ``(n, batch)``."""
        ...


Snapshot = tuple[Tensor, Buffers]
"""Flat weights and running statistics."""


class StackTrainer:
    """Weights, update rule and random streams of a stack in training.

    Parameters
    ----------
    stack : Stack
        Initial networks; not changed.
    lr, weight_decay : Tensor of shape (n,)
        Per network.
    seeds : sequence of int
        One per network; they decide batches and dropout.
    rule : {"adam", "adamw", "sgd", "rmsprop"}
        Update rule.
    train_mode : bool, default=True
        Dropout and batch statistics, as for training from scratch. Fine-tuning keeps the
        networks in evaluation mode: its stratified batches would distort the statistics.
    keep_zeros : bool, default=False
        Leave weights that are exactly zero at zero: those of masked networks.

    Attributes
    ----------
    lr : Tensor of shape (n, 1)
        Learning rates; change them in place for a schedule.
    frozen : Tensor of bool of shape (n,)
        Networks that no longer change.

    Examples
    --------
    >>> import torch
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> from skmeta.training import CrossEntropy, StackTrainer
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> (_, stack), = networks.blocks
    >>> trainer = StackTrainer(
    ...     stack, lr=torch.full((2,), 0.01), weight_decay=torch.zeros(2), seeds=[0, 1]
    ... )
    >>> X, y = torch.eye(3), torch.tensor([0, 1, 1])
    >>> rows = torch.arange(3).expand(2, 3)
    >>> before, *_, after = [trainer.step(X, rows, CrossEntropy(y)) for _ in range(20)]
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
        self.stack = stack
        self.buffers = _copy_buffers(stack.buffers)
        self.lr = lr.to(stack.params.weight[0])[:, None].clone()
        self._flatten(keep_zeros)
        # Absent parameters hold neutral values, which must not decay.
        decay = weight_decay.to(self.flat)[:, None]
        self.rule = make_rule(rule, decay if self._present is None else decay * self._present)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.tape = TrainingTape(stack, self.generators) if train_mode else Tape()
        self._backprop: Backprop | None = None
        if isinstance(self.tape, TrainingTape):
            backprop = Backprop(stack, self.params, self._gradients, self.tape.dropout)
            self._backprop = backprop if backprop.supported else None
        self.frozen = torch.zeros(len(stack), dtype=torch.bool, device=stack.device)
        self._kept: Snapshot | None = None  # what frozen networks are put back to

    def _flatten(self, keep_zeros: bool) -> None:
        """Put all parameters in one tensor: the update rule is then a few operations."""
        params, trainable = self.stack.params, self.stack.trainable()
        if keep_zeros:
            pairs = zip(trainable.weight, params.weight, strict=True)
            trainable = trainable._replace(weight=tuple(m * (w != 0) for m, w in pairs))
        tensors, masks = params.tensors(), trainable.tensors()
        # Layers without normalisation have no scale and shift.
        present = [i for i, mask in enumerate(masks) if mask.any()]
        sizes = [tensors[i][0].numel() for i in present]
        self.flat = torch.cat([tensors[i].flatten(1) for i in present], dim=1)
        self._flat_gradient = torch.zeros_like(self.flat)
        gradients = [torch.zeros_like(t) for t in tensors]
        for i, view, slot in zip(
            present, self.flat.split(sizes, 1), self._flat_gradient.split(sizes, 1), strict=True
        ):
            shape = tensors[i].shape[1:]
            tensors[i] = view.unflatten(1, shape).requires_grad_()
            gradients[i] = slot.unflatten(1, shape)
        self.params = self.stack.params.replace_tensors(tensors)
        self._gradients = self.stack.params.replace_tensors(gradients)
        # Ones where an entry of `flat` is trained; None if all are.
        self._present: Tensor | None = torch.cat([masks[i].flatten(1) for i in present], dim=1)
        if self._present.all():
            self._present = None

    def current(self) -> Stack:
        """Return the networks as they are now.

        Returns
        -------
        Stack
            It shares memory with the trainer: the next step changes it.
        """
        params = self.params.map(lambda t: t.detach())
        return self.stack.with_params(params, self.buffers)

    def step(self, X: Tensor, rows: Tensor, loss: Loss) -> Tensor:
        """Take one step of every network on its own rows.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_inputs)
            Rows of the task.
        rows : Tensor of int of shape (n, batch)
            Which rows each network sees.
        loss : callable
            ``loss(outputs, rows) -> (n,)``.

        Returns
        -------
        Tensor of shape (n,)
            Losses before the step.
        """
        rows = rows.to(X.device)
        batch = X.index_select(0, rows.flatten()).view(*rows.shape, X.shape[1])
        losses = self._differentiate(batch, rows, loss)
        with torch.no_grad():
            if self._present is not None:
                self._flat_gradient.mul_(self._present)
            self.rule.step(self.flat, self._flat_gradient, self.lr)
            if isinstance(self.tape, TrainingTape):
                update_buffers(self.buffers, self.tape.seen, rows.shape[1])
                self.tape.seen.clear()
            if self._kept is not None:
                self.restore(self._kept, self.frozen)
        return losses

    def _differentiate(self, batch: Tensor, rows: Tensor, loss: Loss) -> Tensor:
        """Write the gradients of all parameters; return the losses."""
        if self._backprop is None:
            losses = loss(forward(self.stack, batch, self.params, tape=self.tape), rows)
            slots = dict(zip(self.params.tensors(), self._gradients.tensors(), strict=True))
            wanted = [t for t in slots if t.requires_grad]
            for t, gradient in zip(wanted, torch.autograd.grad(losses.sum(), wanted), strict=True):
                slots[t].copy_(gradient)
            return losses.detach()
        with torch.no_grad():
            outputs = self._backprop.forward(batch)
            if isinstance(loss, CrossEntropy):
                losses, gradient = loss.with_gradient(outputs, rows)
            else:
                with torch.enable_grad():
                    losses = loss(outputs.requires_grad_(), rows)
                    (gradient,) = torch.autograd.grad(losses.sum(), [outputs])
            self._backprop.backward(gradient)
            for index, networks, mean, var in self._backprop.batch_statistics():
                self.tape.batch_statistics(index, networks, mean, var)
        return losses.detach()

    def freeze(self, networks: Tensor) -> None:
        """Keep some networks as they are now; later steps do not change them.

        Parameters
        ----------
        networks : Tensor of bool of shape (n,)
            Which ones, beside those that are frozen already.
        """
        self.frozen |= networks
        self._kept = self.snapshot()

    def snapshot(self) -> Snapshot:
        """Copy the weights and the running statistics.

        Returns
        -------
        tuple of Tensor and Buffers
            What :meth:`restore` takes.
        """
        return self.flat.clone(), _copy_buffers(self.buffers)

    def restore(self, saved: Snapshot, networks: Tensor) -> None:
        """Put the weights and statistics of some networks back to a snapshot.

        Parameters
        ----------
        saved : tuple of Tensor and Buffers
            From :meth:`snapshot`.
        networks : Tensor of bool of shape (n,)
            Which ones.
        """
        _overwrite((self.flat, self.buffers), saved, networks)


def _copy_buffers(buffers: Buffers) -> Buffers:
    return Buffers(*(tuple(t.clone() for t in field) for field in buffers))


def _overwrite(old: Snapshot, new: Snapshot, networks: Tensor) -> None:
    """Copy some networks from one snapshot into another, in place."""
    pairs = [(old[0], new[0])]
    for old_field, new_field in zip(old[1], new[1], strict=True):
        pairs += zip(old_field, new_field, strict=True)
    for to, value in pairs:
        to[networks] = value[networks]


@dataclass
class TrainingResult:
    """What :func:`train_stack` returns.

    Attributes
    ----------
    stack : Stack
        The trained networks.
    checkpoints : dict of int to Stack
        The networks after the requested epochs (1-based).
    train_loss : Tensor of shape (n_epochs, n)
        Mean loss of each epoch.
    validation_loss : Tensor of shape (n_epochs, n) or None
        Loss after each epoch, if an evaluation was given.
    diverged : Tensor of bool of shape (n,)
        Networks whose weights or loss became non-finite; they are kept as they were at
        the last epoch at which they were finite.
    """

    stack: Stack
    checkpoints: dict[int, Stack]
    train_loss: Tensor
    validation_loss: Tensor | None
    diverged: Tensor


def train_stack(
    trainer: StackTrainer,
    X: Tensor,
    loss: Loss,
    sampler: Sampler,
    *,
    n_epochs: int,
    checkpoints: Sequence[int] = (),
    evaluate: Callable[[Stack], Tensor] | None = None,
    patience: int | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> TrainingResult:
    """Train all networks of a stack at once.

    Parameters
    ----------
    trainer : StackTrainer
        Initial networks, rule and seeds.
    X : Tensor of shape (n_samples, n_inputs)
        Rows of the task.
    loss : callable
        ``loss(outputs, rows) -> (n,)``; differentiable in the outputs.
    sampler : ShuffledRows or StratifiedRows
        Which rows each network sees.
    n_epochs : int
        Passes of the sampler.
    checkpoints : sequence of int
        Epochs (1-based) after which the networks are kept.
    evaluate : callable, optional
        ``evaluate(stack) -> (n,)``, a validation loss, once per epoch.
    patience : int, optional
        Stop a network when its validation loss has not improved for so many epochs, and
        go back to its best epoch. Needs ``evaluate``.
    on_epoch : callable, optional
        Called with the number of the finished epoch.

    Returns
    -------
    TrainingResult
        The trained networks and how they got there.
    """
    if n_epochs < 1 or any(not 1 <= epoch <= n_epochs for epoch in checkpoints):
        raise ValueError(
            "The 'n_epochs' parameter of train_stack must be at least 1 and 'checkpoints' among "
            f"the epochs 1 to n_epochs. Got {n_epochs} and {shown(list(checkpoints))} instead."
        )
    if patience is not None and evaluate is None:
        raise ValueError(
            "The 'patience' parameter of train_stack needs 'evaluate', the validation loss that "
            f"it watches. Got patience={patience} without it."
        )
    n, device = len(trainer.stack), trainer.stack.device
    curves, validation, kept = [], [], {}
    diverged = torch.zeros(n, dtype=torch.bool, device=device)
    best_loss, waited = torch.full((n,), torch.inf, device=device), torch.zeros(n, device=device)
    best = trainer.snapshot()
    for epoch in range(1, n_epochs + 1):
        before = trainer.snapshot()
        losses = [trainer.step(X, rows, loss) for rows in sampler.epoch(trainer.generators)]
        curves.append(torch.stack(losses).mean(0))
        finite = trainer.flat.isfinite().all(1) & curves[-1].isfinite()
        broken = ~finite & ~trainer.frozen
        if broken.any():
            trainer.restore(before, broken)
            trainer.freeze(broken)
            diverged |= broken
        if evaluate is not None:
            with torch.no_grad():
                value = evaluate(trainer.current())
            validation.append(value)
            better = (value < best_loss) & ~trainer.frozen
            best_loss = torch.where(better, value, best_loss)
            waited = torch.where(better, torch.zeros_like(waited), waited + 1)
            if patience is not None:
                _overwrite(best, trainer.snapshot(), better)
                if (done := (waited >= patience) & ~trainer.frozen).any():
                    trainer.freeze(done)
        if epoch in checkpoints:
            kept[epoch] = _copy(trainer.current())
        if on_epoch is not None:
            on_epoch(epoch)
        if trainer.frozen.all():
            break
    if patience is not None:
        trainer.restore(best, best_loss.isfinite())
    final = _copy(trainer.current())
    return TrainingResult(
        final,
        # When every network has stopped early, the remaining checkpoints are the last state.
        {epoch: kept.get(epoch, final) for epoch in checkpoints},
        torch.stack(curves),
        torch.stack(validation) if validation else None,
        diverged,
    )


def _copy(stack: Stack) -> Stack:
    return stack.with_params(stack.params.map(torch.clone), _copy_buffers(stack.buffers))


def per_network(value: float | Sequence[float] | Tensor, n: int) -> Tensor:
    """Expand a number to one per network, or check that there are enough.

    Parameters
    ----------
    value : float, sequence of float or Tensor
        One number, or one per network.
    n : int
        Number of networks.

    Returns
    -------
    Tensor of shape (n,)
        In float64.
    """
    tensor = torch.as_tensor(value, dtype=torch.float64).flatten()
    if tensor.numel() not in (1, n):
        raise ValueError(
            f"A setting per network must be one number or {n} of them. Got {tensor.numel()}."
        )
    return tensor.expand(n) if tensor.numel() == 1 else tensor
