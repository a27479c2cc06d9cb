"""What edits did to each network: :func:`measure_edits`."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from skmeta.datasets import Task
from skmeta.requirements import Cells, Objective, resolve_requirement


def measure_edits(
    original_logits: Tensor,
    edited_logits: Tensor,
    task: Task,
    requirement: Any = "equalized_odds",
) -> pd.DataFrame:
    """Measure the edits of a population on the rows of a task.

    Parameters
    ----------
    original_logits, edited_logits : Tensor of shape (n, n_samples, n_classes)
        Predictions of the rows before and after.
    task : Task
        The rows, with labels.
    requirement : str or Requirement, default="equalized_odds"
        What the edits were for.

    Returns
    -------
    DataFrame
        One row per network: ``divergence`` in nats; ``measure``, the exact measure of the
        predicted classes; ``measure_over_thresholds``, averaged over the thresholds .3 to
        .7 (two classes only), and ``measure_soft``, of the scores in place of decisions, if
        the requirement has them: what moves scores just past .5 shines in the first only;
        ``accuracy``; and the change of each against the original, as ``measure_change``.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Task
    >>> from skmeta.evaluation import measure_edits
    >>> task = Task([[0.0]] * 4, [0, 1, 0, 1], sensitive_features=["f", "f", "m", "m"])
    >>> before = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [0, 1]]])
    >>> after = torch.tensor([[[1.0, 0], [0, 1], [1, 0], [0, 1]]])
    >>> measure_edits(before, after, task)[["divergence", "measure", "measure_change"]]
       divergence  measure  measure_change
    0        0.03      0.0            -1.0
    """
    requirement = resolve_requirement(requirement, "measure_edits")
    if requirement.needs_sensitive:
        task.require_sensitive("measure_edits")
    for name, logits in (("original_logits", original_logits), ("edited_logits", edited_logits)):
        if logits.ndim != 3 or logits.shape[1:] != (task.n_samples, task.n_classes):
            raise ValueError(
                f"The '{name}' of measure_edits must have shape (n, {task.n_samples}, "
                f"{task.n_classes}), one row per row of the task. Got {tuple(logits.shape)}."
            )
    with torch.no_grad():
        cells = Cells.of(task, edited_logits.device)
        before = _measures(original_logits, task, cells, requirement)
        after = _measures(edited_logits, task, cells, requirement)
        divergence = Objective(requirement).divergence(original_logits, edited_logits, cells)
    columns = {"divergence": divergence, **after}
    columns |= {f"{name}_change": after[name] - before[name] for name in after}
    return pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})


def _measures(logits: Tensor, task: Task, cells: Cells, requirement: Any) -> dict[str, Tensor]:
    values = {"measure": requirement.measure(logits, cells)}
    if task.n_classes == 2 and hasattr(requirement, "measure_over_thresholds"):
        values["measure_over_thresholds"] = requirement.measure_over_thresholds(logits, cells)
    if hasattr(requirement, "measure_soft"):
        values["measure_soft"] = requirement.measure_soft(logits, cells)
    _, labels, _ = task.tensors(logits.device)
    values["accuracy"] = (logits.argmax(-1) == labels).to(logits).mean(1)
    return values
