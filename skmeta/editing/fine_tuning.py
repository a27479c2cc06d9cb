"""Gradient descent on divergence + lam * violation: :func:`fine_tune`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_in_range
from skmeta._modes import in_own_modes
from skmeta.datasets import Cells, Task
from skmeta.population import Population, Stack, run_stack
from skmeta.population.checks import check_columns, check_fit_together
from skmeta.population.mapping import seeds_of
from skmeta.requirements import Objective
from skmeta.training import StackTrainer, StratifiedRows, per_network


@in_own_modes
def fine_tune(
    start: Population,
    task: Task,
    objective: Objective,
    *,
    lam: float | Tensor,
    n_steps: int,
    lr: float = 5e-3,
    n_per_cell: int = 192,
    original: Population | None = None,
    targets: Tensor | None = None,
    last_stage_only: Tensor | None = None,
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
    lr : float, default=5e-3
        Peak learning rate; it decays to zero linearly.
    n_per_cell : int, default=192
        Rows per cell and step.
    original : Population, optional
        Networks to stay close to, if not ``start``, which is an edit of them then: weights
        that it has set to zero stay zero.
    targets : Tensor of shape (n_networks, n_samples, n_classes), optional
        Logits on the rows of the task to be close to, for instance a teacher's, in place of those
        of the original networks.
    last_stage_only : Tensor of bool of shape (n_networks,), optional
        Networks of which nothing but the last stage is trained.
    random_state : int or None
        Seed of the batches.

    Returns
    -------
    Population
        The fine-tuned networks.
    """
    owner = "fine_tune"
    check_fit_together(start, task, owner)
    if not isinstance(objective, Objective):
        raise TypeError(
            f"The 'objective' parameter of {owner} must be an Objective, such as "
            f"Objective(EqualizedOdds()). Got {objective!r}."
        )
    for value in lam.flatten().tolist() if isinstance(lam, Tensor) else [lam]:
        check_in_range("lam", value, owner=owner, low=0)
    check_in_range("n_steps", n_steps, owner=owner, low=0, kind="int")
    check_in_range("n_per_cell", n_per_cell, owner=owner, low=1, kind="int")
    check_in_range("lr", lr, owner=owner, low=0, closed="neither")
    if objective.requirement is not None and objective.requirement.needs_sensitive:
        task.require_sensitive("fine_tune")
    check_columns(start, task, "fine_tune")
    if n_steps == 0:
        return start
    original = start if original is None else original
    if targets is not None and targets.shape[:2] != (len(start), task.n_samples):
        raise ValueError(
            f"The 'targets' parameter of {owner} must have shape ({len(start)}, {task.n_samples}, "
            f"n_classes), networks by rows of the task. Got {tuple(targets.shape)}."
        )
    lams = per_network(lam, len(start)).to(start.device, start.dtype)
    sampler = StratifiedRows(task.cells(), n_per_cell, n_steps)

    def tuned(
        stack: Stack,
        reference: Stack,
        seeds: list[int],
        lams: Tensor,
        last_only: Tensor,
        taught: Tensor | None = None,
    ) -> Stack:
        trainer = StackTrainer(
            stack,
            lr=torch.full((len(stack),), lr),
            weight_decay=torch.zeros(len(stack)),
            seeds=seeds,
            train_mode=False,
            keep_zeros=original is not start,
            last_stage_only=last_only if last_only.any() else None,
        )
        return _fine_tune_stack(trainer, reference, taught, task, objective, lams, lr, sampler)

    last_only = torch.zeros(len(start), dtype=torch.bool)
    last_only = last_only if last_stage_only is None else last_stage_only
    beside = [original, seeds_of(original, random_state), lams, last_only]
    if targets is not None:
        beside.append(targets.to(start.device, start.dtype))
    return start.map(tuned, *beside)


def _fine_tune_stack(
    trainer: StackTrainer,
    original: Stack,
    taught: Tensor | None,
    task: Task,
    objective: Objective,
    lam: Tensor,
    lr: float,
    sampler: StratifiedRows,
) -> Stack:
    X, _, _ = task.tensors(original.device, original.dtype)
    cells = Cells.of(task, original.device)
    # Many steps come back to the same rows, so one pass of the originals over all rows is
    # cheaper than one per step.
    n_steps, batch_size = sampler.n_steps, sampler.batch_size
    known = taught
    if taught is None and n_steps * batch_size > task.n_samples:
        known = run_stack(original, X)

    def loss(outputs: Tensor, rows: Tensor) -> Tensor:
        if known is None:
            target = run_stack(original, X[rows])
        else:
            target = known.take_along_dim(rows[..., None], 1)
        # A stratified batch goes cell by cell: its cells are the same for every network.
        return objective.loss(target, outputs, cells.take(rows[0], stratified=True), lam)

    state = trainer.start()
    for step, rows in enumerate(sampler.epoch(state.generators)):
        state, _ = trainer.step(state, X, rows, loss, lr * (1 - step / n_steps))
    return trainer.networks(state)
