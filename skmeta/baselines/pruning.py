"""Pruning by scores of the weights: :class:`Prune` and :class:`LotteryTicket`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_in_range, check_option
from skmeta.baselines.masking import MaskEditor, sample_rows
from skmeta.datasets import CrossEntropy, Task
from skmeta.networks import initial_records
from skmeta.population import Stack, forward
from skmeta.population.mapping import rows_at_once
from skmeta.requirements import Pruning
from skmeta.requirements.masks import Masks
from skmeta.requirements.rounding import settled


class Prune(MaskEditor):
    """Keep the weights that a classic criterion finds important.

    Biases and normalisations stay. The networks are in evaluation mode.

    Parameters
    ----------
    criterion : {"random", "magnitude", "gradient", "snip", "wanda"}, default="wanda"
        Importance of a weight w:

        * "random": none;
        * "magnitude": ``|w|``, over all layers together (``global_unstructured`` with
          ``L1Unstructured`` in ``torch.nn.utils.prune``);
        * "gradient": ``|dL/dw|``, with L the cross-entropy of the labels;
        * "snip": ``|w * dL/dw|`` [1]_, once and on the trained network;
        * "wanda": ``|w|`` times the Euclidean norm of the weight's input, compared within each
          row of a weight matrix, so that all neurons keep the same share [2]_. Where a share
          is no whole number of weights, the largest scores of a layer stay.
    budget : int or float, default=0.25
        How many weights of a network stay (int), or which share (float in (0, 1]); exactly.
    n_rows : int, default=1024
        Reference rows, drawn at random, that "gradient", "snip" and "wanda" look at.
    n_steps : int, default=0
        Steps of :func:`distill` after pruning. With 80, "snip" was the strongest rival on Adult.
    lr : float, default=0.03
        Peak learning rate of the distillation.
    batch_size : int, default=256
        Rows per step of the distillation.
    random_state : int, RandomState or None
        Seed of random pruning, of the rows and of the batches.

    Attributes
    ----------
    task_ : Task
        The reference rows.

    References
    ----------
    .. [1] Lee, Ajanthan and Torr (2019), "SNIP: single-shot network pruning based on connection
       sensitivity".
    .. [2] Sun, Liu, Bair and Kolter (2024), "A simple and effective pruning approach for large
       language models".

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.baselines import Prune
    >>> from skmeta.datasets import Task
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> rng = np.random.default_rng(0)
    >>> task = Task(rng.normal(size=(100, 3)), np.arange(100) % 2)
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> pruned = Prune("wanda", budget=10).fit(networks, task=task).transform(networks)
    >>> [sum(int((p != 0).sum()) for p in net.parameters() if p.ndim == 2) for net in pruned]
    [10, 10]
    """

    requirement = Pruning

    def __init__(
        self,
        criterion: str = "wanda",
        *,
        budget: int | float = 0.25,
        n_rows: int = 1024,
        n_steps: int = 0,
        lr: float = 0.03,
        batch_size: int = 256,
        random_state: Any = None,
    ) -> None:
        self.criterion = criterion
        self.budget = budget
        self.n_rows = n_rows
        self.n_steps = n_steps
        self.lr = lr
        self.batch_size = batch_size
        self.random_state = random_state

    def _fit(self, networks: Any, task: Task) -> None:
        check_option("criterion", self.criterion, CRITERIA, owner="Prune")
        check_in_range("n_steps", self.n_steps, owner="Prune", low=0, kind="int")
        super()._fit(networks, task)
        self._sample = sample_rows(task, self.n_rows, self._seed, "Prune")

    def _scores(self, stack: Stack, seeds: list[int]) -> Masks:
        return CRITERIA[self.criterion](stack, self._sample, seeds)

    def _count_steps(self) -> int:
        return self.n_steps


class LotteryTicket(MaskEditor):
    """Prune by magnitude and train what is left from fresh weights: one round, one shot.

    The paper on lottery tickets [1]_ goes back to the weights before training. A trained
    network does not tell them, so they are drawn anew, as for a network that is not yet
    trained; the mask is what remains of the ticket. Training is distillation from the
    original network, with batch normalisation at its initial statistics (mean 0, variance 1).

    Parameters
    ----------
    budget : int or float, default=0.25
        How many weights of a network stay (int), or which share (float in (0, 1]); exactly.
    n_steps : int, default=640
        Steps of :func:`distill`.
    lr : float, default=0.01
        Peak learning rate.
    batch_size : int, default=256
        Rows per step.
    random_state : int, RandomState or None
        Seed of the fresh weights and of the batches.

    Attributes
    ----------
    task_ : Task
        The reference rows.

    References
    ----------
    .. [1] Frankle and Carbin (2019), "The lottery ticket hypothesis: finding sparse, trainable
       neural networks".

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.baselines import LotteryTicket
    >>> from skmeta.datasets import Task
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> rng = np.random.default_rng(0)
    >>> task = Task(rng.normal(size=(100, 3)), np.arange(100) % 2)
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> LotteryTicket(budget=0.5, n_steps=9).fit(networks, task=task).transform(networks)
    Population of 2 networks, 3 inputs, 2 outputs, 50 parameters each
    """

    requirement = Pruning

    def __init__(
        self,
        *,
        budget: int | float = 0.25,
        n_steps: int = 640,
        lr: float = 0.01,
        batch_size: int = 256,
        random_state: Any = None,
    ) -> None:
        self.budget = budget
        self.n_steps = n_steps
        self.lr = lr
        self.batch_size = batch_size
        self.random_state = random_state

    def _fit(self, networks: Any, task: Task) -> None:
        check_in_range("n_steps", self.n_steps, owner="LotteryTicket", low=0, kind="int")
        super()._fit(networks, task)

    def _scores(self, stack: Stack, seeds: list[int]) -> Masks:
        return _magnitude(stack, self.task_, seeds)

    def _count_steps(self) -> int:
        return self.n_steps

    def _start(self, stack: Stack, seeds: list[int]) -> Stack:
        fresh = initial_records(stack.architectures, seeds=seeds)
        parts = [Stack.from_records([record]) for record in fresh]
        return Stack.merge(parts).padded(stack.widths).to(stack.device, stack.dtype)


def _random(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """Draw a score for each true weight; each network has a stream of its own."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    scores = []
    for mask in stack.present().of_field("weight"):
        counts = mask.flatten(1).sum(1).long().tolist()
        draws = [torch.rand(n, generator=g) for n, g in zip(counts, generators, strict=True)]
        scores.append(torch.zeros_like(mask).masked_scatter_(mask > 0, torch.cat(draws).to(mask)))
    return tuple(scores)


