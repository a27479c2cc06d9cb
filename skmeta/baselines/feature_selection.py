"""Feature selection by permutation importance: :class:`PermutationSelection`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_generator
from skmeta.baselines.masking import MaskEditor, sample_rows
from skmeta.datasets import Task
from skmeta.population import Stack, run_stack
from skmeta.population.checks import check_fit_together
from skmeta.requirements import DataMinimization, jensen_shannon
from skmeta.requirements.masks import Masks


@dataclass(eq=False, repr=False)
class PermutationSelection(MaskEditor):
    """Keep the inputs whose permutation changes the predictions most.

    The baselines FS and "FS & retrain" of the paper on learned editing [1]_ (section 5,
    appendix A.4.1). The importance of an input [2]_ is the mean Jensen-Shannon divergence
    between the predictions of reference rows and those with this column shuffled: on Adult
    it chose as well as the loss of accuracy did for all networks, and better network by network.

    Parameters
    ----------
    budget : int or float, default=0.5
        How many inputs stay (int), or which share (float in (0, 1]); exactly.
    shared : bool, default=True
        One ranking for all networks, from the mean importance over the networks in ``fit``;
        else one per network, in ``transform``.
    n_rows : int, default=1024
        Reference rows, drawn at random, that importances are computed on.
    n_repeats : int, default=1
        How often each column is shuffled.
    n_epochs : int, default=0
        Passes of :func:`distill` over the reference rows after masking; "FS & retrain" has 100.
    lr : float, default=0.01
        Peak learning rate of the distillation.
    batch_size : int, default=256
        Rows per step of the distillation.
    random_state : int, RandomState or None
        Seed of the rows, the permutations and the batches.

    Attributes
    ----------
    importances_ : ndarray of shape (n_features,)
        Mean importance over the networks in ``fit``, in nats; only if ``shared``.
    task_ : Task
        The reference rows.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".
    .. [2] Breiman (2001), "Random forests".

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.baselines import PermutationSelection
    >>> from skmeta.datasets import Task
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> rng = np.random.default_rng(0)
    >>> task = Task(rng.normal(size=(100, 3)), np.arange(100) % 2)
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> selection = PermutationSelection(budget=2, random_state=0).fit(networks, task=task)
    >>> ((_, stack),) = selection.transform(networks).blocks
    >>> (stack.params.weight[0] != 0).any(1).sum(1)
    tensor([2, 2])
    """

    requirement = DataMinimization
    options = {"shared": [False, True]}

    _: KW_ONLY
    budget: int | float = 0.5
    shared: bool = True
    n_rows: int = 1024
    n_repeats: int = 1
    n_epochs: int = 0
    lr: float = 0.01
    batch_size: int = 256
    random_state: Any = None

    def _fit(self, networks: Any, task: Task) -> None:
        super()._fit(networks, task)
        self._sample = sample_rows(task, self.n_rows, self._seed)
        generator, n_rows = check_generator(self._seed), self._sample.n_samples
        self._orders = [torch.randperm(n_rows, generator=generator) for _ in range(self.n_repeats)]
        if self.shared:
            population = check_fit_together(networks, task, "PermutationSelection")
            population = population.to(dtype=torch.float64)
            self.importances_ = population.map(self._importances).mean(0).cpu().numpy()

    def _importances(self, stack: Stack) -> Tensor:
        X, _, _ = self._sample.tensors(stack.device, stack.dtype)
        return permutation_importances(stack, X, self._orders)

    def _scores(self, stack: Stack, seeds: list[int]) -> Masks:
        first, *rest = self.requirement().candidates(stack)
        if self.shared:
            importances = torch.as_tensor(self.importances_).to(first).expand(len(stack), -1)
        else:
            importances = self._importances(stack)
        return importances[:, None], *rest

    def _count_steps(self) -> int:
        return self.n_epochs * max(self.task_.n_samples // self.batch_size, 1)


def permutation_importances(stack: Stack, X: Tensor, orders: list[Tensor]) -> Tensor:
    """Mean divergence of each network when one column is shuffled, for all columns.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_features)
        Rows.
    orders : list of Tensor of int of shape (n_samples,)
        Permutations of the rows; the importance is the mean over them.

    Returns
    -------
    Tensor of shape (n, n_features)
        In nats.
    """
    known = run_stack(stack, X)
    total = X.new_zeros(len(stack), X.shape[1])
    for column in range(X.shape[1]):
        for order in orders:
            shuffled = X.clone()
            shuffled[:, column] = X[order.to(X.device), column]
            divergence = jensen_shannon(known, run_stack(stack, shuffled)).mean(1)
            total[:, column] += divergence / len(orders)
    return total
