"""Leave everything as it is: :class:`Nothing`."""

from __future__ import annotations

from typing import Any

from skmeta.baselines.base import WeightEditor
from skmeta.datasets import Task
from skmeta.population import Population


class Nothing(WeightEditor):
    """Hand back the networks unchanged: the zero of every comparison.

    Attributes
    ----------
    task_ : Task
        The task of ``fit``, if there was one; it is not needed.

    Examples
    --------
    >>> from torch import nn
    >>> from skmeta.baselines import Nothing
    >>> networks = [nn.Linear(2, 2)]
    >>> Nothing().fit(networks).transform(networks)
    [Linear(in_features=2, out_features=2, bias=True)]
    """

    def fit(self, networks: Any, y: Any = None, *, task: Task | None = None) -> Nothing:
        """Do nothing.

        Parameters
        ----------
        networks : Population or sequence of networks
            Not looked at.
        y : None
            Ignored.
        task : Task, optional
            Kept.

        Returns
        -------
        Nothing
        """
        if task is not None:
            self.task_ = task
        elif hasattr(self, "task_"):  # of an earlier fit
            del self.task_
        return self

    def _check_fitted(self, method: str) -> None:
        """There is nothing to fit."""

    def _edit(self, population: Population) -> Population:
        return population
