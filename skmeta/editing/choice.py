"""Choose a candidate within a budget of skill: :class:`Budget`, :func:`choose`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from skmeta.editing.front import Observed
from skmeta.editing.skills import Score, skill_columns

NEARLY_NEVER = 0.1
"""A class that is predicted more rarely than this share of its rows is as good as given up."""


@dataclass(frozen=True)
class Budget:
    """What an edit may cost, or what gap it must reach.

    Attributes
    ----------
    max_drop : float or None
        How far each skill may fall, in points of 1; the smallest gap within is wanted.
    max_gap : float or None
        The gap to reach; the smallest loss that reaches it is wanted. One of both is None.
    scoring : tuple of str
        Which skills.
    confidence : float
        With which a candidate must keep the bound on rows that it has not seen.
    max_recall_drop : float
        How far the recall of any class may fall.
    """

    max_drop: float | None
    max_gap: float | None
    scoring: tuple[str, ...]
    confidence: float
    max_recall_drop: float


class Choice(NamedTuple):
    """A candidate, and why.

    Attributes
    ----------
    candidate : int
        Row of the table; 0 is no edit.
    reason : str
        A sentence; empty if there is an edit.
    """

    candidate: int
    reason: str


def mean_gaps(held: Observed, seen: Observed) -> NDArray[np.float64]:
    """Average the gaps on seen and held rows by their numbers; see :func:`skill_table`."""
    n_held, n_seen = len(held.y), len(seen.y)
    return (n_seen * seen.gaps + n_held * held.gaps) / (n_seen + n_held)


def skill_table(
    held: Observed, seen: Observed, scores: Mapping[str, Score] | None = None
) -> pd.DataFrame:
    """Say what each candidate gains and loses against the first.

    Parameters
    ----------
    held : Observed
        On rows that neither network nor edit has seen.
    seen : Observed
        On the rows that the edits were made with; of these, the gaps count.
    scores : mapping of str to callable, optional
        Skills beside the accuracies, as of :func:`~skmeta.editing.skills.skill_columns`.

    Returns
    -------
    DataFrame
        ``gap``, the mean of those on seen and held rows by their numbers (seen rows are more,
        held rows are new: either alone chooses worse); ``gap_seen``, ``gap_held``; ``<skill>``,
        ``<skill>_loss`` and ``<skill>_loss_se`` on held rows, paired; ``recall_<label>`` of each
        class, and the ``largest_recall_drop`` of any; and ``degenerate`` where a class is nearly
        never predicted, on either.
    """
    columns: dict[str, NDArray] = {
        "gap": mean_gaps(held, seen),
        "gap_seen": seen.gaps,
        "gap_held": held.gaps,
    }
    columns |= skill_columns(held, scores or {})
    recalls = held.recalls()
    columns |= dict(zip(recall_columns(held), recalls.T, strict=True))
    columns["largest_recall_drop"] = (recalls[:1] - recalls).max(1)
    columns["degenerate"] = is_degenerate(held) | is_degenerate(seen)
    return pd.DataFrame(columns)


def recall_columns(observed: Observed) -> list[str]:
    """Name the columns of recalls, class by class."""
    return [f"recall_{label}" for label in observed.cells.labels]


def is_degenerate(observed: Observed) -> NDArray[np.bool_]:
    """Tell which candidates nearly never predict some class, or give outputs that are no numbers.

    Parameters
    ----------
    observed : Observed
        Decisions on rows.

    Returns
    -------
    ndarray of bool of shape (n_candidates,)
    """
    shares = np.bincount(observed.y, minlength=observed.n_classes) / len(observed.y)
    rarely = (observed.selected() < NEARLY_NEVER * shares).any(1)
    return np.asarray(rarely | (observed.decisions < 0).any(1))


def within(table: pd.DataFrame, budget: Budget) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Say which candidates may be chosen, and what each loses at most.

    Parameters
    ----------
    table : DataFrame
        Of :func:`skill_table`; the first candidate is what others are compared with.
    budget : Budget
        What is asked for.

    Returns
    -------
    allowed : ndarray of bool of shape (n_candidates,)
        The first always is, unless a gap is to be reached.
    losses : ndarray of shape (n_candidates,)
        Upper bounds at the confidence, of the skill that loses most.
    """
    z = norm.ppf(budget.confidence)
    bounds = [table[f"{s}_loss"] + z * table[f"{s}_loss_se"] for s in budget.scoring]
    losses = np.stack(bounds, axis=1).max(1)
    losses[0] = 0.0
    allowed = is_sound(table, budget)
    if budget.max_gap is not None:
        return allowed & (reached(table) <= budget.max_gap), losses
    return allowed & (losses <= budget.max_drop), losses


def is_sound(table: pd.DataFrame, budget: Budget) -> NDArray[np.bool_]:
    """Tell which candidates have given no class up; the first counts as one."""
    sound = ~table["degenerate"].to_numpy()
    sound &= (table["largest_recall_drop"] <= budget.max_recall_drop + 1e-12).to_numpy()
    sound[0] = True
    return sound


def reached(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the gap that each candidate reaches: on all rows and on those held out."""
    return np.maximum(table["gap"], table["gap_held"]).to_numpy()


def choose(table: pd.DataFrame, budget: Budget) -> Choice:
    """Choose from the table of :func:`skill_table`.

    Parameters
    ----------
    table : DataFrame
        Candidates; the first is what others are compared with.
    budget : Budget
        What is asked for.

    Returns
    -------
    Choice
    """
    allowed, losses = within(table, budget)
    gaps, which = table["gap"].to_numpy(), np.flatnonzero(allowed)
    if budget.max_gap is None:
        best = int(which[np.lexsort((losses[which], gaps[which]))[0]])
        reason = f"no candidate with a smaller gap loses at most {budget.max_drop:g}"
    elif len(which):
        best = int(which[np.lexsort((gaps[which], losses[which]))[0]])
        reason = "the gap is small enough as it is"
    else:
        nearest = reached(table[is_sound(table, budget)]).min()
        reason = (
            f"no candidate reaches a gap of {budget.max_gap:g}: {nearest:.3f} is the nearest of "
            f"those that keep max_recall_drop={budget.max_recall_drop:g}"
        )
        best = 0
    return Choice(best, "" if best else reason)
