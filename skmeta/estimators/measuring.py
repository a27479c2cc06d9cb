"""What edits did to networks: the mixin :class:`MeasuredEdits`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from skmeta._checks import check_in_range, check_unchanged, shown
from skmeta._modes import in_own_modes
from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.editing import measure_edits
from skmeta.editing.card import model_card
from skmeta.editing.reference import Reference
from skmeta.editing.reporting import edit_report
from skmeta.population import Population, run_networks
from skmeta.population.checks import check_classifiers, check_population
from skmeta.population.running import check_no_images
from skmeta.requirements import Joint, Objective, split_requirements
from skmeta.requirements.resolve import Plan

PARAMS_OF_FIT = ("requirement", "lam_range", "features", "metanet", "hidden_channels", "n_layers")
"""Parameters of an editor that say what the metanetwork has learned."""


class MeasuredEdits(ABC):
    """``score``, ``report`` and ``card`` of an editor that has ``_transform``."""

    requirement: Any
    lam: Any
    features: str
    guard: dict | None
    refine_steps: int
    plan_: Plan
    lam_range_: tuple[float, float]
    reference_: Reference
    task_: Task | None
    device_: torch.device

    @abstractmethod
    def _transform(
        self, original: Population, lam: float | None, task: Task | None
    ) -> tuple[Population, np.ndarray]:
        """Return edited networks, and which edits the guard has rolled back."""

    def _ready(self, networks: Any) -> Population:
        """Return checked networks as float32 on the device of the editor."""
        self._take_params("transform")
        population = check_population(networks, "ComplianceEditor")
        check_no_images(population.architectures, "ComplianceEditor")
        check_classifiers(population, self.reference_.outline, "ComplianceEditor")
        return population.to(self.device_, torch.float32)

    def _take_params(self, method: str) -> None:
        """Go by the present lam and budgets; refuse what would need another fit."""
        check_is_fitted(self)
        owner = "ComplianceEditor"
        check_unchanged(self, method, PARAMS_OF_FIT, obeyed=["budget"])
        check_in_range("refine_steps", self.refine_steps, owner=owner, low=0, kind="int")
        plan = split_requirements(self.requirement, self.lam, owner)
        if isinstance(plan.requirement, Joint):
            weights = getattr(self.plan_.requirement, "weights", ())
            if not np.allclose(plan.requirement.weights, weights):
                raise ValueError(
                    f"The 'lam' parameter of {owner} may change after fit, but not the ratios in "
                    f"it: {weights} to the largest. Got {plan.requirement.weights}. Fit again."
                )
        self.plan_ = plan

    def _check_lam(self, lam: float | None) -> float:
        """Return lam if the editor was fitted for it."""
        if lam is not None and lam != self.plan_.lam:
            self._refuse_lam_of_mask("'lam' of an edit", lam)
        lam = (
            split_requirements(self.requirement, self.lam, "transform").lam if lam is None else lam
        )
        check_in_range("lam", lam, owner="transform", low=0, closed="neither")
        low, high = self.lam_range_
        slack = 1 + 1e-9
        if not low / slack <= lam <= high * slack:
            raise ValueError(
                "The 'lam' of an edit must be in the range that the editor was fitted for, "
                f"[{low:g}, {high:g}]. Got {lam:g}. Fit with lam_range=(low, high) to cover it."
            )
        return float(lam)

    def _refuse_lam_of_mask(self, what: str, value: Any) -> None:
        """A mask alone has its lam from fit: there are no points on a front to move along."""
        if self.plan_.requirement is None:
            raise ValueError(
                f"The {what} is for requirements on predictions. Got {shown(value)} for "
                f"{self.plan_.mask!r}. Move along its front by budgets: "
                "set_params(requirement__budget=...) holds for the next transform."
            )

    @property
    def _needs_rows(self) -> bool:
        """Whether an edit looks at data."""
        return self.features != "weights" or bool(self.refine_steps or self.guard)

    def _rows_to_look_at(self, task: Task | None) -> Task:
        """Return the rows for edits, by default those of fit; none where none are needed."""
        if task is not None:
            needs_groups = self.features in ("cells", "gradients") or bool(
                self.refine_steps and self.plan_.needs_sensitive
            )
            self.reference_.check(check_task(task, "ComplianceEditor"), groups=needs_groups)
            return task
        if self.task_ is not None:
            return self.task_
        if not self._needs_rows:
            return self.reference_.outline
        known = self.reference_.outline
        raise ValueError(
            "This ComplianceEditor was loaded without the rows of its fit, and its edits look at "
            f"rows. Pass task=Task(X, y, sensitive_features=...) with {known.n_features} "
            f"features, the labels {np.asarray(known.classes).tolist()}"
            + ("" if known.groups is None else f" and the groups {known.groups.tolist()}")
            + ", or save it with include_task=True."
        )

    def _measuring_task(self, task: Task | None) -> Task:
        """Return the rows to measure on, with the labels that the editor was fitted on."""
        if task is None:
            if self.task_ is None:
                raise ValueError(
                    "This ComplianceEditor was loaded without the rows of its fit. Pass the rows "
                    "to measure on: task=Task(X, y, sensitive_features=...)."
                )
            return self.task_
        task = check_task(task, "ComplianceEditor")
        if self.plan_.needs_sensitive:
            task.require_sensitive("ComplianceEditor")
        outline = self.reference_.outline
        task.require_columns(outline.column_names, "ComplianceEditor", "the task of its fit")
        known = np.asarray(outline.classes).tolist()
        if (came := np.asarray(task.classes).tolist()) != known:
            raise ValueError(
                "ComplianceEditor measures on rows with the labels that it was fitted on, "
                f"{known}. Got {came}."
            )
        return task

    def _edit_to_measure(
        self, population: Population, lam: float | None, task: Task
    ) -> tuple[Population, np.ndarray]:
        """Edit on the rows of fit; without these on those to measure on, if any are needed."""
        own = self.task_ is not None or not self._needs_rows
        return self._transform(population, lam, None if own else task)

    @in_own_modes
    def score(self, networks: Any, y: Any = None, *, task: Task | None = None) -> float:
        """Return minus the mean objective after an edit, with the exact measure.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to edit.
        y : None
            Ignored.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``. An editor from a file
            without rows edits on them, too.

        Returns
        -------
        float
            At most 0; compare editors of one ``lam`` only. A mask without a budget adds
            lam times the share that stays.
        """
        population, task = self._ready(networks), self._measuring_task(task)
        edited, _ = self._edit_to_measure(population, None, task)
        before, after = run_networks(population, task), run_networks(edited, task)
        plan = self.plan_
        lam = torch.full((len(population),), plan.lam)
        exact = Objective(plan.requirement).exact(before, after, Cells.of(task), lam)
        value = float(exact.mean())
        if plan.mask is not None and plan.mask.budget is None:
            share = measure_edits(population, edited, task, plan.mask)["measure"]
            value += plan.lam_mask * float(share.mean())
        return -value

    @in_own_modes
    def report(
        self,
        networks: Any,
        *,
        task: Task | None = None,
        lam: float | None = None,
        n_bootstrap: int = 500,
    ) -> pd.DataFrame:
        """Edit networks and say what happened to each of them.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to edit.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``, on which results look
            better than on new rows. An editor from a file without rows edits on them, too.
        lam : float, optional
            See :meth:`transform`.
        n_bootstrap : int, default=500
            Resamples of the rows, within each (label, group) cell, for the intervals.

        Returns
        -------
        DataFrame
            One row per network: divergence (nats), the requirement's measure and the
            accuracy before and after, 95 % intervals (``_low``, ``_high``) that say how
            much is luck of the rows, and ``status``: "reduced" or "raised" if the interval
            of the measure's change excludes zero, "rolled back" if the guard refused the
            edit, else "unclear". With a mask also ``kept_share`` and ``n_kept``, and for
            inputs ``kept``, their names.
        """
        check_in_range("n_bootstrap", n_bootstrap, owner="report", low=1, kind="int")
        population, task = self._ready(networks), self._measuring_task(task)
        edited, rolled_back = self._edit_to_measure(population, lam, task)
        return edit_report(population, edited, task, self.plan_, n_bootstrap, rolled_back)

    def card(self, networks: Any = None, *, task: Task | None = None) -> str:
        """Describe the editor, its data, its results and its limits, to go with its edits.

        Parameters
        ----------
        networks : Population or sequence of networks, optional
            Networks to measure edits on, best such that the editor was not trained on.
            Without them the card has no results.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``, on which results look
            better than on new rows. An editor from a file without rows edits on them, too.

        Returns
        -------
        str
            Markdown. With a ``lam_range`` it has results at its ends, between them and at
            ``lam``. It contains the number of rows of each label and group.
        """
        self._take_params("card")
        return model_card(self, networks, task)
