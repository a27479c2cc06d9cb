"""Add a function of the row to the logits: :class:`AdditiveCorrection`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_rng
from skmeta.baselines.base import PostProcessor
from skmeta.datasets import Cells, Task
from skmeta.population.mapping import pieces
from skmeta.training import Adam


@dataclass(eq=False, repr=False)
class AdditiveCorrection(PostProcessor):
    """Add a linear function of the row, r(x), to the logits of each network.

    The function minimises divergence + lam * violation on reference rows, by steps of Adam
    on all of a fixed sample. It moves scores smoothly everywhere and never sees the group,
    so it is the plainest honest rival of a learned edit.

    Parameters
    ----------
    requirement : str or Requirement, default="equalized_odds"
        What the networks must fulfil; its relaxed violation stands in for the measure.
    lam : float, default=0.1
        Weight of the requirement against the divergence.
    n_steps : int, default=100
        Steps of Adam.
    lr : float, default=0.02
        First learning rate; it decays to zero linearly. On reference rows of Adult all of
        {1, 2, 5, 10}e-2 did equally well.
    n_per_cell : int, default=1000
        Reference rows per (label, group) cell in the fixed sample.
    random_state : int, RandomState or None
        Seed of these rows.

    Examples
    --------
    >>> from skmeta.baselines import AdditiveCorrection
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> networks = Population.initialize(Architecture.mlp((10, 8, 2)), 3, random_state=0)
    >>> correction = AdditiveCorrection(random_state=0).fit(networks, task=reference)
    >>> correction.predict_logits(networks, test).shape
    torch.Size([3, 600, 2])
    """

    requirement: Any = "equalized_odds"
    _: KW_ONLY
    lam: float = 0.1
    n_steps: int = 100
    lr: float = 0.02
    n_per_cell: int = 1000
    random_state: Any = None

    def _fit(self, networks: Any, task: Task) -> None:
        rng = check_rng(self.random_state)
        self._rows = torch.as_tensor(task.stratified_sample(self.n_per_cell, rng))

    def _choose(self, reference: Tensor) -> Tensor:
        """Fit the coefficients ``(n, n_features + 1, n_classes)``."""
        X = _with_constant(self.task_, reference)[self._rows]
        cells = Cells.of(self.task_, reference.device).take(self._rows)
        logits = reference[:, self._rows]
        # The divergence holds several tensors of the size of the logits.
        parts = pieces(len(logits), 8 * logits[0].numel(), logits.device)
        return torch.cat([self._descend(logits[part], X, cells) for part in parts])

    def _descend(self, original: Tensor, X: Tensor, cells: Cells) -> Tensor:
        objective, lam = self._objective(), original.new_full((len(original),), self.lam)
        rule, lr = Adam(), lam.new_full((len(lam), 1), self.lr)
        shape = X.shape[1], original.shape[2]
        flat = original.new_zeros(len(original), shape[0] * shape[1])
        state = rule.init(flat)
        for step in range(self.n_steps):
            with torch.enable_grad():
                edited = original + X @ flat.requires_grad_().unflatten(1, shape)
                losses = objective.loss(original, edited, cells, lam)
                (gradient,) = torch.autograd.grad(losses.sum(), [flat])
            rates = lr * (1 - step / self.n_steps)
            flat, state = rule.update(state, flat.detach_(), gradient, rates)
        return flat.unflatten(1, shape)

    def _apply(self, settings: Tensor, logits: Tensor, task: Task) -> Tensor:
        return logits + _with_constant(task, logits) @ settings


def _with_constant(task: Task, like: Tensor) -> Tensor:
    """Features and a column of ones."""
    X, _, _ = task.tensors(like.device, like.dtype)
    return torch.nn.functional.pad(X, (0, 1), value=1.0)
