"""The rival to beat: gradient descent on the editor's own objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmeta._validation import check_in_range, check_rng
from skmeta.baselines.base import WeightEditor, run_stack
from skmeta.datasets import Task
from skmeta.population import Population, Stack
from skmeta.population.blocks import Block
from skmeta.requirements import Cells, Objective
from skmeta.training import StackTrainer, StratifiedRows, per_network


class FineTune(WeightEditor):
    """Continue the training of each network on divergence + lam * violation.

    All networks take their steps together on the same batches, so the result for a network
    does not depend on the others, up to rounding.

    Parameters
    ----------
    requirement : str or Requirement, default="equalized_odds"
        What the networks must fulfil.
    lam : float, default=0.1
        Weight of the violation against the divergence.
    n_steps : int, default=40
        Gradient steps of each network.
    lr : float, optional
        Peak learning rate of Adam; it decays to zero linearly. The default is 1e-2 up to 50
        steps and 3e-3 beyond, chosen on reference rows of Adult.
    n_per_cell : int, default=192
        Reference rows per (label, group) cell and step.
    random_state : int, RandomState or None
        Seed of the batches.

    Attributes
    ----------
    task_ : Task
        The reference rows that it trains on.

    Examples
    --------
    >>> from skmeta.baselines import FineTune
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 2, epochs=2, progress=False, random_state=0)
    >>> FineTune(n_steps=5, random_state=0).fit(zoo, task=reference).transform(zoo)
    Population of 6 networks, 10 inputs, 2 outputs...
    """

    def __init__(
        self,
        requirement: Any = "equalized_odds",
        *,
        lam: float = 0.1,
        n_steps: int = 40,
        lr: float | None = None,
        n_per_cell: int = 192,
        random_state: Any = None,
    ) -> None:
        self.requirement = requirement
        self.lam = lam
        self.n_steps = n_steps
        self.lr = lr
        self.n_per_cell = n_per_cell
        self.random_state = random_state

    def _fit(self, networks: Any, task: Task) -> None:
        self._objective()
        check_in_range("n_steps", self.n_steps, owner="FineTune", low=0, kind="int")
        check_in_range("n_per_cell", self.n_per_cell, owner="FineTune", low=1, kind="int")
        if self.lr is not None:
            check_in_range("lr", self.lr, owner="FineTune", low=0, closed="neither")
        # Drawn once: transform gives the same networks each time it is called.
        self._seed = int(check_rng(self.random_state).integers(2**62))

    def _edit(self, population: Population) -> Population:
        return fine_tune(
            population,
            self.task_,
            self._objective(),
            lam=self.lam,
            n_steps=self.n_steps,
            lr=self.lr,
            n_per_cell=self.n_per_cell,
            random_state=self._seed,
        )


def fine_tune(
    start: Population,
    task: Task,
    objective: Objective,
    *,
    lam: float | Tensor,
    n_steps: int,
    lr: float | None = None,
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
    lr : float, optional
        Learning rate; it decays to zero linearly. Default as in :class:`FineTune`.
    n_per_cell : int, default=192
        Rows per cell and step.
    original : Population, optional
        Networks to stay close to, if not ``start``.
    random_state : int or None
        Seed of the batches, which all networks share.

    Returns
    -------
    Population
        The fine-tuned networks.
    """
    if n_steps == 0:
        return start
    # Found on Adult's reference rows among 1e-3, 3e-3 and 1e-2 (24 networks, lam 0.1).
    lr = (1e-2 if n_steps <= 50 else 3e-3) if lr is None else lr
    origin = dict_of_rows(start if original is None else original)
    seed = int(check_rng(random_state).integers(2**62))
    lams = per_network(lam, len(start)).to(start.device, start.dtype)
    sampler = StratifiedRows(task.cells(), n_per_cell, n_steps)
    batches = torch.cat(list(sampler.epoch([torch.Generator().manual_seed(seed)])))
    blocks: list[Block] = []
    for positions, stack in start.depth_blocks():
        reference = Stack.merge([origin[p] for p in positions]).padded(stack.widths)
        network_lams = lams[torch.as_tensor(positions, device=lams.device)]
        tuned = _fine_tune_stack(stack, reference, task, objective, network_lams, lr, batches)
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
    lam: Tensor,
    lr: float,
    batches: Tensor,
) -> Stack:
    """Take one step per batch; ``batches`` is ``(n_steps, batch)``."""
    X, _, _ = task.tensors(stack.device, stack.dtype)
    cells = Cells.of(task, stack.device)
    n, n_steps = len(stack), len(batches)
    # The originals do not change: run them once on each row that occurs.
    used, places = torch.unique(batches, return_inverse=True)
    X = X[used.to(stack.device)]
    targets = run_stack(original, X)
    here = cells.take(used.to(stack.device))
    places = places.to(stack.device)
    trainer = StackTrainer(
        stack,
        lr=torch.full((n,), lr),
        weight_decay=torch.zeros(n),
        seeds=[0] * n,  # of dropout, which is off
        train_mode=False,
    )

    def loss(outputs: Tensor, rows: Tensor) -> Tensor:
        batch = rows[0]
        return objective.loss(targets[:, batch], outputs, here.take(batch), lam)

    for step, rows in enumerate(places):
        trainer.lr.fill_(lr * (1 - step / n_steps))
        trainer.step(X, rows.expand(n, -1), loss)
    return trainer.current()
