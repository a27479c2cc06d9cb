"""Bootstrap intervals: over networks, paired, and over the rows of a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from skmeta._checks import check_in_range, check_rng
from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.editing.measures import paired_logits
from skmeta.population import Population
from skmeta.population.mapping import pieces
from skmeta.requirements import jensen_shannon, resolve_requirement
from skmeta.requirements.rates import hard_predictions, moved_threshold


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval.

    Attributes
    ----------
    mean : float
        Of the data, not of the resamples.
    low, high : float
        The ends.
    """

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """Bootstrap the mean over networks.

    Parameters
    ----------
    values : array-like of shape (n,)
        One value per network.
    n_bootstrap : int, default=2000
        Resamples.
    random_state : int, RandomState or None
        Seed.
    groups : array-like of shape (n,), optional
        Networks of one group are drawn together; pass the training run, as checkpoints of
        one run resemble each other.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    Interval
        ``mean``, ``low`` and ``high``.

    Examples
    --------
    >>> bootstrap_interval([1.0, 2.0, 3.0, 4.0], random_state=0)
    Interval(mean=2.5, low=1.5, high=3.5)
    """
    owner = "bootstrap_interval"
    check_in_range("n_bootstrap", n_bootstrap, owner=owner, low=1, kind="int")
    check_in_range("level", level, owner=owner, low=0, high=1, closed="neither")
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(
            f"The 'values' of {owner} must be 1-D and not empty. Got shape {values.shape}."
        )
    of_groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    if of_groups.shape != values.shape:
        raise ValueError(
            f"The 'groups' of {owner} must be one for each of the {len(values)} values. Got "
            f"{groups!r}."
        )
    _, codes = np.unique(of_groups, return_inverse=True)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    # How often each group is drawn is all that a mean needs to know of a resample.
    draws = _draws(check_rng(random_state), len(sums), n_bootstrap)
    low, high = _ends((draws @ sums) / (draws @ sizes), level)
    return Interval(float(values.mean()), float(low), float(high))


def runs_of(population: Population) -> NDArray[Any] | None:
    """Return the training run of each network, if the population knows it, to resample by."""
    known = "run" in population.metadata
    return population.metadata["run"].to_numpy() if known else None


def paired_interval(
    a: ArrayLike,
    b: ArrayLike,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """Bootstrap the mean difference ``a - b`` of two methods on the same networks.

    Parameters
    ----------
    a, b : array-like of shape (n,)
        Values of the same networks in the same order.
    n_bootstrap : int, default=2000
        Resamples.
    random_state : int, RandomState or None
        Seed.
    groups : array-like of shape (n,), optional
        Networks that are drawn together, as in :func:`bootstrap_interval`.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    Interval
        Of the difference; an interval without 0 says that the methods differ.

    Examples
    --------
    >>> paired_interval([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], random_state=0)
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(
            "The 'a' and 'b' of paired_interval must hold the same networks. Got shapes "
            f"{a.shape} and {b.shape}."
        )
    return bootstrap_interval(a - b, n_bootstrap, random_state, groups=groups, level=level)


def network_intervals(
    original_logits: Tensor,
    edited_logits: Tensor,
    task: Task,
    requirement: Any = "equalized_odds",
    *,
    n_bootstrap: int = 500,
    random_state: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Bootstrap the rows of the task within each (label, group) cell, network by network.

    Says how much of a network's measurement is luck of the rows. Before and after are
    resampled together, so changes have intervals of their own.

    Parameters
    ----------
    original_logits, edited_logits : Tensor of shape (n, n_samples, n_classes)
        Predictions of the rows before and after; or networks, which are run on them.
    task : Task
        The rows, with labels.
    requirement : str, Requirement or None, default="equalized_odds"
        Must be a function of rates per cell, ``of_rates(rates, frequencies)``. None leaves
        the measure out.
    n_bootstrap : int, default=500
        Resamples, the same for all networks.
    random_state : int, RandomState or None
        Seed.
    level : float, default=0.95
        Coverage.

    Returns
    -------
    DataFrame
        One row per network: ``_low`` and ``_high`` of ``divergence``, ``measure``,
        ``measure_change``, ``accuracy`` and ``accuracy_change``. A measure that is a largest
        difference is biased upwards in resamples; trust the intervals of changes first.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Task
    >>> from skmeta.editing import network_intervals
    >>> task = Task([[0.0]] * 4, [0, 1, 0, 1], sensitive_features=["f", "f", "m", "m"])
    >>> logits = torch.tensor([[[1.0, 0], [1, 0], [1, 0], [0, 1]]])
    >>> network_intervals(logits, logits, task, random_state=0)[["measure_low", "measure_high"]]
       measure_low  measure_high
    0          1.0           1.0
    """
    owner = "network_intervals"
    check_in_range("n_bootstrap", n_bootstrap, owner=owner, low=1, kind="int")
    check_in_range("level", level, owner=owner, low=0, high=1, closed="neither")
    check_task(task, owner)
    if requirement is not None:
        requirement = resolve_requirement(requirement, owner)
        if requirement.needs_sensitive:
            task.require_sensitive(owner)
    if requirement is not None and not hasattr(requirement, "of_rates"):
        raise TypeError(
            f"The 'requirement' of {owner} must be a function of rates per cell, with a method "
            f"of_rates. Got {requirement!r} instead. Use bootstrap_interval over networks."
        )
    pair = {"original_logits": original_logits, "edited_logits": edited_logits}
    original_logits, edited_logits = paired_logits(pair, task, owner)
    cells, rng = Cells.of(task), check_rng(random_state)
    if requirement is not None:
        requirement.check_cells(cells)
    # One set of draws for all networks: how often each row of a cell occurs, over its size.
    sizes = cells.counts.flatten().tolist()
    draws = [
        torch.from_numpy(_draws(rng, size, n_bootstrap) / max(size, 1)).float() for size in sizes
    ]
    members = [(cells.codes == c).nonzero().flatten() for c in range(len(sizes))]
    frames = []
    # Rates before and after, and the divergence, on all rows; means of them per resample.
    grid = (0.5, *(t for t in getattr(requirement, "thresholds", ()) if t != 0.5))
    n_values = 2 * len(grid) * task.n_classes + 1
    held = n_values * (task.n_samples + len(sizes) * n_bootstrap)
    for part in pieces(len(original_logits), held, original_logits.device):
        both = original_logits[part], edited_logits[part]
        means = _resampled_means(*both, grid, members, draws)
        frames.append(pd.DataFrame(dict(_columns(means, grid, cells, requirement, level))))
    return pd.concat(frames, ignore_index=True)


def _draws(rng: np.random.Generator, n: int, n_bootstrap: int) -> NDArray[np.int64]:
    """How often each of n things occurs in each resample, ``(n_bootstrap, n)``."""
    if n == 0:  # a cell without rows
        return np.empty((n_bootstrap, 0), dtype=np.int64)
    return rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap)


