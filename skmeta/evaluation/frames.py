"""From edits to fairlearn: :func:`metric_frames`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import precision_score
from torch import Tensor

from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.editing.measures import paired_logits


class MetricFrames(NamedTuple):
    """fairlearn's MetricFrame of one network before and after an edit."""

    before: MetricFrame
    after: MetricFrame


def metric_frames(
    original: Any,
    edited: Any,
    task: Task,
    *,
    metrics: Callable[..., Any] | dict[str, Callable[..., Any]],
    **options: Any,
) -> MetricFrames:
    """Give fairlearn's MetricFrame for a network before and after an edit.

    Parameters
    ----------
    original, edited : network, or Tensor of shape (n_samples, n_classes)
        Of any kind that a Population takes, or its logits on the rows.
    task : Task
        The rows, with labels and sensitive features.
    metrics : callable or dict of str to callable
        As in ``fairlearn.metrics.MetricFrame``: ``metric(y_true, y_pred)`` on the labels
        that the task was made with.
    **options
        Further parameters of MetricFrame: ``control_features``, ``sample_params``,
        ``n_boot``, ``ci_quantiles``, ``random_state``.

    Returns
    -------
    MetricFrames
        ``before`` and ``after``, on the same rows.

    Raises
    ------
    ValueError
        If the task has no labels or fewer than two groups.

    Examples
    --------
    >>> from fairlearn.metrics import selection_rate
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmeta.datasets import Task
    >>> from skmeta.evaluation import metric_frames
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> network = MLPClassifier((4,), max_iter=500, solver="lbfgs", random_state=0).fit(X, y)
    >>> task = Task(X, y, sensitive_features=["f", "f", "m", "m"])
    >>> before, after = metric_frames(network, network, task, metrics=selection_rate)
    >>> float(after.difference())
    1.0
    """
    check_task(task, "metric_frames")
    task.require_sensitive("metric_frames")
    classes, groups = np.asarray(task.classes), np.asarray(task.groups)
    rows = {
        "y_true": classes[task.y],
        "sensitive_features": pd.Series(groups[task.sensitive], name="group"),
    }
    return MetricFrames(
        *(
            MetricFrame(metrics=metrics, y_pred=classes[p], **rows, **options)
            for p in _decisions(original, edited, task)
        )
    )


def _decisions(original: Any, edited: Any, task: Task) -> tuple[np.ndarray, np.ndarray]:
    pair = {"original": original, "edited": edited}
    wholes = {k: v[None] if isinstance(v, Tensor) else [v] for k, v in pair.items()}
    before, after = paired_logits(wholes, task, "metric_frames")
    return before[0].argmax(-1).cpu().numpy(), after[0].argmax(-1).cpu().numpy()


def rates_by_group(original: Any, edited: Any, task: Task) -> pd.DataFrame:
    """Give the rates of each group before and after an edit.

    Parameters
    ----------
    original, edited : network, or Tensor of shape (n_samples, n_classes)
        Of any kind that a Population takes, or its logits on the rows.
    task : Task
        The rows, with labels and sensitive features.

    Returns
    -------
    DataFrame
        See ``EditedClassifier.report_by_group``.
    """
    classes = np.asarray(task.classes)
    labels = classes[1:] if len(classes) == 2 else classes
    metrics: dict[str, Callable[..., Any]] = {}
    for label in labels:
        of = "" if len(classes) == 2 else f" of {label}"
        for metric in (selection_rate, true_positive_rate, false_positive_rate, precision_score):
            name = metric.__name__.removesuffix("_score")
            metrics[f"{name}{of}"] = partial(_of_label, metric, label)
    frames = metric_frames(original, edited, task, metrics=metrics)
    parts = {
        when: pd.concat([frame.by_group, frame.overall.to_frame("all").T])
        for when, frame in zip(("before", "after"), frames, strict=True)
    }
    table = pd.concat(parts, axis=1).swaplevel(axis=1)
    pairs = [(name, when) for name in metrics for when in parts]
    table = table[pairs].astype(float)
    before, after = _decisions(original, edited, task)
    changed, group = before != after, np.asarray(task.groups)[task.sensitive]
    by = pd.Series(changed).groupby(group)
    table[("changed", "")] = [*by.mean().loc[table.index[:-1]], changed.mean()]
    table.insert(0, ("rows", ""), [*by.size().loc[table.index[:-1]], len(changed)])
    return table


def _of_label(metric: Callable[..., Any], label: Any, y_true: Any, y_pred: Any) -> float:
    """Measure one label against the others; nan for a rate over nothing."""
    truth, decided = np.asarray(y_true) == label, np.asarray(y_pred) == label
    options = {"zero_division": np.nan} if metric is precision_score else {"pos_label": True}
    empty = {true_positive_rate: not truth.any(), false_positive_rate: truth.all()}
    return float("nan") if empty.get(metric) else float(metric(truth, decided, **options))
