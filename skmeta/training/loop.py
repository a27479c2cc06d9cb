"""The one vectorised training loop for data networks: :func:`train_stack`.

The zoo is this loop with the task's loss, fine-tuning is its step with divergence + lam *
violation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from skmeta._checks import shown
from skmeta.population import Stack
from skmeta.training.trainer import AnyLoss, StackTrainer, TrainState


class Sampler(Protocol):
    """Draws the rows of each step."""

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Yield row numbers ``(n, batch)``."""
        ...


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
    state : TrainState
        From which training can go on.
    """

    stack: Stack
    checkpoints: dict[int, Stack]
    train_loss: Tensor
    validation_loss: Tensor | None
    diverged: Tensor
    state: TrainState


def train_stack(
    trainer: StackTrainer,
    X: Tensor,
    loss: AnyLoss,
    sampler: Sampler,
    *,
    n_epochs: int,
    checkpoints: Sequence[int] = (),
    evaluate: Callable[[Stack], Tensor] | None = None,
    patience: int | None = None,
    on_epoch: Callable[[int], None] | None = None,
    state: TrainState | None = None,
) -> TrainingResult:
    """Train all networks of a stack at once.

    Parameters
    ----------
    trainer : StackTrainer
        Initial networks, rule and seeds.
    X : Tensor of shape (n_samples, n_inputs)
        Rows of the task.
    loss : Loss or callable
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
    state : TrainState, optional
        Where to begin, if not at the trainer's start; its memory is used.

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
    state = trainer.start() if state is None else state
    stop = _EarlyStop(patience, state)
    diverged = torch.zeros_like(stop.waited, dtype=torch.bool)
    curves, validation, kept = [], [], {}
    for epoch in range(1, n_epochs + 1):
        state, curve, broken = _epoch(trainer, state, X, loss, sampler)
        curves.append(curve)
        diverged |= broken
        if evaluate is not None:
            with torch.no_grad():
                validation.append(evaluate(trainer.networks(state)))
            state = stop.watch(state, validation[-1])
        if epoch in checkpoints:
            kept[epoch] = trainer.copied(state)
        if on_epoch is not None:
            on_epoch(epoch)
        if state.frozen is not None and state.frozen.all():
            break
    state = stop.best_of(state)
    final = trainer.copied(state)
    return TrainingResult(
        final,
        # When every network has stopped early, the remaining checkpoints are the last state.
        {epoch: kept.get(epoch, final) for epoch in checkpoints},
        torch.stack(curves),
        torch.stack(validation) if validation else None,
        diverged,
        state,
    )


def _epoch(
    trainer: StackTrainer, state: TrainState, X: Tensor, loss: AnyLoss, sampler: Sampler
) -> tuple[TrainState, Tensor, Tensor]:
    """Pass over the rows once; freeze networks that become non-finite as they were before.

    Returns the state, the mean losses and which networks these are.
    """
    before, losses = state.networks.copy(), []
    for rows in sampler.epoch(state.generators):
        state, value = trainer.step(state, X, rows, loss)
        losses.append(value)
    curve = torch.stack(losses).mean(0)
    broken = ~(state.networks.weights.isfinite().all(1) & curve.isfinite())
    if state.frozen is not None:
        broken &= ~state.frozen
    if broken.any():
        state = replace(state, networks=state.networks.where(broken, before)).freeze(broken)
    return state, curve, broken


class _EarlyStop:
    """Freezes networks whose validation loss no longer improves; remembers their best epoch."""

    def __init__(self, patience: int | None, state: TrainState) -> None:
        self.patience, self.best = patience, state.networks.copy()
        self.best_loss = torch.full_like(self.best.weights[:, 0], torch.inf)
        self.waited = torch.zeros_like(self.best_loss)

    def watch(self, state: TrainState, loss: Tensor) -> TrainState:
        """Look at the losses after an epoch."""
        if self.patience is None:
            return state
        active = torch.ones_like(loss, dtype=torch.bool) if state.frozen is None else ~state.frozen
        better = (loss < self.best_loss) & active
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.waited = torch.where(better, 0.0, self.waited + 1)
        self.best = self.best.where(better, state.networks)
        done = (self.waited >= self.patience) & active
        return state.freeze(done) if done.any() else state

    def best_of(self, state: TrainState) -> TrainState:
        """Go back to the best epoch of each network."""
        if self.patience is None:
            return state
        networks = state.networks.where(self.best_loss.isfinite(), self.best)
        return replace(state, networks=networks)


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
