"""What a file keeps of an editor: :func:`contents`, :func:`restored`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta._checks import check_in_range
from skmeta.datasets import Cells, Task
from skmeta.editing.checks import cell_counts, check_lam_range
from skmeta.editing.cost import cost_of
from skmeta.editing.editor import Editor
from skmeta.editing.features import FeatureBuilder
from skmeta.editing.reference import Reference
from skmeta.editing.teaching import check_teacher, objective_of, seeded
from skmeta.editing.training import build_metanet
from skmeta.files.checks import expect, fields_of, load_weights
from skmeta.files.codec import Fields
from skmeta.metanets import Metanet
from skmeta.metanets.templates import blank_graphs, check_templates
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.requirements import DataMinimization, FairTeacher, GroupFairness, Joint
from skmeta.requirements.resolve import Plan

_OWNER = "ComplianceEditor"
_FIELDS: dict[str, Any] = {
    **{"lam": float, "lam_mask": float, "lam_range": tuple[float, float], "n_networks": int},
    # Of the zoo (None if unknown), the training, an edit, and fine-tuning in its place.
    "cost": tuple[float | None, float, float, float],
    **{"task": Task, "counts": np.ndarray, "rows": np.ndarray},
    "templates": tuple[Architecture, ...],
    "metanet": dict[str, Tensor] | None,
    **{"teacher_seed": int | None, "taught": Tensor | None},
}
# What a file may ask of the machine that reads it: the requirement is computed on every cell.
_MOST_CELLS, _MOST_CELLS_BY_LABELS = 1000, 10**4
_MOST_THRESHOLDS, _MOST_THRESHOLDS_BY_CELLS = 300, 10**4


def contents(editor: Editor, *, include_task: bool) -> Fields:
    """Return what was learned.

    Parameters
    ----------
    editor : Editor
        Trained.
    include_task : bool
        Whether it holds the rows of ``fit`` with labels and groups.
    """
    plan, reference, metanet = editor.plan, editor.reference, editor.metanet
    if include_task and editor.task is None:
        raise ValueError(
            f"This {_OWNER} was loaded without the rows of its fit, so that it has none to save. "
            "Save it with include_task=False."
        )
    zoo, fit, edit, tune, _ = editor.cost.values()
    cost = None if math.isnan(zoo) else zoo, fit, edit, tune
    values = (
        *(plan.lam, plan.lam_mask, editor.lam_range, editor.n_networks, cost),
        editor.task if include_task else reference.outline,
        *(reference.counts.to_numpy().ravel(), reference.rows, editor.templates),
        None if metanet is None else dict(metanet.state_dict()),
        None if editor.teacher is None else _seed_of(editor.teacher),
        editor.taught if include_task else None,
    )
    return dict(zip(_FIELDS, values, strict=True))


def restored(
    fields: Any,
    plan: Plan,
    *,
    features: str,
    guard: dict[str, float] | None,
    refine_steps: int,
    teacher: FairTeacher | None,
    device: torch.device,
    **built: Any,
) -> Editor:
    """Return an editor of what anybody claims :func:`contents` returned.

    Parameters
    ----------
    fields : object
        May be anything that files hold.
    plan : Plan
        Of the parameters in the file, like the others.
    features, guard, refine_steps, teacher, device
        See :class:`Editor`.
    **built
        See :func:`~skmeta.editing.training.build_metanet`.
    """
    lam, lam_mask, lam_range, n_networks, cost, task, *sized, state, seed, taught = fields_of(
        fields, "what was learned", **_FIELDS
    )
    counts, rows, templates = sized
    teacher = seeded(teacher, 0 if seed is None else seed)
    expect((teacher is None) == (seed is None), "there is a teacher too many, or none")
    _check_taught(teacher, taught, task, plan)
    check_in_range("lam", lam, owner=_OWNER, low=0, closed="neither")
    check_in_range("lam_mask", lam_mask, owner=_OWNER, low=0)
    check_in_range("n_networks", n_networks, owner=_OWNER, low=1, kind="int")
    lam_range = check_lam_range(lam_range, lam, _OWNER)
    reference = _reference(task, counts, rows)
    check_templates(templates)
    ends = {(a.widths[0], a.widths[-1]) for a in templates}
    expect(ends == {(task.n_features, task.n_classes)}, "templates do not fit the task")
    n_thresholds = _n_thresholds(plan.requirement)
    few = n_thresholds <= _MOST_THRESHOLDS
    few = few and n_thresholds * counts.size <= _MOST_THRESHOLDS_BY_CELLS
    expect(few, "there are too many thresholds")
    metanet = _blank_metanet(features, plan, reference, templates, teacher is not None, built)
    expect((metanet is None) == (state is None), "there is a metanetwork too many, or none")
    if metanet is not None:
        load_weights(metanet, state)
    return Editor(
        plan._replace(lam=lam, lam_mask=lam_mask),
        *(lam_range, features, reference, task if task.n_samples else None, device, n_networks),
        guard,
        refine_steps,
        teacher,
        metanet,
        _cost(*cost),
        templates,
        taught,
    )


def _blank_metanet(
    features: str,
    plan: Plan,
    reference: Reference,
    templates: Sequence[Architecture],
    taught: bool,
    built: dict[str, Any],
) -> Metanet | None:
    """Return a metanetwork of the right sizes without numbers, or None if it needs none.

    It sees a graph as of fit, of a tiny network on one row of zeros per cell. The requirement is
    computed once: parameters that it cannot work with raise.
    """
    n_labels, n_groups = reference.counts.shape
    n_cells, n_inputs = n_labels * n_groups, reference.outline.n_features
    cells = Cells(torch.arange(n_cells), torch.full((n_labels, n_groups), 1 / n_cells))
    objective, ones = objective_of(plan.requirement, taught=taught), torch.ones(1)
    logits = torch.zeros(1, n_cells, n_labels)
    objective.loss(logits, logits, cells, ones)
    objective.exact(logits, logits, cells, ones)
    X = torch.zeros(len(reference.rows) if features == "probes" else n_cells, 2)
    small = plan
    if isinstance(plan.mask, DataMinimization) and isinstance(plan.mask.budget, Integral):
        expect(plan.mask.budget <= n_inputs, "the 'budget' is larger than the number of inputs")
        small = plan._replace(mask=DataMinimization(**{**plan.mask.get_params(), "budget": 1}))
    network = Population.initialize(Architecture.mlp((2, 1, n_labels)), 1, random_state=0)
    ((_, stack),) = network.blocks
    says = X.new_zeros(len(X), n_labels) if taught else None
    graph = FeatureBuilder(features, small, X, cells, says).build(stack).graph
    if plan.mask is not None and not plan.mask.compensate:
        return None
    # Without numbers no claim of a file takes memory.
    with torch.device("meta"):
        return build_metanet(graphs=blank_graphs(templates, graph), seed=0, **built)


def _seed_of(teacher: FairTeacher) -> int:
    seed = teacher.random_state
    if not isinstance(seed, Integral):
        raise ValueError(
            f"The 'teacher' of {_OWNER} cannot be saved: its 'random_state' holds a "
            f"{type(seed).__name__}. Give it an int, or none, before fit."
        )
    return int(seed)


def _check_taught(
    teacher: FairTeacher | None, taught: Tensor | None, task: Task, plan: Plan
) -> None:
    """Refuse what no teacher says of these rows."""
    check_teacher(teacher, plan.requirement, _OWNER)
    there = teacher is not None and task.n_samples > 0
    expect((taught is not None) == there, "a teacher's decisions are missing, or too many")
    if taught is not None:
        shape = (task.n_samples, task.n_classes)
        good = taught.shape == shape and taught.dtype == torch.float32
        expect(good and bool((taught <= 0).all()), "a teacher's decisions do not fit the rows")


def _n_thresholds(requirement: Any) -> int:
    """Return how often a requirement is computed."""
    if isinstance(requirement, Joint):
        return sum(map(_n_thresholds, requirement.requirements))
    return len(requirement.thresholds) if isinstance(requirement, GroupFairness) else 1


def _cost(zoo: float | None, *others: float) -> dict[str, float]:
    for value in (0.0 if zoo is None else zoo, *others):
        check_in_range("cost", value, owner=_OWNER, low=0)
    return cost_of(math.nan if zoo is None else float(zoo), *map(float, others))


def _reference(task: Task, counts: np.ndarray, rows: np.ndarray) -> Reference:
    """Return what an editor knows of its task."""
    shape = task.n_classes, task.n_groups
    expect(len(counts) == math.prod(shape), "the numbers of rows are not one per cell")
    few = len(counts) <= _MOST_CELLS and shape[0] * len(counts) <= _MOST_CELLS_BY_LABELS
    expect(few, "there are too many labels and groups")
    for what, numbers in (("rows per cell", counts), ("reference rows", rows)):
        good = numbers.dtype.kind == "i" and bool((numbers >= 0).all())
        expect(good, f"the numbers of {what} are no numbers of rows")
    # As Python's integers, which do not overflow.
    expect(bool((np.diff(rows) > 0).all()), "the reference rows are not in order")
    expect(not len(rows) or int(rows[-1]) < sum(counts.tolist()), "a reference row is missing")
    columns = np.array(["all"]) if task.groups is None else task.groups
    table = pd.DataFrame(counts.reshape(shape), index=task.classes, columns=columns)
    same = not task.n_samples or np.array_equal(cell_counts(task), table)
    expect(same, "rows and their numbers disagree")
    return Reference(task.subset(np.empty(0, dtype=int)), table, rows)
