"""The one vectorised training loop for data networks: :func:`train_stack`.

Any stack, any loss that returns one value per network, any update rule. The zoo is this
loop with cross-entropy, fine-tuning is it with divergence + lam * violation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from skmeta.population import Buffers, Parameters, Stack, forward
from skmeta.population.forward import Tape, update_buffers
from skmeta.training.rules import make_rule

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs ``(n, batch, n_outputs)`` and row numbers ``(n, batch)`` to losses ``(n,)``."""


class Sampler(Protocol):
    """Draws the rows of each step."""

    def epoch(self, generators: Sequence[torch.Generator]) -> object:
        """Yield row numbers ``(n, batch)``."""


class TrainingTape(Tape):
    """Dropout with one random stream per network, and batch statistics."""

    train = True

    def __init__(self, stack: Stack, generators: Sequence[torch.Generator]) -> None:
        self.generators = generators
        self.seen: dict[tuple[int, tuple[int, int]], tuple[Tensor, Tensor]] = {}
        rates = torch.tensor([[x.dropout for x in a.layers] for a in stack.architectures])
        self.rates = [r if r.any() else None for r in rates.T]
        self.true_widths = [a.widths for a in stack.architectures]

    def state(self, index: int, h: Tensor) -> Tensor:
        """Drop elements of hidden states."""
        rates = self.rates[index - 1] if index else None
        if rates is None:
            return h
        return h * self._mask(rates, index, h)

    def _mask(self, rates: Tensor, index: int, h: Tensor) -> Tensor:
        n, n_rows, width = h.shape
        # Sixteen random bits per element, drawn neuron by neuron for the true neurons only:
        # the stream of a network does not depend on its padding.
        words = -(-n_rows // 4)
        bits = torch.zeros(n, width, words, dtype=torch.int64)
        for i, rate in enumerate(rates.tolist()):
            if rate:
                true = bits[i, : self.true_widths[i][index]]
                true.random_(-(2**63), None, generator=self.generators[i])
        threshold = (rates * 65536 - 32768).to(torch.int16)[:, None, None]
        keep = bits.view(torch.int16)[..., :n_rows] >= threshold
        return (keep / (1 - rates)[:, None, None]).transpose(1, 2).to(h)

    def batch_statistics(self, index: int, rows: slice, mean: Tensor, var: Tensor) -> None:
        """Remember the statistics of batch normalisation."""
        self.seen[index, (rows.start, rows.stop)] = (mean.detach(), var.detach())


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
    rule : {"adam", "adamw", "sgd"}
        Update rule.
    train_mode : bool, default=True
        Dropout and batch statistics, as for training from scratch. Fine-tuning keeps the
        networks in evaluation mode: its stratified batches would distort the statistics.
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
    ) -> None:
        self.stack, device = stack, stack.device
        tensors = stack.params.tensors()
        self.flat = torch.cat([t.reshape(len(stack), -1) for t in tensors], dim=1)
        views = zip(self.flat.split([t[0].numel() for t in tensors], dim=1), tensors, strict=True)
        shaped = [v.unflatten(1, t.shape[1:]).requires_grad_() for v, t in views]
        self.params = stack.params.replace_tensors(shaped)
        self.buffers = Buffers(*(tuple(t.clone() for t in field) for field in stack.buffers))
        self.lr = lr.to(self.flat)[:, None].clone()
        self.rule = make_rule(rule, weight_decay.to(self.flat)[:, None])
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.tape = TrainingTape(stack, self.generators) if train_mode else Tape()
        self.active = [
            (i, t) for i, t in enumerate(shaped) if stack.trainable().tensors()[i].any()
        ]
        self.frozen = torch.zeros(len(stack), dtype=torch.bool, device=device)
        self._gradient = torch.zeros_like(self.flat)
        self._slots = self._gradient.split([t[0].numel() for t in tensors], dim=1)
        self._masks = self._gradient_masks()

    def _gradient_masks(self) -> dict[int, Tensor]:
        """Masks of tensors of which some, but not all, entries are parameters."""
        masks = {}
        for i, _ in self.active:
            mask = self.stack.trainable().tensors()[i]
            if not mask.all():
                masks[i] = mask
        return masks

    def current(self) -> Stack:
        """Return the networks as they are now, as a stack that shares memory."""
        params = self.params.map(lambda t: t.detach())
        return self.stack.with_params(params, self.buffers)

    def step(self, X: Tensor, rows: Tensor, loss: Loss) -> Tensor:
        """Take one step of every network on its own rows; return the losses ``(n,)``."""
        batch = X.index_select(0, rows.flatten()).view(*rows.shape, X.shape[1])
        outputs = forward(self.stack, batch, self.params, tape=self.tape)
        losses = loss(outputs, rows)
        wanted = [t for _, t in self.active]
        gradients = torch.autograd.grad(losses.sum(), wanted)
        with torch.no_grad():
            for (i, _), gradient in zip(self.active, gradients, strict=True):
                if i in self._masks:
                    gradient = gradient * self._masks[i]
                self._slots[i].copy_(gradient.flatten(1))
            if self.frozen.any():
                self._gradient[self.frozen] = 0.0
            self.rule.step(self.flat, self._gradient, self.lr)
            if isinstance(self.tape, TrainingTape):
                update_buffers(self.buffers, self.tape.seen, rows.shape[1])
                self.tape.seen.clear()
        return losses.detach()

    def freeze(self, networks: Tensor) -> None:
        """Stop the training of some networks where they are."""
        self.frozen |= networks
        self.lr[networks] = 0.0
        self.rule.reset(networks)

    def snapshot(self) -> tuple[Tensor, Buffers]:
        """Copy the weights and the running statistics."""
        return self.flat.clone(), Buffers(*(tuple(t.clone() for t in f) for f in self.buffers))

    def restore(self, saved: tuple[Tensor, Buffers], networks: Tensor) -> None:
        """Put the weights of some networks back to a snapshot."""
        flat, buffers = saved
        self.flat[networks] = flat[networks]
        for field, old in zip(self.buffers, buffers, strict=True):
            for tensor, saved_tensor in zip(field, old, strict=True):
                tensor[networks] = saved_tensor[networks]


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
    """
    n = len(trainer.stack)
    curves, validation, kept = [], [], {}
    diverged = torch.zeros(n, dtype=torch.bool, device=trainer.stack.device)
    best_loss = torch.full((n,), torch.inf, device=trainer.stack.device)
    best, waited = trainer.snapshot(), torch.zeros(n, device=trainer.stack.device)
    for epoch in range(1, n_epochs + 1):
        before = trainer.snapshot()
        losses = [trainer.step(X, rows, loss) for rows in sampler.epoch(trainer.generators)]
        curves.append(torch.stack(losses).mean(0))
        broken = ~(trainer.flat.isfinite().all(1) & curves[-1].isfinite()) & ~trainer.frozen
        if broken.any():
            trainer.restore(before, broken)
            trainer.freeze(broken)
            diverged |= broken
        if evaluate is not None:
            with torch.no_grad():
                value = evaluate(trainer.current())
            validation.append(value)
            better = value < best_loss
            best_loss = torch.where(better, value, best_loss)
            waited = torch.where(better, torch.zeros_like(waited), waited + 1)
            if patience is not None:
                best = _keep_best(trainer, best, better)
                trainer.freeze((waited >= patience) & ~trainer.frozen)
        if epoch in checkpoints:
            kept[epoch] = _copy(trainer.current())
        if on_epoch is not None:
            on_epoch(epoch)
        if trainer.frozen.all():
            break
    if patience is not None:
        trainer.restore(best, best_loss.isfinite())
    for epoch in checkpoints:
        kept.setdefault(epoch, _copy(trainer.current()))
    return TrainingResult(
        _copy(trainer.current()),
        kept,
        torch.stack(curves),
        torch.stack(validation) if validation else None,
        diverged,
    )


def _keep_best(
    trainer: StackTrainer, best: tuple[Tensor, Buffers], better: Tensor
) -> tuple[Tensor, Buffers]:
    now = trainer.snapshot()
    best[0][better] = now[0][better]
    for field, new in zip(best[1], now[1], strict=True):
        for tensor, value in zip(field, new, strict=True):
            tensor[better] = value[better]
    return best


def _copy(stack: Stack) -> Stack:
    params: Parameters = stack.params.map(torch.clone)
    return stack.with_params(
        params, Buffers(*(tuple(t.clone() for t in field) for field in stack.buffers))
    )


def per_network(value: float | Sequence[float] | Tensor, n: int) -> Tensor:
    """Expand a number to one per network, or check that there are ``n``."""
    tensor = torch.as_tensor(value, dtype=torch.float64).flatten()
    if tensor.numel() not in (1, n):
        raise ValueError(
            f"A setting per network must be one number or {n} of them. Got {tensor.numel()}."
        )
    return tensor.expand(n) if tensor.numel() == 1 else tensor
