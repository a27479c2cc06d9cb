"""What to know before using an editor, as Markdown: :func:`model_card`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from skmeta._text import markdown, markdown_code
from skmeta.datasets import Task
from skmeta.editing.checks import MIN_CELL_ROWS, cell_counts, small_cells
from skmeta.editing.editor import Editor
from skmeta.editing.reference import Reference
from skmeta.population import Population
from skmeta.requirements.joint import Joint
from skmeta.requirements.resolve import name_of

_STATUSES = ("reduced", "unclear", "raised", "rolled back")

_LIMITS = (
    "An edit reduces a measured gap on this data. It does not make a classifier fair or lawful, "
    "and it does not remove the causes of a gap.",
    "Nothing here is said about groups that were not named, about subgroups within those that "
    "were, or about people who differ from those in the data.",
    "Whether a gap should be reduced, by which criterion and at whose cost, is for the people to "
    "decide who answer for the decisions. A gap can also shrink because a group is treated worse: "
    "look at the rates of each group.",
    "A gap is a maximum of absolute values: biased upwards, never exactly zero on a sample, and "
    'noisy in small groups. "unclear" is a result.',
    "Classes are predicted at the highest score. Where decisions are made at another threshold, "
    "or by ranking, measure there.",
    "A bound on edits holds on the rows of the fit. On new rows it holds on average only, and a "
    "network that was rolled back still has its gap.",
    "An editor knows networks like those that it was trained on, and this table only.",
    "A fitted editor keeps the rows of the fit with their sensitive features, unless it was saved "
    "without them: treat it like the data.",
)
"""Docs page "Limits and ethics" in short."""


def model_card(
    editor: Editor,
    networks: Population | None,
    task: Task | None,
    *,
    title: str,
    metanet: str,
) -> str:
    """Describe an editor, its data, its results and its limits.

    Parameters
    ----------
    editor : Editor
        A trained one.
    networks, task
        See ``ComplianceEditor.card``; the networks as the editor takes them.
    title, metanet : str
        Names of what edits and of the metanetwork.

    Returns
    -------
    str
        Markdown.
    """
    if networks is None and task is not None:
        raise ValueError(
            "The 'task' parameter of card says where to measure networks, and got none. Pass "
            "card(networks, task=task)."
        )
    sections = {
        "What it is": _editor_lines(editor, metanet),
        "Data of the fit": _data_lines(editor.reference),
        "Measured results": _result_lines(editor, networks, task),
        "Guard": _guard_lines(editor.guard),
        "Costs": _cost_lines(editor.cost),
        "What this does not say": _bullets(_LIMITS),
        "Versions": _version_lines(),
    }
    body = (f"## {name}\n\n" + "\n".join(lines) for name, lines in sections.items())
    return "\n\n".join([f"# Model card: {markdown(title)}", *body]) + "\n"


def _editor_lines(editor: Editor, metanet: str) -> Iterator[str]:
    plan, (low, high) = editor.plan, editor.lam_range
    yield "A metanetwork that edits trained classifiers in one forward pass, so that a measured"
    little = "while predictions change little" if editor.teacher is None else "by a teacher"
    yield f"gap or cost is smaller on the data below {little}.\n"
    requirement, mask = plan.requirement, plan.mask
    joint = requirement if isinstance(requirement, Joint) else None
    parts = [requirement] if joint is None else joint.requirements
    for part in filter(None, [*parts, mask]):
        yield f"- requirement: {_name(part)}, {markdown_code(repr(part))}. {_meaning(part)}"
    if requirement is not None:
        span = f", of a range from {low:g} to {high:g}" if low < high else ""
        which = "" if joint is None else ", the largest of several"
        yield f"- lam, the weight of the violation{which}: {editor.check_lam(None):g}{span}"
    if joint is not None:
        for part, weight in zip(joint.requirements, joint.weights, strict=True):
            yield f"- lam of {_name(part)}: {weight * plan.lam:g}"
    if mask is not None and mask.budget is None:
        yield f"- lam of {_name(mask)}, for the share that stays: {plan.lam_mask:g}"
    untrained = " (not trained: a mask alone)" * (editor.metanet is None)
    if editor.teacher is not None:
        yield f"- networks follow the decisions of {markdown_code(repr(editor.teacher))}"
    yield f"- metanetwork: {markdown(metanet)}{untrained}"
    yield f"- features beside the weights: {editor.features}"
    yield f"- refining steps after an edit: {editor.refine_steps}"
    yield f"- trained on {editor.n_networks} networks"


def _name(requirement: Any) -> str:
    return markdown_code(name_of(requirement))


def _meaning(requirement: Any) -> str:
    """Return what the docstring of a requirement, or a user's function, says first."""
    described = getattr(requirement, "function", type(requirement))
    text = " ".join((inspect.getdoc(described) or "").split("\nParameters\n")[0].split())
    ours = str(described.__module__).split(".")[0] == __name__.split(".")[0]
    return text.replace(" [1]_", "").replace("``", "`") if ours else markdown(text)


