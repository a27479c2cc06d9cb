"""What all rivals share: :class:`Baseline`, :class:`PostProcessor`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skmeta._checks import check_in_range, check_option, check_unchanged, params_now
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.population import Population, run_networks
from skmeta.population.checks import (
    check_finite_logits,
    finite_weights,
)
from skmeta.requirements import Objective, Requirement, resolve_requirement

_COUNT, _SIZE = {"low": 0, "kind": "int"}, {"low": 1, "kind": "int"}

RANGES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(["n_steps", "n_epochs"], _COUNT),
    **dict.fromkeys(["n_candidates", "n_rounds", "n_per_cell", "n_originals"], _SIZE),
    **dict.fromkeys(["n_rows", "n_repeats", "batch_size", "grid_size"], _SIZE),
    **dict.fromkeys(["lam", "sigma", "cost_power"], {"low": 0}),
    **{"lr": {"low": 0, "closed": "neither"}},
    "tolerance": {"low": 0, "high": 1},
}
"""What a parameter of this name may be, in all rivals."""


class Baseline(StablePickle, BaseEstimator, ABC):
    """A rival of the learned editors, with their signature.

    ``predict_logits`` is common to all. Those that edit weights also have ``transform``;
    the others only change predictions, which nobody can hand on as a network.
    """

    __metadata_request__fit = {"task": True}

    needs_sensitive = True
    """Whether the task in fit must have sensitive features."""

    @property
    def needs_sensitive_at_prediction(self) -> bool:
        """Whether the sensitive features of new rows must be known to predict."""
        return False

    @property
    def games_threshold(self) -> bool:
        """Whether a score moves only if its label at .5 changes.

        Such a rival looks best where the measure is taken, and changes little at other
        thresholds: a table must say so.
        """
        return False

    binary_only = False
    """Whether it is defined for two classes only."""

    options: ClassVar[dict[str, Iterable[Any]]] = {}
    """What a parameter that is no number may be."""

    task_: Task

    @in_own_modes
    def fit(self, networks: Any, y: Any = None, *, task: Task | None = None) -> Self:
        """Keep the reference task and check the parameters.

        Parameters
        ----------
        networks : Population or sequence of networks
            Training population. Most rivals learn nothing from it.
        y : None
            Ignored.
        task : Task
            Reference rows with labels, and with sensitive features if they are needed.

        Returns
        -------
        self
        """
        owner = type(self).__name__
        task = check_task(task, owner)
        if self.needs_sensitive:
            task.require_sensitive(owner)
        if self.binary_only and task.n_classes != 2:
            raise ValueError(
                f"{owner} is defined for two classes only. Got a task with {task.n_classes}: "
                f"{np.asarray(task.classes).tolist()}. Use GroupShift or FineTune."
            )
        params = self.get_params(deep=False)
        for name, value in params.items():
            if name in RANGES:
                check_in_range(name, value, owner=owner, **RANGES[name])
            if name in self.options:
                check_option(name, value, self.options[name], owner=owner)
        if params.keys() >= {"requirement", "lam"}:
            self._objective()
        self.task_ = task
        self._fit(networks, task)
        self._params_of_fit = params_now(self)
        return self

    def _check_fitted(self, method: str) -> None:
        """Raise unless fit was called with the present parameters: it is as quick as a change."""
        check_is_fitted(self)
        check_unchanged(self, method)

    def _fit(self, networks: Any, task: Task) -> None:
        """Check what else there is to check and learn what there is to learn."""

    def _objective(self) -> Objective:
        """Resolve and check ``requirement``, which most rivals have."""
        owner, params = type(self).__name__, self.get_params()
        requirement = resolve_requirement(params["requirement"], owner)
        if not isinstance(requirement, Requirement):
            raise ValueError(
                f"The 'requirement' parameter of {owner} must be one on predictions, such as "
                f"'equalized_odds'. Got {params['requirement']!r}, one on weights. Use Prune or "
                "PermutationSelection."
            )
        return Objective(requirement)

    def _exact_objective(self, original: Tensor, cells: Cells) -> Callable[[Tensor], Tensor]:
        """Return the exact objective of edited logits, one value per network."""
        objective = self._objective()
        lam = original.new_full((len(original),), self.get_params()["lam"])
        return lambda edited: objective.exact(original, edited, cells, lam)

    def _check_groups(self, task: Task) -> None:
        """Refuse a task whose groups are numbered in another way than in fit."""
        known, came = (
            None if groups is None else groups.tolist()
            for groups in (self.task_.groups, task.groups)
        )
        if known != came:
            raise ValueError(
                f"The 'task' parameter of {type(self).__name__}.predict_logits must have the "
                f"groups {known} of the task in fit. Got {came or 'none'} instead. Make both "
                "tasks with split_tasks or Task.subset."
            )

    def _check_columns(self, task: Task) -> None:
        """Refuse a task with other columns than that of fit, which `Nothing` may lack."""
        known = getattr(self, "task_", None)
        if known is not None:
            owner = f"{type(self).__name__}.predict_logits"
            check_task(task, owner).require_columns(known.column_names, owner, "the task in fit")

    @abstractmethod
    def predict_logits(self, networks: Any, task: Task) -> Tensor:
        """Predict the rows of a task with edited networks.

        Parameters
        ----------
        networks : Population or sequence of networks
            Original networks.
        task : Task
            Rows to predict; their labels are not looked at.

        Returns
        -------
        Tensor of shape (n, n_samples, n_classes)
            Logits.
        """


class KeepsNetworks:
    """What hands back networks does so whatever output was asked of its pipeline."""

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: networks stay networks.

        Parameters
        ----------
        transform : str or None
            Ignored; a Pipeline asks every step for "pandas", say.

        Returns
        -------
        self
        """
        return self


