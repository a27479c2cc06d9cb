"""What edits did to each network: :func:`measure_edits`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.population import Population, run_networks
from skmeta.requirements import MaskRequirement, jensen_shannon, resolve_requirement
from skmeta.requirements.rates import hard_predictions


def measure_edits(
    original: Any,
    edited: Any,
    task: Task,
    requirement: Any = "equalized_odds",
) -> pd.DataFrame:
    """Measure the edits of a population on the rows of a task.

    Parameters
    ----------
    original, edited : Population, sequence of networks, or Tensor
        The same networks before and after, or their logits on the rows, ``(n, n_samples,
        n_classes)``. A requirement on weights (inputs, pruning) needs networks.
    task : Task
        The rows, with labels.
    requirement : str, Requirement or None, default="equalized_odds"
        What the edits were for. None measures divergence and accuracy only.

    Returns
    -------
    DataFrame
        One row per network: ``divergence`` in nats; ``measure``, the exact measure of the
        predicted classes (of a requirement on weights, the share that is used);
        ``measure_over_thresholds``, averaged over the thresholds .3 to .7 (two classes
        only), and ``measure_soft``, of the scores in place of decisions, if the requirement
        has them: what moves scores just past .5 shines in the first only; ``accuracy``; and
        the change of each against the original, as ``measure_change``. NaN for a network
        whose logits are not finite.

    Raises
    ------
    ValueError
        If logits do not have one row per row of the task, or groups are needed and missing.
    TypeError
        If a requirement on weights is to be measured on logits.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Task
    >>> from skmeta.editing import measure_edits
    >>> task = Task([[0.0]] * 4, [0, 1, 0, 1], sensitive_features=["f", "f", "m", "m"])
    >>> before = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [0, 1]]])
    >>> after = torch.tensor([[[1.0, 0], [0, 1], [1, 0], [0, 1]]])
    >>> measure_edits(before, after, task)[["divergence", "measure", "measure_change"]]
       divergence  measure  measure_change
    0        0.03      0.0            -1.0
    """
    check_task(task, "measure_edits")
    if requirement is not None:
        requirement = resolve_requirement(requirement, "measure_edits")
        if requirement.needs_sensitive:
            task.require_sensitive("measure_edits")
    logits = paired_logits({"original": original, "edited": edited}, task, "measure_edits")
    with torch.no_grad():
        before, after = (
            _measures(networks, outputs, task, requirement)
            for networks, outputs in zip((original, edited), logits, strict=True)
        )
        divergence = jensen_shannon(*logits).mean(1)
    columns = {"divergence": divergence, **after}
    columns |= {f"{name}_change": after[name] - before[name] for name in after}
    return pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})


def paired_logits(pair: Mapping[str, Any], task: Task, owner: str) -> list[Tensor]:
    """Return the logits of the same networks before and after, given by parameter's name."""
    logits = [_logits(name, networks, task, owner) for name, networks in pair.items()]
    if len(logits[0]) != len(logits[1]):
        names = " and ".join(repr(name) for name in pair)
        raise ValueError(
            f"The {names} of {owner} must be the same networks. Got {len(logits[0])} and "
            f"{len(logits[1])} of them."
        )
    return logits


def _logits(name: str, networks: Any, task: Task, owner: str) -> Tensor:
    if not isinstance(networks, Tensor):
        return run_networks(networks, task)
    if networks.ndim != 3 or networks.shape[1:] != (task.n_samples, task.n_classes):
        raise ValueError(
            f"The '{name}' of {owner} must be networks or have shape (n, {task.n_samples}, "
            f"{task.n_classes}), one row per row of the task. Got {tuple(networks.shape)}."
        )
    return networks


def _measures(networks: Any, logits: Tensor, task: Task, requirement: Any) -> dict[str, Tensor]:
    values = {}
    if isinstance(requirement, MaskRequirement):
        values["measure"] = _measure_weights(networks, requirement)
    elif requirement is not None:
        cells = Cells.of(task, logits.device)
        values["measure"] = requirement.measure(logits, cells)
        if task.n_classes == 2 and hasattr(requirement, "measure_over_thresholds"):
            values["measure_over_thresholds"] = requirement.measure_over_thresholds(logits, cells)
        if hasattr(requirement, "measure_soft"):
            values["measure_soft"] = requirement.measure_soft(logits, cells)
    _, labels, _ = task.tensors(logits.device)
    correct = hard_predictions(logits).take_along_dim(labels[None, :, None], 2)
    values["accuracy"] = correct[..., 0].mean(1)
    return values


def _measure_weights(networks: Any, requirement: MaskRequirement) -> Tensor:
    if isinstance(networks, Tensor):
        raise TypeError(
            f"{type(requirement).__name__} is measured on weights. Got logits. Pass networks to "
            "measure_edits, or methods with transform to compare."
        )
    shares = Population(networks).map(requirement.measure_weights, empty=torch.empty(0))
    return shares.float().cpu()
