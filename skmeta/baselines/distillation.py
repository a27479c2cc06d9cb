"""Training on the outputs of the original networks: :func:`distill`."""

from __future__ import annotations

from itertools import chain, count
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_in_range
from skmeta._modes import in_own_modes
from skmeta.datasets import Task
from skmeta.population import Population, Stack, run_stack
from skmeta.population.checks import check_columns, check_fit_together, check_population
from skmeta.population.mapping import seeds_of
from skmeta.requirements import jensen_shannon
from skmeta.training import ShuffledRows, StackTrainer


@in_own_modes
def distill(
    start: Population,
    original: Population,
    task: Task,
    *,
    n_steps: int,
    lr: float = 0.03,
    batch_size: int = 256,
    random_state: Any = None,
) -> Population:
    """Train networks to predict what the original ones predict [1]_; zero weights stay zero.

    The loss is the Jensen-Shannon divergence from the original network, as in the paper on
    learned editing [2]_ (section 5). All networks of one depth take their steps together,
    with Adam on shuffled rows; normalisation statistics stay fixed and labels are not looked at.

    Parameters
    ----------
    start : Population
        Networks to begin with. The zeros of their weights are the mask, whoever chose it:
        rivals and learned editors can be compared at identical masks.
    original : Population
        Networks to imitate, one for each of ``start``, in this order.
    task : Task
        Rows to train on.
    n_steps : int
        Gradient steps of each network.
    lr : float, default=0.03
        Peak learning rate; it decays to zero linearly. Of {3, 10, 20, 30, 50, 100}e-3 the default
        was best after Wanda pruning and 80 steps, on reference rows of Adult that were left
        out; fresh weights and thousands of steps do better with less, such as .01.
    batch_size : int, default=256
        Rows per step.
    random_state : int or None
        Seed of the batches; those of a network follow from its original's weights too, so
        that its result does not depend on the others, up to rounding.

    Returns
    -------
    Population
        The trained networks.

    References
    ----------
    .. [1] Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network".
    .. [2] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.baselines import Prune, distill
    >>> from skmeta.datasets import Task
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> rng = np.random.default_rng(0)
    >>> task = Task(rng.normal(size=(100, 3)), np.arange(100) % 2)
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> pruned = Prune("magnitude", budget=0.5).fit(networks, task=task).transform(networks)
    >>> distill(pruned, networks, task, n_steps=5, random_state=0)
    Population of 2 networks, 3 inputs, 2 outputs, 50 parameters each
    """
    owner = "distill"
    start, original = check_population(start, owner), check_population(original, owner)
    check_fit_together(start, task, owner)
    check_in_range("n_steps", n_steps, owner=owner, low=0, kind="int")
    check_in_range("lr", lr, owner=owner, low=0, closed="neither")
    check_in_range("batch_size", batch_size, owner=owner, low=1, kind="int")
    if len(start) != len(original):
        raise ValueError(
            "The 'original' parameter of distill must hold one network for each of 'start'. Got "
            f"{len(original)} for {len(start)} networks. Pass the networks before the edit."
        )
    check_columns(original, task, "distill")
    if n_steps == 0:
        return start
    X, _, _ = task.tensors(start.device, start.dtype)
    sampler = ShuffledRows(task.n_samples, batch_size)
    lrs = (lr * torch.linspace(1, 0, n_steps + 1)[:n_steps]).tolist()

    def distilled(stack: Stack, teacher: Stack, seeds: list[int]) -> Stack:
        trainer = StackTrainer(
            stack,
            lr=torch.full((len(stack),), lr),
            weight_decay=torch.zeros(len(stack)),
            seeds=seeds,
            train_mode=False,
            keep_zeros=True,
        )
        targets, state = run_stack(teacher, X), trainer.start()

        def loss(outputs: Tensor, rows: Tensor) -> Tensor:
            return jensen_shannon(targets.take_along_dim(rows[..., None], 1), outputs).mean(1)

        passes = chain.from_iterable(sampler.epoch(state.generators) for _ in count())
        for rate, rows in zip(lrs, passes, strict=False):
            state, _ = trainer.step(state, X, rows, loss, rate)
        return trainer.networks(state)

    return start.map(distilled, original, seeds_of(original, random_state))
