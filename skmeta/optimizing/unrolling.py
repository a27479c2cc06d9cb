"""Train many networks at once with a recipe each: :func:`unroll`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Task
from skmeta.optimizing.recipe import Recipe
from skmeta.population import Population, Stack, run_stack
from skmeta.population.mapping import n_numbers
from skmeta.training import ShuffledSteps, StackTrainer, recalibrated, single_thread, train_stack

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
    device, dtype = networks.device, networks.dtype
    X = task.tensors(device, dtype)[0]
    held_out = task if held_out is None else held_out
    few = held_out.subset(np.arange(min(held_out.n_samples, _ROWS_TO_MEASURE)))
    few_X, few_loss = few.tensors(device, dtype)[0], few.loss(device, dtype)
    every = torch.arange(len(few_X), device=device)

    def measure(stack: Stack) -> Tensor:
        stack = recalibrated(stack, X[:_ROWS_TO_MEASURE])
        losses = few_loss(run_stack(stack, few_X), every.expand(len(stack), -1))
        return losses.nan_to_num(nan=torch.inf)

    def train(stack: Stack, numbers: Tensor, seeds: list[int]) -> tuple[Stack, Tensor, Tensor]:
        columns = zip(recipe.numbers, numbers.T, strict=True)
        own = Recipe(recipe.base, dict(columns)).to(device, dtype)
        trainer = StackTrainer(
            stack,
            lr=own.numbers["lr"],
            weight_decay=own.numbers["weight_decay"],
            seeds=seeds,
            rule=own.rule,
            schedule=own.schedule(training.n_steps),
        )
        steps = ShuffledSteps(len(X), training.batch_size, training.n_steps, training.n_points)
        result = train_stack(
            trainer, X, task.loss(device, dtype), steps, n_epochs=training.n_points,
            evaluate=measure,
        )  # fmt: skip
        assert result.validation_loss is not None
        curves = torch.full((len(stack), training.n_points), torch.inf, dtype=dtype, device=device)
        curves[:, : len(result.validation_loss)] = result.validation_loss.T
        curves[result.diverged, -1] = torch.inf
        return recalibrated(result.stack, X[:_ROWS_TO_MEASURE]), curves, measure(stack)

    with single_thread():
        numbers = torch.stack(list(recipe.numbers.values()), 1)
        return Unrolled(
            *networks.map(
                train, numbers, list(seeds), numbers=lambda stack: _COPIES * n_numbers(stack)
            )
        )