def _magnitude(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    return tuple(weight.abs() for weight in stack.weights.of_field("weight"))


def _gradient(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """Absolute gradients of the sum of the cross-entropies of all rows."""
    weights = stack.weights.map(lambda t: t.detach().requires_grad_())
    total = torch.zeros_like(stack.weights.flat)
    for X, labels in _pieces(stack, task):
        rows = torch.arange(len(X), device=X.device).expand(len(stack), -1)
        with torch.enable_grad():
            loss = CrossEntropy(labels)(forward(stack, X, weights), rows).sum() * len(X)
        total += torch.autograd.grad(loss, weights.flat)[0]
    return tuple(t.abs() for t in stack.weights.with_flat(total).of_field("weight"))


def _snip(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    gradients = _gradient(stack, task, seeds)
    pairs = zip(stack.weights.of_field("weight"), gradients, strict=True)
    return tuple(w.abs() * g for w, g in pairs)


def _wanda(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    sums = [stack.weights.flat.new_zeros(len(stack), width) for width in stack.widths]

    def see(index: int, h: Tensor) -> None:
        sums[index] += h.square().sum(1)

    with torch.no_grad():
        for X, _ in _pieces(stack, task):
            forward(stack, X, see=see)
    both = (kind.of_field("weight") for kind in (stack.weights, stack.present()))
    layers = zip(*both, sums, strict=False)
    return tuple(_position_in_row(w.abs() * s.sqrt()[:, None], mask) for w, mask, s in layers)


def _position_in_row(score: Tensor, present: Tensor) -> Tensor:
    """Turn scores into minus the share of their row that is not smaller.

    Within a row ranks decide. Weights of the same rank in different rows lie between this
    rank and the next, in the order of their scores.
    """
    score = score.masked_fill(present == 0, -1.0)  # behind all that are there
    keys = settled(score.flatten(1)).view_as(score)
    rank = keys.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    largest = score.amax((1, 2), keepdim=True).clamp_min(torch.finfo(score.dtype).tiny)
    return -(rank + 1 - score / largest) / present.sum(2, keepdim=True).clamp_min(1)


def _pieces(stack: Stack, task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and labels that fit into memory."""
    X, y, _ = task.tensors(stack.device, stack.dtype)
    n_rows = rows_at_once(stack)
    return zip(X.split(n_rows), y.split(n_rows), strict=True)


CRITERIA: dict[str, Callable[[Stack, Task, list[int]], Masks]] = {
    "random": _random,
    "magnitude": _magnitude,
    "gradient": _gradient,
    "snip": _snip,
    "wanda": _wanda,
}
"""Functions that score the weights of a stack."""
