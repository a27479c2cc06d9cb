"""What an edit has done, in one word: :func:`verdict`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from skmeta.editing.choice import is_degenerate, skill_table
from skmeta.editing.front import Observed
from skmeta.editing.resampling import gap_changes
from skmeta.editing.skills import Score
from skmeta.requirements import DemographicParity, Requirement
from skmeta.requirements.joint import group_parts

STATUSES = {
    "reduced": "the gap is smaller, and skill was kept",
    "unclear": "the rows do not tell whether the gap has changed",
    "raised": "the gap is larger",
    "levelled down": "the gap is smaller mainly because the better-off group got worse",
    "skill lost": "the classifier got worse than was allowed, or as good as constant",
    "kept": "no decision has changed",
    "rolled back": "the guard has taken the edit back",
}
"""What each status means."""


def verdict(
    pair: Observed,
    requirement: Requirement | None,
    max_drops: Mapping[str, float],
    max_recall_drop: float,
    *,
    scores: Mapping[str, Score] | None = None,
    n_bootstrap: int = 500,
    random_state: int = 0,
) -> str:
    """Name what an edit has done.

    Parameters
    ----------
    pair : Observed
        Decisions before and after, on the same rows.
    requirement : Requirement or None
        What the edit was for.
    max_drops : mapping of str to float
        How far each skill may fall: more than that by more than a standard error is too far.
    max_recall_drop : float
        How far the recall of any class may fall.
    scores : mapping of str to callable, optional
        Of the skills that are not accuracies.
    n_bootstrap : int, default=500
        Resamples of the rows within label and group.
    random_state : int, default=0
        Seed of these.

    Returns
    -------
    str
        A key of :data:`STATUSES`.
    """
    if np.array_equal(*pair.decisions):
        return "kept"
    table = skill_table(pair, pair, scores)
    after = table.iloc[1]
    too_far = any(
        after[f"{skill}_loss"] - after[f"{skill}_loss_se"] > drop
        for skill, drop in max_drops.items()
    )
    recalls = pair.recalls()
    too_far |= bool((recalls[0] - recalls[1] > max_recall_drop).any())
    if too_far or is_degenerate(pair)[1]:
        return "skill lost"
    parts = group_parts(requirement)
    if requirement is None or not parts:
        return "unclear"
    low, high = np.quantile(
        gap_changes(pair, requirement, n_bootstrap, random_state), [0.025, 0.975]
    )
    if low > 0:
        return "raised"
    if high >= 0:
        return "unclear"
    return "levelled down" if is_levelled_down(pair, parts[0][1]) else "reduced"


def is_levelled_down(pair: Observed, requirement: Requirement) -> bool:
    """Tell whether a gap has closed more by the fall of the better-off group than by a rise.

    Groups are better off where more of their rows are classified right, in the label and between
    the groups where that differs most before; for demographic parity, where more of their rows
    get the last class, which counts as the favourable one.

    Parameters
    ----------
    pair : Observed
        Decisions before and after.
    requirement : Requirement
        What the edit was for.

    Returns
    -------
    bool
    """
    before, after = _goods(pair, requirement)
    label = int(np.ptp(before, axis=1).argmax())
    best, worst = int(before[label].argmax()), int(before[label].argmin())
    fall, rise = (
        before[label, best] - after[label, best],
        after[label, worst] - before[label, worst],
    )
    return bool(fall > max(rise, 0.0))


def _goods(pair: Observed, requirement: Requirement) -> NDArray[np.float64]:
    """Return the rates that are good to have, ``(2, n_labels or 1, n_groups)``."""
    n_groups = pair.cells.frequencies.shape[1]
    groups = pair.cells.codes.numpy() % n_groups
    if isinstance(requirement, DemographicParity):
        good, labels = pair.decisions == pair.n_classes - 1, np.zeros_like(pair.y)
    else:
        good, labels = pair.decisions == pair.y, pair.y
    sums = [
        [good[:, (labels == y) & (groups == s)].mean(1) for s in range(n_groups)]
        for y in range(int(labels.max()) + 1)
    ]
    return np.array(sums).transpose(2, 0, 1)
