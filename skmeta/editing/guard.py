"""Edits that went too far are taken back: :func:`roll_back`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmeta._checks import check_in_range, shown
from skmeta.datasets import Task
from skmeta.editing.measures import measure_edits
from skmeta.population import Population, run_networks
from skmeta.population.tensors import are_finite

_BOUNDS = {"max_divergence": "divergence", "max_accuracy_drop": "accuracy_change"}


def check_guard(guard: Any, owner: str) -> dict[str, float] | None:
    """Return the bounds of a guard, or raise unless they are known and not negative."""
    if guard is None:
        return None
    if not isinstance(guard, Mapping) or not guard or not set(guard) <= set(_BOUNDS):
        raise ValueError(
            f"The 'guard' parameter of {owner} must be a dict with one or both of the keys "
            f"{list(_BOUNDS)}, for instance {{'max_divergence': 0.02}}. Got {shown(guard)} instead."
        )
    for name, bound in guard.items():
        check_in_range(f"guard[{name!r}]", bound, owner=owner, low=0)
    return dict(guard)


def roll_back(
    original: Population, edited: Population, task: Task, guard: Mapping[str, float]
) -> tuple[Population, np.ndarray]:
    """Put networks back whose edit breaks a bound on the rows of a task.

    Parameters
    ----------
    original, edited : Population
        The same networks before and after.
    task : Task
        Rows to measure on.
    guard : dict
        ``max_divergence`` in nats, ``max_accuracy_drop`` as a share of the rows, or both.

    Returns
    -------
    Population
        Networks within the bounds, with finite outputs on all rows.
    ndarray of bool of shape (n,)
        Which were rolled back: they are bit by bit the originals.
    """
    before, after = run_networks(original, task), run_networks(edited, task)
    frame = measure_edits(before, after, task, None)
    # Whatever the bounds are: of outputs that are not finite nothing is known.
    within = are_finite([after]).cpu().numpy()
    if "max_divergence" in guard:
        # Comparisons with nan are false: an edit without a divergence is out of bounds.
        within &= (frame["divergence"] <= guard["max_divergence"]).to_numpy()
    if "max_accuracy_drop" in guard:
        within &= (-frame["accuracy_change"] <= guard["max_accuracy_drop"]).to_numpy()
    if within.all():
        return edited, ~within
    blocks = []
    for source, keep in ((edited, within), (original, ~within)):
        positions = np.flatnonzero(keep)
        blocks += [(positions[here], stack) for here, stack in source[positions].blocks]
    return edited.with_blocks(blocks), ~within
