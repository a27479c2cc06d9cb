"""Ignore the network that came in: :class:`Swap`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import check_rng
from skmeta.baselines.base import WeightEditor
from skmeta.datasets import Cells, Task
from skmeta.population import Population, run_networks
from skmeta.population.checks import check_finite_logits
from skmeta.population.mapping import pieces


@dataclass(eq=False, repr=False)
class Swap(WeightEditor):
    """Hand back one fixed good network of the training population, whatever comes in.

    An edit that moves a network further than this is no edit: in a zoo on one task, two
    networks differ by a divergence of a few thousandths only.

    Parameters
    ----------
    requirement : str or Requirement, default="equalized_odds"
        What the networks must fulfil.
    lam : float, default=0.1
        Weight of the requirement against the divergence.
    n_originals : int, default=100
        The divergence of a candidate is averaged over so many networks at most. Every
        network of the training population is a candidate.
    n_per_cell : int, default=500
        Reference rows per (label, group) cell for the divergence; the requirement is
        measured on all rows.
    random_state : int, RandomState or None
        Seed of both samples.

    Attributes
    ----------
    network_ : Population
        The chosen network, alone.
    objective_ : ndarray of shape (n_networks,)
        Mean objective of each candidate on the reference task.

    Examples
    --------
    >>> from skmeta.baselines import Swap
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 3, epochs=2, n_checkpoints=1, progress=False, random_state=0)
    >>> Swap(random_state=0).fit(zoo, task=reference).transform(zoo[:2])
    Population of 2 networks, 10 inputs, 2 outputs...
    """

    requirement: Any = "equalized_odds"
    _: KW_ONLY
    lam: float = 0.1
    n_originals: int = 100
    n_per_cell: int = 500
    random_state: Any = None

    def _fit(self, networks: Any, task: Task) -> None:
        requirement = self._objective().requirement
        assert requirement is not None  # has just been resolved
        rng = check_rng(self.random_state)
        population = Population(networks)
        logits, cells = run_networks(population, task), Cells.of(task)
        check_finite_logits(logits, "Swap")
        rows = torch.as_tensor(task.stratified_sample(self.n_per_cell, rng))
        originals = rng.permutation(len(population))[: self.n_originals]
        weights = cells.take(rows).row_weights().to(logits)
        probabilities = logits[:, rows].softmax(-1)
        divergence = _mean_divergence(probabilities, probabilities[originals], weights)
        measure = requirement.measure(logits, cells)
        self.objective_ = (divergence + self.lam * measure).double().cpu().numpy()
        self.network_ = population[[int(np.argmin(self.objective_))]]

    def _edit(self, population: Population) -> Population:
        return self.network_[[0] * len(population)]


def _mean_divergence(candidates: Tensor, originals: Tensor, weights: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence of each candidate from all originals, ``(n,)``.

    It is the entropy of the mixture minus the mean of the entropies: of all pairs, only
    the mixture has to be computed.
    """

    def entropy(p: Tensor) -> Tensor:
        return torch.special.entr(p).sum(-1) @ weights

    own, theirs = entropy(candidates), entropy(originals).mean()
    mixed = [
        entropy((candidates[part, None] + originals) / 2).mean(1)
        for part in pieces(len(candidates), originals.numel(), originals.device)
    ]
    return torch.cat(mixed) - (own + theirs) / 2
