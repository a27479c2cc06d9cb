"""From edits to fairlearn: :func:`metric_frames`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame

from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.population import run_networks


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
    original, edited : network
        Of any kind that a Population takes.
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
    logits = run_networks([original, edited], task)
    return MetricFrames(
        *(
            MetricFrame(metrics=metrics, y_pred=classes[p], **rows, **options)
            for p in logits.argmax(-1).cpu().numpy()
        )
    )
