"""Train many networks at once with a recipe each: :func:`unroll`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Task
from skmeta.optimizing.recipe import Recipe
from skmeta.population import Population, Stack, run_stack
from skmeta.population.mapping import n_numbers
from skmeta.training import (
    ShuffledSteps,
    StackTrainer,
    TrainState,
    recalibrated,
    single_thread,
    train_stack,
)

_COPIES = 16
"""Numbers that training holds for each weight."""

_ROWS_TO_MEASURE = 4096
"""Of held-out rows and of those that statistics are measured on; more say little more."""


@dataclass(frozen=True)
class Training:
    """How networks are trained.

    Parameters
    ----------
    n_steps : int
        Steps of gradients.
    batch_size : int
        Rows per step.
    n_points : int, default=1
        How often the loss is measured: the last time behind the last step.
    """

    n_steps: int
    batch_size: int
    n_points: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.n_points <= self.n_steps:
            raise ValueError(
                "The 'n_points' of a Training must be from 1 to its number of steps, "
                f"{self.n_steps}. Got {self.n_points}."
            )


class Unrolled(NamedTuple):
    """Networks that were trained.

    Attributes
    ----------
    networks : Population
        With averaged weights; one that diverged is as it was before.
    curves : Tensor of shape (n, n_points)
        Losses on held-out rows; infinite where a network has diverged.
    initial : Tensor of shape (n,)
        Losses on them before the first step.
    """

    networks: Population
    curves: Tensor
    initial: Tensor


def unroll(
    networks: Population,
    task: Task,
    recipe: Recipe,
    training: Training,
    *,
    seeds: Sequence[int],
    held_out: Task | None = None,
) -> Unrolled:
    """Train networks, each with numbers of its own.

    Parameters
    ----------
    networks : Population
        Initial networks of the task.
    task : Task
        Rows to train on.
    recipe : Recipe
        For each network.
    training : Training
        How long.
    seeds : sequence of int
        For each network; they decide batches and dropout. Equal seeds see equal batches.
    held_out : Task, optional
        Rows to measure losses on; by default those of the task.

    Returns
    -------
    Unrolled
    """
    if not len(networks) == len(recipe) == len(seeds):
        raise ValueError(
            "unroll needs a recipe and a seed for each network. Got "
            f"{len(networks)} networks, {len(recipe)} recipes and {len(seeds)} seeds."
        )

    def train(stack: Stack, numbers: Tensor, seeds: list[int]) -> tuple[Stack, Tensor, Tensor]:
        columns = zip(recipe.numbers, numbers.T, strict=True)
        own = replace(recipe, numbers=dict(columns))
        run = Run(stack, task, own, training, seeds=seeds, held_out=held_out)
        initial = run.measure(stack)
        curves = [run.advance() for _ in range(training.n_points)]
        return run.trained(), torch.stack(curves, 1), initial

    with single_thread():
        numbers = torch.stack(list(recipe.numbers.values()), 1)
        return Unrolled(
            *networks.map(
                train,
                numbers,
                list(map(int, seeds)),
                numbers=lambda stack: _COPIES * n_numbers(stack),
            )
        )


class Run:
    """The training of a stack, piece by piece.

    Parameters
    ----------
    stack : Stack
        Initial networks of the task.
    task : Task
        Rows to train on.
    recipe : Recipe
        For each network.
    training : Training
        How long, in how many pieces.
    seeds : sequence of int
        For each network.
    held_out : Task, optional
        Rows to measure losses on; by default those of the task.
    """

    def __init__(
        self,
        stack: Stack,
        task: Task,
        recipe: Recipe,
        training: Training,
        *,
        seeds: Sequence[int],
        held_out: Task | None = None,
    ) -> None:
        device, dtype = stack.device, stack.dtype
        own = recipe.to(device, dtype)
        self.trainer = StackTrainer(
            stack,
            lr=own.numbers["lr"],
            weight_decay=own.numbers["weight_decay"],
            seeds=seeds,
            rule=own.rule,
            schedule=own.schedule(training.n_steps),
        )
        self._state: TrainState | None = None
        self._lost = torch.zeros(len(stack), dtype=torch.bool, device=device)
        self._X, self._loss = task.tensors(device, dtype)[0], task.loss(device, dtype)
        self._steps = ShuffledSteps(
            len(self._X), training.batch_size, training.n_steps, training.n_points
        )
        few = few_rows(task if held_out is None else held_out)
        self._held_out = few.tensors(device, dtype)[0], few.loss(device, dtype)
        self._seen = few_rows(task).tensors(device, dtype)[0]

    def measure(self, stack: Stack) -> Tensor:
        """Return losses on held-out rows, infinite where there are none."""
        X, loss = self._held_out
        every = torch.arange(len(X), device=X.device).expand(len(stack), -1)
        losses = loss(run_stack(recalibrated(stack, self._seen), X), every)
        return losses.nan_to_num(nan=torch.inf, posinf=torch.inf)

    def advance(self) -> Tensor:
        """Train for a piece; return losses behind it, infinite for what has ever diverged."""
        result = train_stack(
            self.trainer,
            self._X,
            self._loss,
            self._steps,
            n_epochs=1,
            evaluate=self.measure,
            state=self._state,
        )
        assert result.validation_loss is not None
        self._state, self._lost = result.state, self._lost | result.diverged
        self._lost = self._lost | result.validation_loss[0].isinf()
        return torch.where(self._lost, torch.inf, result.validation_loss[0])

    def trained(self) -> Stack:
        """Return the networks, those that have diverged as they were in the beginning."""
        assert self._state is not None
        start = self.trainer.stack
        now = recalibrated(self.trainer.copied(self._state), self._seen)
        pairs = ((start.weights, now.weights), (start.statistics, now.statistics))
        kept = [b.with_flat(torch.where(self._lost[:, None], a.flat, b.flat)) for a, b in pairs]
        return now.with_weights(*kept)


def few_rows(task: Task) -> Task:
    """Return not too many rows, wherever they stand: tasks may be sorted.

    Parameters
    ----------
    task : Task
        All rows.

    Returns
    -------
    Task
        Itself, or 4,096 of its rows, always the same.
    """
    if task.n_samples <= _ROWS_TO_MEASURE:
        return task
    rows = np.random.default_rng(0).choice(task.n_samples, _ROWS_TO_MEASURE, replace=False)
    return task.subset(np.sort(rows))
