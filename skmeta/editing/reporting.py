"""What edits did, network by network: :func:`edit_report`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress

import numpy as np
import pandas as pd
from torch import Tensor

from skmeta.datasets import Task
from skmeta.editing.intervals import network_intervals
from skmeta.editing.measures import measure_edits, paired_logits
from skmeta.population import Population, Stack
from skmeta.requirements import DataMinimization, MaskRequirement
from skmeta.requirements.resolve import Plan


def edit_report(
    original: Population | Tensor,
    edited: Population | Tensor,
    task: Task,
    plan: Plan,
    n_bootstrap: int,
    rolled_back: np.ndarray,
) -> pd.DataFrame:
    """Summarise edits with intervals from resampled rows.

    Parameters
    ----------
    original, edited : Population, or Tensor of shape (n, n_samples, n_classes)
        The same networks before and after, or their logits on the rows.
    task : Task
        Rows to measure on.
    plan : Plan
        What the edits were for.
    n_bootstrap : int
        Resamples of the rows.
    rolled_back : ndarray of bool of shape (n,)
        Edits that a guard has refused.

    Returns
    -------
    DataFrame
        See ``ComplianceEditor.report``.
    """
    pair = {"original": original, "edited": edited}
    before, after = paired_logits(pair, task, "edit_report")
    requirement = plan.requirement
    frame = measure_edits(before, after, task, requirement)
    # Only functions of rates can be resampled cheaply.
    resampled = requirement if hasattr(requirement, "of_rates") else None
    intervals = network_intervals(
        before, after, task, resampled, n_bootstrap=n_bootstrap, random_state=0
    )
    columns = {"divergence": frame["divergence"]}
    for name in ("measure", "accuracy"):
        if name not in frame:
            continue
        columns[f"{name}_before"] = frame[name] - frame[f"{name}_change"]
        columns[f"{name}_after"] = frame[name]
        columns[f"{name}_change"] = frame[f"{name}_change"]
        for end in ("low", "high"):
            column = f"{name}_change_{end}"
            if column in intervals:
                columns[column] = intervals[column]
    if plan.mask is not None and isinstance(edited, Population):
        columns |= dict(_mask_columns(edited, task, plan.mask))
    status = np.full(len(original), "unclear", dtype=object)
    if "measure_change_high" in columns:
        status[columns["measure_change_high"] < 0] = "reduced"
        status[columns["measure_change_low"] > 0] = "raised"
    elif requirement is None:
        status[:] = "reduced"
    status[rolled_back] = "rolled back"
    return pd.DataFrame(columns).assign(status=status)


def _mask_columns(
    edited: Population, task: Task, mask: MaskRequirement
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what each network keeps: the share, the number and the names of inputs."""

    def kept(stack: Stack) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
        share = mask.measure_weights(stack).cpu().numpy()
        number = np.round(share * mask.totals(stack).cpu().numpy()).astype(int)
        if not isinstance(mask, DataMinimization):
            return share, number, [[]] * len(stack)
        used = mask.used(stack)[0][:, 0].tolist()
        return share, number, [list(compress(task.feature_names, row)) for row in used]

    share, number, names = edited.map(kept, exact=True)
    yield "kept_share", share
    yield "n_kept", number
    if isinstance(mask, DataMinimization):
        yield "kept", names