def _ends(values: NDArray[np.floating], level: float) -> NDArray[np.floating]:
    """Percentiles over the first axis."""
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)


def _resampled_means(
    before: Tensor,
    after: Tensor,
    grid: Sequence[float],
    members: list[Tensor],
    draws: list[Tensor],
) -> Tensor:
    """Means per resample, network and cell, ``(n_bootstrap, n, n_cells, 2 T K + 1)``.

    The last axis holds the rates of the K classes before, at each of T thresholds, those after,
    and the divergence.
    """
    decided = [hard_predictions(moved_threshold(z, t)) for z in (before, after) for t in grid]
    values = torch.cat([*decided, jensen_shannon(before, after)[..., None]], -1).float().cpu()
    parts = []
    for rows, draw in zip(members, draws, strict=True):
        flat = values[:, rows].transpose(0, 1).flatten(1)  # (n_rows, n * (2 K + 1))
        parts.append((draw @ flat).unflatten(1, (len(values), values.shape[2])))
    return torch.stack(parts, 2)


def _columns(
    means: Tensor, grid: Sequence[float], cells: Cells, requirement: Any, level: float
) -> Iterator[tuple[str, NDArray[np.floating]]]:
    n_labels, n_groups = cells.frequencies.shape
    rates = means.unflatten(2, (n_labels, n_groups))
    share = cells.frequencies.float()
    measures, accuracies = [], []
    for part in rates[..., :-1].chunk(2, -1):
        decided = dict(zip(grid, part.chunk(len(grid), -1), strict=True))
        if requirement is not None:
            each = [
                requirement.of_rates(decided[t].flatten(0, 1), cells.frequencies)
                for t in getattr(requirement, "thresholds", (0.5,))
            ]
            measures.append(torch.stack(each).mean(0).unflatten(0, means.shape[:2]))
        correct = decided[0.5].diagonal(dim1=2, dim2=4).transpose(-1, -2)  # (B, n, label, group)
        accuracies.append((correct * share).sum((-1, -2)))
    quantities = {"divergence": (rates[..., -1] * share).sum((-1, -2))}
    for name, values in (("measure", measures), ("accuracy", accuracies)):
        if values:
            before, after = values
            quantities |= {name: after, f"{name}_change": after - before}
    for name, values in quantities.items():
        low, high = _ends(values.numpy(), level)
        yield f"{name}_low", low
        yield f"{name}_high", high
