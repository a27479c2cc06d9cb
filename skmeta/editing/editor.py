"""What edits networks, within bounds, and measures what it did: :class:`Editor`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from torch import Tensor

from skmeta._checks import check_in_range
from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.editing.checks import check_finite_on, refuse_lam_of_mask
from skmeta.editing.cost import measure_cost
from skmeta.editing.features import FeatureBuilder, make_builder
from skmeta.editing.fine_tuning import fine_tune
from skmeta.editing.guard import roll_back
from skmeta.editing.measures import measure_edits
from skmeta.editing.passes import edit_population
from skmeta.editing.reference import Reference
from skmeta.editing.reporting import edit_report
from skmeta.editing.teaching import objective_of, taught_logits
from skmeta.metanets import Metanet
from skmeta.networks import Architecture
from skmeta.population import Population, run_networks
from skmeta.requirements import FairTeacher, Joint, Requirement
from skmeta.requirements.masks import MaskRequirement
from skmeta.requirements.resolve import Plan

_OWNER = "ComplianceEditor"
# A continuation wants smaller steps than fine-tuning from the original.
_REFINE_LR = 3e-3


@dataclass(frozen=True)
class Editor:
    """Edits networks towards a requirement in one forward pass of a metanetwork.

    Parameters
    ----------
    plan : Plan
        What edits are for.
    lam_range : (float, float)
        The lam that the metanetwork knows.
    features : {"gradients", "cells", "probes", "weights"}
        What it sees beside the weights.
    reference : Reference
        What is known of the task of ``fit``.
    task : Task or None
        That task, if its rows are there.
    device : torch.device
        Where to compute.
    n_networks : int
        Number of networks that it was trained on.
    guard : dict or None
        Bounds for every edit, see :func:`~skmeta.editing.guard.check_guard`.
    refine_steps : int
        Gradient steps that follow each edit.
    teacher : FairTeacher or None
        Whose decisions edits follow; it is fitted anew to other rows than those of ``task``.
    metanet : Metanet or None
        The metanetwork; None if a mask is all.
    cost : dict
        See :func:`~skmeta.editing.cost.cost_of`.
    templates : tuple of Architecture
        What the metanetwork was built for.
    taught : Tensor of shape (n_samples, n_classes) or None
        What the teacher says on the rows of ``task``, asked by default.
    builder : FeatureBuilder or None
        Poses edits on the reference rows of ``task``, made from these by default.
    """

    plan: Plan
    lam_range: tuple[float, float]
    features: str
    reference: Reference
    task: Task | None
    device: torch.device
    n_networks: int
    guard: dict[str, float] | None = None
    refine_steps: int = 0
    teacher: FairTeacher | None = None
    metanet: Metanet | None = None
    cost: dict[str, float] = field(default_factory=dict)
    templates: tuple[Architecture, ...] = ()
    taught: Tensor | None = field(default=None, repr=False)
    builder: FeatureBuilder | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.builder is None and self.task is not None:
            if self.taught is None:
                object.__setattr__(self, "taught", self._ask(self.task))
            object.__setattr__(self, "builder", self._builder_on(self.task, self.taught))

    @property
    def requirement(self) -> Requirement | MaskRequirement | None:
        """The requirement on predictions if there is one, else the mask."""
        return self.plan.mask if self.plan.requirement is None else self.plan.requirement

    @property
    def needs_rows(self) -> bool:
        """Whether an edit looks at data."""
        return self.features != "weights" or bool(self.refine_steps or self.guard)

    def following(self, plan: Plan, guard: dict[str, float] | None, refine_steps: int) -> Editor:
        """Return the editor with what may change after its training."""
        if isinstance(plan.requirement, Joint):
            weights = getattr(self.plan.requirement, "weights", ())
            if not np.allclose(plan.requirement.weights, weights):
                raise ValueError(
                    f"The 'lam' parameter of {_OWNER} may change after fit, but not the ratios in "
                    f"it: {weights} to the largest. Got {plan.requirement.weights}. Fit again."
                )
        return replace(self, plan=plan, guard=guard, refine_steps=refine_steps)

    def builder_for(self, task: Task, taught: Tensor | None) -> FeatureBuilder:
        """Return what poses edits on the reference rows of a task, and what is taught there."""
        own = self.builder if task is self.task else None
        return self._builder_on(task, taught) if own is None else replace(own, plan=self.plan)

    def _builder_on(self, task: Task, taught: Tensor | None) -> FeatureBuilder:
        rows = self.reference.rows_in(task, self.features, self.plan.requirement)
        return make_builder(self.features, self.plan, task, rows, self.device, taught)

    def _ask(self, task: Task) -> Tensor | None:
        """Return what the teacher says on the rows of a task."""
        if self.teacher is None or not task.n_samples:
            return None
        known = self.taught if task is self.task else None
        if known is None:
            known = taught_logits(clone(self.teacher), task).to(self.device)
        return known

    def _tune(self, start: Population, task: Task, taught: Tensor | None, **options: Any) -> Any:
        """Fine-tune networks on the objective of an edit."""
        return fine_tune(
            start,
            task,
            objective_of(self.plan.requirement, taught=taught is not None),
            targets=None if taught is None else taught.expand(len(start), -1, -1),
            random_state=0,
            **options,
        )

    def edit(
        self, networks: Population, lam: float | None = None, task: Task | None = None
    ) -> tuple[Population, np.ndarray]:
        """Edit networks.

        Parameters
        ----------
        networks : Population
            As float32 on the device of the editor.
        lam : float, optional
            Weight of the violation; that of the plan by default.
        task : Task, optional
            Rows to look at; those of ``fit`` by default.

        Returns
        -------
        edited : Population
            The edited networks.
        rolled_back : ndarray of bool of shape (n,)
            Which edits the guard has refused.
        """
        lam, task = self.check_lam(lam), self._rows_to_look_at(task)
        taught = self._ask(task) if self.features == "gradients" or self.refine_steps else None
        builder = self.builder_for(task, taught)
        edited = edit_population(networks, builder, self.metanet, lam)
        if self.refine_steps:
            how = {"lam": lam, "n_steps": self.refine_steps, "lr": _REFINE_LR}
            edited = self._tune(edited, task, taught, original=networks, **how)
        rolled_back = np.zeros(len(networks), dtype=bool)
        if self.guard:
            edited, rolled_back = roll_back(networks, edited, task, self.guard)
        check_finite_on(builder.X, edited)
        return edited, rolled_back

    def check_lam(self, lam: float | None) -> float:
        """Return lam if the metanetwork knows it."""
        if lam is not None and lam != self.plan.lam:
            refuse_lam_of_mask(self.plan, "'lam' of an edit", lam)
        lam = self.plan.lam if lam is None else lam
        check_in_range("lam", lam, owner="transform", low=0, closed="neither")
        low, high = self.lam_range
        slack = 1 + 1e-9
        if not low / slack <= lam <= high * slack:
            raise ValueError(
                "The 'lam' of an edit must be in the range that the editor was fitted for, "
                f"[{low:g}, {high:g}]. Got {lam:g}. Fit with lam_range=(low, high) to cover it."
            )
        return float(lam)

    def _rows_to_look_at(self, task: Task | None) -> Task:
        """Return the rows for edits, by default those of fit; none where none are needed."""
        known = self.reference.outline
        if task is not None:
            needs_groups = self.features in ("cells", "gradients") or bool(
                self.refine_steps and self.plan.needs_sensitive
            )
            self.reference.check(check_task(task, _OWNER), groups=needs_groups)
            return task
        if self.task is not None:
            return self.task
        if not self.needs_rows:
            return known
        raise ValueError(
            f"This {_OWNER} was loaded without the rows of its fit, and its edits look at "
            f"rows. Pass task=Task(X, y, sensitive_features=...) with {known.n_features} "
            f"features, the labels {np.asarray(known.classes).tolist()}"
            + ("" if known.groups is None else f" and the groups {known.groups.tolist()}")
            + ", or save it with include_task=True."
        )

    def _edit_and_measure(
        self, networks: Population, lam: float | None, task: Task | None
    ) -> tuple[Population, np.ndarray, Task]:
        """Edit on the rows of fit, and say where to measure.

        Without the rows of fit networks are edited on those to measure on, if any are needed.
        """
        task = self._rows_to_measure_on(task)
        own = self.task is not None or not self.needs_rows
        return *self.edit(networks, lam, None if own else task), task

    def _rows_to_measure_on(self, task: Task | None) -> Task:
        """Return the rows to measure on, with the labels that the editor was fitted on."""
        if task is None:
            if self.task is None:
                raise ValueError(
                    f"This {_OWNER} was loaded without the rows of its fit. Pass the rows "
                    "to measure on: task=Task(X, y, sensitive_features=...)."
                )
            return self.task
        task = check_task(task, _OWNER)
        if self.plan.needs_sensitive:
            task.require_sensitive(_OWNER)
        outline = self.reference.outline
        task.require_columns(outline.column_names, _OWNER, "the task of its fit")
        known = np.asarray(outline.classes).tolist()
        if (came := np.asarray(task.classes).tolist()) != known:
            raise ValueError(
                f"{_OWNER} measures on rows with the labels that it was fitted on, "
                f"{known}. Got {came}."
            )
        return task

    def score(self, networks: Population, task: Task | None = None) -> float:
        """Return minus the mean objective after an edit, see ``ComplianceEditor.score``."""
        edited, _, task = self._edit_and_measure(networks, None, task)
        before, after = run_networks(networks, task), run_networks(edited, task)
        plan, lam = self.plan, torch.full((len(networks),), self.plan.lam)
        taught = self._ask(task)
        target = before if taught is None else taught.to(after).expand_as(after)
        objective = objective_of(plan.requirement, taught=taught is not None)
        exact = objective.exact(target, after, Cells.of(task), lam)
        value = float(exact.mean())
        if plan.mask is not None and plan.mask.budget is None:
            share = measure_edits(networks, edited, task, plan.mask)["measure"]
            value += plan.lam_mask * float(share.mean())
        return -value

    def report(
        self,
        networks: Population,
        *,
        task: Task | None = None,
        lam: float | None = None,
        n_bootstrap: int = 500,
    ) -> pd.DataFrame:
        """Edit networks and say what happened, see ``ComplianceEditor.report``."""
        edited, rolled_back, task = self._edit_and_measure(networks, lam, task)
        return edit_report(networks, edited, task, self.plan, n_bootstrap, rolled_back)

    def with_cost(self, networks: Population, task: Task, started: float) -> Editor:
        """Return the editor with its cost.

        Parameters
        ----------
        networks : Population
            Training networks.
        task : Task
            Their rows.
        started : float
            When the training began, as of ``time.process_time``.
        """
        lam, taught = self.lam_range[1], self._ask(task)
        builder = self.builder_for(task, taught)
        cost = measure_cost(
            networks,
            fit_seconds=time.process_time() - started,
            edit=lambda few: edit_population(few, builder, self.metanet, lam),
            tune=lambda few, n: self._tune(few, task, taught, lam=lam, n_steps=n),
        )
        return replace(self, cost=cost)
