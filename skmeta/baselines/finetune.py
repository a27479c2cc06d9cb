"""The rival to beat: gradient descent on the editor's own objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Task
from skmeta.population import Population, Stack, forward
from skmeta.population.blocks import Block
from skmeta.population.initialization import network_seeds
from skmeta.requirements import Cells, Objective
from skmeta.training import StackTrainer, StratifiedRows, per_network, train_stack


def fine_tune(
    start: Population,
    task: Task,
    objective: Objective,
    *,
    lam: float | Tensor,
    n_steps: int,
    lr: float = 1e-3,
    n_per_cell: int = 192,
    original: Population | None = None,
    random_state: Any = None,
) -> Population:
    """Continue the training of every network on divergence + lam * violation.

    All networks of one depth take their steps together, with Adam on batches that hold the
    same number of rows of each (label, group) cell; normalisation statistics stay fixed.

    Parameters
    ----------
    start : Population
        Networks to begin with.
    task : Task
        Rows to train on.
    objective : Objective
        Eq. 12 of the paper on learned editing.
    lam : float or Tensor of shape (n_networks,)
        Weight of the violation.
    n_steps : int
        Gradient steps of each network.
    lr : float, default=1e-3
        Learning rate; it decays to zero linearly.
    n_per_cell : int, default=192
        Rows per cell and step.
    original : Population, optional
        Networks to stay close to, if not ``start``.
    random_state : int or None
        Seed of the batches.

    Returns
    -------
    Population
        The fine-tuned networks.
    """
    origin = dict_of_rows(start if original is None else original)
    seeds = network_seeds(len(start), random_state)
    lams = per_network(lam, len(start)).to(torch.float32)
    blocks: list[Block] = []
    for positions, stack in start.depth_blocks():
        reference = Stack.merge([origin[p] for p in positions])
        tuned = _fine_tune_stack(
            stack,
            reference.padded(stack.widths),
            task,
            objective,
            lam=lams[torch.as_tensor(positions)],
            n_steps=n_steps,
            lr=lr,
            n_per_cell=n_per_cell,
            seeds=[seeds[p] for p in positions],
        )
        blocks.append((positions, tuned))
    return start.with_blocks(blocks)


def dict_of_rows(population: Population) -> dict[int, Stack]:
    """Map each position to a stack of one network."""
    return {
        int(position): stack.select([row])
        for positions, stack in population.blocks
        for row, position in enumerate(positions)
    }


def _fine_tune_stack(
    stack: Stack,
    original: Stack,
    task: Task,
    objective: Objective,
    *,
    lam: Tensor,
    n_steps: int,
    lr: float,
    n_per_cell: int,
    seeds: list[int],
) -> Stack:
    X, _, _ = task.tensors(stack.device)
    cells = Cells.of(task, stack.device)
    n = len(stack)

    def loss(outputs: Tensor, rows: Tensor) -> Tensor:
        with torch.no_grad():
            target = forward(original, X[rows])
        # A stratified batch goes cell by cell: its cells are the same for every network.
        return objective.loss(target, outputs, cells.take(rows[0]), lam)

    trainer = StackTrainer(
        stack, lr=torch.full((n,), lr), weight_decay=torch.zeros(n), seeds=seeds, train_mode=False
    )
    sampler = StratifiedRows(task.cells(), n_per_cell, n_steps)
    for step, rows in enumerate(sampler.epoch(trainer.generators)):
        trainer.lr.fill_(lr * (1 - step / n_steps))
        trainer.step(X, rows, loss)
    return trainer.current()
