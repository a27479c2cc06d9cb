"""What edits did, network by network: :func:`edit_report`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor

from skmeta.datasets import Task
from skmeta.evaluation import measure_edits, network_intervals
from skmeta.requirements import Requirement


def edit_report(
    before: Tensor, after: Tensor, task: Task, requirement: Requirement, n_bootstrap: int
) -> pd.DataFrame:
    """Summarise edits with intervals from resampled rows.

    Parameters
    ----------
    before, after : Tensor of shape (n, n_samples, n_classes)
        Logits of original and edited networks on the rows of the task.
    task : Task
        The rows.
    requirement : Requirement
        What the edits were for.
    n_bootstrap : int
        Resamples of the rows.

    Returns
    -------
    DataFrame
        See ``ComplianceEditor.report``.
    """
    frame = measure_edits(before, after, task, requirement)
    intervals = network_intervals(
        before, after, task, requirement, n_bootstrap=n_bootstrap, random_state=0
    )
    columns = {"divergence": frame["divergence"]}
    for name in ("measure", "accuracy"):
        columns[f"{name}_before"] = frame[name] - frame[f"{name}_change"]
        columns[f"{name}_after"] = frame[name]
        columns[f"{name}_change"] = frame[f"{name}_change"]
        for end in ("low", "high"):
            column = f"{name}_change_{end}"
            columns[column] = intervals[column]
    status = np.select(
        [columns["measure_change_high"] < 0, columns["measure_change_low"] > 0],
        ["reduced", "raised"],
        "unclear",
    )
    return pd.DataFrame(columns).assign(status=status)
