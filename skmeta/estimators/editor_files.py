"""What a file keeps of a fitted editor: :func:`contents`, :func:`restore`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from torch import Tensor, nn

from skmeta._checks import check_device, check_in_range
from skmeta.datasets import Cells, Task
from skmeta.editing.checks import cell_counts, check_lam_range
from skmeta.editing.cost import cost_of
from skmeta.editing.editor import Editor
from skmeta.editing.features import FeatureBuilder
from skmeta.editing.guard import check_guard
from skmeta.editing.reference import Reference
from skmeta.editing.training import build_metanet
from skmeta.files import codec
from skmeta.files.checks import expect, fields_of, load_weights
from skmeta.files.codec import Fields
from skmeta.metanets import WeightGraph
from skmeta.metanets.templates import blank_graphs, check_templates
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.requirements import (
    DataMinimization,
    GroupFairness,
    Joint,
    Objective,
    split_requirements,
)
from skmeta.requirements.resolve import Plan

_OWNER = "ComplianceEditor"
_TENSORS = dict[str, Tensor] | None
_FITTED: dict[str, Any] = {
    **{"lam": float, "lam_mask": float, "lam_range": tuple[float, float]},
    **{"n_networks": int, "cost": tuple[float | None, ...]},
    **{"feature_names": tuple[str, ...], "named": bool, "classes": np.ndarray},
    **{"groups": np.ndarray | None, "counts": np.ndarray, "rows": np.ndarray},
    "templates": tuple[Architecture, ...],
    **{"metanet": _TENSORS, "task": _TENSORS},
}
_COSTS = ("zoo_seconds", "fit_seconds", "edit_seconds", "fine_tune_seconds")
# What a file may ask of the machine that reads it: the requirement is computed on every cell.
_MOST_CELLS, _MOST_CELLS_BY_LABELS = 1000, 10**4
_MOST_THRESHOLDS, _MOST_THRESHOLDS_BY_CELLS = 300, 10**4


def contents(editor: Any, include_task: bool) -> Fields:
    """Return what was learned.

    Parameters
    ----------
    editor : ComplianceEditor
        Fitted.
    include_task : bool
        Whether it holds the rows of ``fit`` with labels and groups.
    """
    _check_unchanged(editor)
    learned: Editor = editor.editor_
    plan, reference, cost = learned.plan, learned.reference, learned.cost
    metanet, task = learned.metanet, learned.task
    rows = None
    if include_task:
        if task is None:
            raise ValueError(
                f"This {_OWNER} was loaded without the rows of its fit, so that it has none to "
                "save. Save it with include_task=False."
            )
        rows = dict(zip(("X", "y", "sensitive"), task.tensors(), strict=True))
    return {
        "lam": plan.lam,
        "lam_mask": plan.lam_mask,
        "lam_range": learned.lam_range,
        "n_networks": learned.n_networks,
        "cost": tuple(None if math.isnan(cost[name]) else cost[name] for name in _COSTS),
        "feature_names": tuple(reference.outline.feature_names),
        "named": reference.outline.column_names is not None,
        "classes": reference.outline.classes,
        "groups": reference.outline.groups,
        "counts": reference.counts.to_numpy().ravel(),
        "rows": reference.rows,
        "templates": learned.templates,
        "metanet": None if metanet is None else metanet.state_dict(),
        "task": rows and {name: value for name, value in rows.items() if value is not None},
    }


def restore(editor: Any, fitted: Fields) -> None:
    """Give an editor what a file claims to have kept, after checks.

    Parameters
    ----------
    editor : ComplianceEditor
        With the parameters of the file, which must be of the right kinds.
    fitted : dict
        As from :func:`contents`, but it may hold anything.
    """
    lam, lam_mask, lam_range, n_networks, cost, *outlined = fields_of(
        fitted, "what was learned", **_FITTED
    )
    feature_names, named, classes, groups, counts, rows, templates, state, task = outlined
    plan = split_requirements(editor.requirement, editor.lam, _OWNER)
    check_in_range("lam", lam, owner=_OWNER, low=0, closed="neither")
    check_in_range("lam_mask", lam_mask, owner=_OWNER, low=0)
    check_in_range("n_networks", n_networks, owner=_OWNER, low=1, kind="int")
    reference = _reference(feature_names, named, classes, groups, counts, rows)
    check_templates(templates)
    ends = {(a.widths[0], a.widths[-1]) for a in templates}
    wanted = {(reference.outline.n_features, reference.outline.n_classes)}
    expect(ends == wanted, "templates do not fit the task")
    n_thresholds = _n_thresholds(plan.requirement)
    few = n_thresholds <= _MOST_THRESHOLDS
    few = few and n_thresholds * counts.size <= _MOST_THRESHOLDS_BY_CELLS
    expect(few, "there are too many thresholds")
    lam_range = check_lam_range(lam_range, lam, _OWNER)
    metanet = _blank_metanet(editor, plan, reference, templates)
    expect((metanet is None) == (state is None), "there is a metanetwork too many, or none")
    metanet = None if metanet is None else load_weights(metanet, state)
    task = None if task is None else _task(reference.outline, task)
    if task is not None:
        same = np.array_equal(cell_counts(task), reference.counts)
        expect(same, "rows and their numbers disagree")
    editor.net_ = None
    editor.editor_ = Editor(
        plan._replace(lam=lam, lam_mask=lam_mask),
        lam_range,
        editor.features,
        reference,
        task,
        check_device(editor.device, _OWNER),
        n_networks,
        check_guard(editor.guard, _OWNER),
        editor.refine_steps,
        metanet,
        _cost(cost),
        templates=templates,
    )


def _check_unchanged(editor: Any) -> None:
    """Refuse a requirement that says something else than that of the fit."""
    plan, now = editor.editor_.plan, split_requirements(editor.requirement, editor.lam, _OWNER)
    if codec.encode(now[:2], _OWNER) != codec.encode(plan[:2], _OWNER):
        raise ValueError(
            f"A {_OWNER} is saved with the requirement that it was fitted with. Got another "
            "'requirement' (or other ratios in 'lam') than in fit. Set them back, or fit again."
        )


def _blank_metanet(
    editor: Any, plan: Plan, reference: Reference, templates: Sequence[Architecture]
) -> nn.Module | None:
    """Return a metanetwork of the editor's sizes without numbers, or None if it needs none."""
    graph = _blank_graph(editor.features, plan, reference)
    if plan.mask is not None and not plan.mask.compensate:
        return None
    # Without numbers no claim of a file takes memory.
    with torch.device("meta"):
        return build_metanet(
            editor.metanet,
            blank_graphs(templates, graph),
            seed=0,
            hidden_channels=editor.hidden_channels,
            n_layers=editor.n_layers,
        )