def _data_lines(reference: Reference) -> Iterator[str]:
    task, counts = reference.outline, reference.counts
    names = ", ".join(map(markdown, task.feature_names))
    yield f"{counts.to_numpy().sum()} rows, {task.n_features} features: {names}.\n"
    yield f"Labels: {', '.join(map(markdown, np.asarray(task.classes)))}."
    if task.groups is None:
        yield "No sensitive features: groups are not compared.\n"
    else:
        yield "Rows of each label in each group:\n"
    rows = [(str(label), *row) for label, row in zip(counts.index, counts.to_numpy(), strict=True)]
    yield from _table(["label", *counts.columns], rows)
    yield from _small_lines(counts)


def _small_lines(counts: pd.DataFrame) -> Iterator[str]:
    if small := small_cells(counts):
        named = ", ".join(map(markdown, small))
        yield (
            f"\n**Warning:** fewer than {MIN_CELL_ROWS} rows of {named}. Rates there are uncertain."
        )


def _result_lines(editor: Editor, networks: Population | None, task: Task | None) -> Iterator[str]:
    if networks is None:
        yield "None: this card was made without networks to measure."
        return
    reports = {lam: editor.report(networks, task=task, lam=lam) for lam in _points(editor)}
    n_networks = len(next(iter(reports.values())))
    where = "the rows of the fit, on which results look better than on new ones"
    if task is not None:
        where = f"{task.n_samples} rows that were passed for it"
        if editor.task is None and editor.needs_rows:
            where += " and for the edits, on which results look better than on others"
    yield (
        f"Means over {n_networks} networks on {where}. The divergence is Jensen-Shannon's from "
        "the original networks. An edit counts as "
        "reduced or raised if the 95 % interval of the measure's change excludes zero.\n"
    )
    table = pd.DataFrame([_summary(report) for report in reports.values()])
    if editor.plan.requirement is not None:
        table.insert(0, "lam", [f"{lam:g}" for lam in reports])
    yield from _table(table.columns, table.to_numpy())
    if task is not None:
        yield from _small_lines(cell_counts(task))


def _points(editor: Editor) -> list[float]:
    """Return a few lam of the range, from low to high, with the default among them."""
    low, high = editor.lam_range
    ends = (low, math.sqrt(low * high), high) if low < high else ()
    return sorted({*ends, editor.check_lam(None)})


def _summary(report: pd.DataFrame) -> dict[str, str]:
    """Return one row of the table of results."""
    names = {
        "divergence": "divergence (nats)",
        "measure_before": "measure before",
        "measure_after": "measure after",
        "accuracy_change": "accuracy change",
        "kept_share": "share kept",
    }
    means = {title: report[name].mean() for name, title in names.items() if name in report}
    counts = report["status"].value_counts().reindex(_STATUSES, fill_value=0)
    return {title: f"{mean:.4f}" for title, mean in means.items()} | {
        status: str(n) for status, n in counts.items()
    }


def _guard_lines(guard: dict[str, float] | None) -> Iterator[str]:
    if guard is None:
        yield "No bounds were set: an edit that goes too far is not taken back."
        return
    yield "An edit beyond a bound on the rows of the fit is rolled back to the original network:\n"
    yield from _bullets(f"{name} = {bound:g}" for name, bound in guard.items())


def _cost_lines(cost: dict[str, float]) -> Iterator[str]:
    zoo = cost["zoo_seconds"]
    yield f"- training the networks: {'unknown' if math.isnan(zoo) else f'{zoo:.3g} CPU seconds'}"
    yield f"- training the editor: {cost['fit_seconds']:.3g} CPU seconds"
    yield f"- an edit: {cost['edit_seconds']:.3g} CPU seconds per network"
    tune = cost["fine_tune_seconds"]
    yield f"- 40 batched steps of fine-tuning in its place: {tune:.3g} CPU seconds per network"
    after = cost["break_even"]
    yield "- break-even against that: " + (
        f"after {math.ceil(after):,} edits" if math.isfinite(after) else "never"
    )


def _version_lines() -> Iterator[str]:
    packages = ("skmeta", "torch", "scikit-learn")
    named = ", ".join(f"{name} {version(name)}" for name in packages)
    yield f"To cite this editor, name the versions that made it: {named}."


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    return (f"- {line}" for line in lines)


def _table(header: Iterable[Any], rows: Iterable[Sequence[Any] | np.ndarray]) -> Iterator[str]:
    """Yield a table."""
    header = list(header)
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(map(markdown, row)) + " |"