class WeightEditor(KeepsNetworks, Baseline):
    """A rival that hands back networks."""

    @abstractmethod
    def _edit(self, population: Population) -> Population:
        """Edit a population."""

    @in_own_modes
    def transform(self, networks: Any) -> Any:
        """Edit networks.

        Parameters
        ----------
        networks : Population or sequence of networks
            Classifiers of the task in fit.

        Returns
        -------
        Population or list of networks
            Edited copies, of the kind that came in.
        """
        self._check_fitted("transform")
        population = Population(networks)
        edited = self._edit(population)
        bad = np.flatnonzero(finite_weights(population) & ~finite_weights(edited))
        if len(bad):
            raise ValueError(
                f"{type(self).__name__} made weights of network {bad[0]} (and of {len(bad) - 1} "
                "more) that are not finite. Lower its 'lr' or 'sigma', or leave the network out."
            )
        return edited if isinstance(networks, Population) else edited.to_networks()

    @in_own_modes
    def predict_logits(self, networks: Any, task: Task) -> Tensor:
        """Predict the rows of a task with the networks that ``transform`` gives.

        Parameters
        ----------
        networks : Population or sequence of networks
            Original networks.
        task : Task
            Rows to predict.

        Returns
        -------
        Tensor of shape (n, n_samples, n_classes)
            Logits.
        """
        self._check_columns(task)
        return run_networks(self.transform(Population(networks)), task)


class PostProcessor(Baseline):
    """A rival that changes the predictions of a network and leaves its weights alone.

    What it does to a network is chosen from this network's predictions of the reference
    rows when ``predict_logits`` is called: networks need not be known in ``fit``.
    """

    @abstractmethod
    def _choose(self, reference: Tensor) -> Any:
        """Choose settings per network from its logits on all rows of ``task_``."""

    @abstractmethod
    def _apply(self, settings: Any, logits: Tensor, task: Task) -> Tensor:
        """Change the logits on the rows of a task."""

    @in_own_modes
    def predict_logits(self, networks: Any, task: Task) -> Tensor:
        """Choose the settings of each network on the reference rows and predict a task.

        Parameters
        ----------
        networks : Population or sequence of networks
            Original networks.
        task : Task
            Rows to predict; their labels are not looked at.

        Returns
        -------
        Tensor of shape (n, n_samples, n_classes)
            Logits.
        """
        self._check_fitted("predict_logits")
        self._check_columns(task)
        if self.needs_sensitive_at_prediction:
            self._check_groups(task)
        population = Population(networks)
        with torch.no_grad():
            reference = run_networks(population, self.task_)
            check_finite_logits(reference, type(self).__name__)
            settings = self._choose(reference)
            return self._apply(settings, run_networks(population, task), task)