def _blank_graph(features: str, plan: Plan, reference: Reference) -> WeightGraph:
    """Return a graph as of fit, of a tiny network on one row of zeros per cell.

    The requirement is computed once: parameters that it cannot work with raise.
    """
    n_labels, n_groups = reference.counts.shape
    n_cells = n_labels * n_groups
    cells = Cells(torch.arange(n_cells), torch.full((n_labels, n_groups), 1 / n_cells))
    objective, ones = Objective(plan.requirement), torch.ones(1)
    logits = torch.zeros(1, n_cells, n_labels)
    objective.loss(logits, logits, cells, ones)
    objective.exact(logits, logits, cells, ones)
    probes = features == "probes"
    X = torch.zeros(len(reference.rows) if probes else n_cells, 2)
    if isinstance(plan.mask, DataMinimization) and isinstance(plan.mask.budget, Integral):
        good = plan.mask.budget <= reference.outline.n_features
        expect(good, "the 'budget' is larger than the number of inputs")
        plan = plan._replace(mask=clone(plan.mask).set_params(budget=1))
    network = Population.initialize(Architecture.mlp((2, 1, n_labels)), 1, random_state=0)
    ((_, stack),) = network.blocks
    return FeatureBuilder(features, plan, X, cells).build(stack).graph


def _n_thresholds(requirement: Any) -> int:
    """Return how often a requirement is computed."""
    if isinstance(requirement, Joint):
        return sum(map(_n_thresholds, requirement.requirements))
    return len(requirement.thresholds) if isinstance(requirement, GroupFairness) else 1


def _cost(seconds: tuple) -> dict[str, float]:
    expect(len(seconds) == len(_COSTS), "the costs are not four")
    zoo, *others = seconds
    for value in (0.0 if zoo is None else zoo, *others):
        check_in_range("cost", value, owner=_OWNER, low=0)
    return cost_of(math.nan if zoo is None else float(zoo), *map(float, others))


def _reference(
    feature_names: tuple,
    named: bool,
    classes: np.ndarray,
    groups: np.ndarray | None,
    counts: np.ndarray,
    rows: np.ndarray,
) -> Reference:
    """Return what an editor knows of its task."""
    expect(len(feature_names) > 0, "there are no features")
    columns = np.array(["all"]) if groups is None else groups
    for what, names in (("labels", classes), ("groups", columns)):
        good = len(names) > 0 and len(set(names.tolist())) == len(names)
        expect(good, f"two {what} have one name, or there are none")
    expect(len(counts) == len(classes) * len(columns), "the numbers of rows are not one per cell")
    few = len(counts) <= _MOST_CELLS and len(classes) * len(counts) <= _MOST_CELLS_BY_LABELS
    expect(few, "there are too many labels and groups")
    for what, numbers in (("rows per cell", counts), ("reference rows", rows)):
        good = numbers.dtype.kind == "i" and bool((numbers >= 0).all())
        expect(good, f"the numbers of {what} are no numbers of rows")
    # As Python's integers, which do not overflow.
    expect(bool((np.diff(rows) > 0).all()), "the reference rows are not in order")
    expect(not len(rows) or int(rows[-1]) < sum(counts.tolist()), "a reference row is missing")
    outline = Task._from_codes(
        np.empty((0, len(feature_names)), np.float32),
        np.empty(0, np.int64),
        None if groups is None else np.empty(0, np.int64),
        column_names=list(feature_names) if named else None,
        classes=classes,
        groups=groups,
    )
    table = pd.DataFrame(counts.reshape(len(classes), -1), index=classes, columns=columns)
    return Reference(outline, table, rows)


def _task(outline: Task, tensors: Mapping[str, Tensor]) -> Task:
    """Return the rows of a file."""
    codes = {"y": outline.n_classes}
    if outline.groups is not None:
        codes["sensitive"] = outline.n_groups
    expect(set(tensors) == {"X", *codes}, "columns of the task are missing or too many")
    X = tensors["X"]
    good = X.dtype == torch.float32 and X.ndim == 2 and X.shape[1] == outline.n_features
    expect(good and len(X) > 0, "the rows of the task have a wrong type or shape")
    expect(bool(X.isfinite().all()), "the rows of the task are NaN or infinite")
    for name, n_codes in codes.items():
        values = tensors[name]
        good = values.dtype == torch.int64 and values.shape == X.shape[:1]
        good = good and bool(((values >= 0) & (values < n_codes)).all())
        expect(good, f"the column '{name}' of the task has a wrong type or shape")
    return Task._from_codes(
        X.numpy(),
        tensors["y"].numpy(),
        None if outline.groups is None else tensors["sensitive"].numpy(),
        column_names=outline.column_names,
        classes=np.asarray(outline.classes),
        groups=outline.groups,
    )
