"""Choose a candidate within a budget of skill: :class:`Budget`, :func:`choose`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from skmeta.editing.front import Observed, per_class

SKILLS = ("accuracy", "balanced_accuracy")

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
        Row of the table; 0 is the network as it is.
    reason : str
        A sentence; empty if there is an edit.
    """

    candidate: int
    reason: str


def skill_table(held: Observed, seen: Observed) -> pd.DataFrame:
    """Say what each candidate gains and loses against the first.

    Parameters
    ----------
    held : Observed
        On rows that neither network nor edit has seen. The standard errors include that networks
        of several folds differ: what is handed out is yet another one.
    seen : Observed
        On the rows that the edits were made with; of these, the gaps count.

    Returns
    -------
    DataFrame
        ``gap``, the mean of those on seen and held rows by their numbers (seen rows are more,
        held rows are new: either alone chooses worse); ``gap_seen``, ``gap_held``; ``<skill>``,
        ``<skill>_loss`` and ``<skill>_loss_se`` on held rows, paired; ``recall_<label>`` of each
        class; and ``degenerate`` where a class is nearly never predicted, on either.
    """
    n_held, n_seen = len(held.y), len(seen.y)
    columns: dict[str, NDArray] = {
        "gap": (n_seen * seen.gaps + n_held * held.gaps) / (n_seen + n_held),
        "gap_seen": seen.gaps,
        "gap_held": held.gaps,
    }
    # With equal weights of classes, or of rows.
    right = (held.decisions == held.y).astype(np.float64)
    shares = np.bincount(held.y, minlength=held.n_classes) / n_held
    lost = right[:1] - right
    members = held.y == np.arange(held.n_classes)[:, None]
    means, spread = _means_and_spread(lost, members)
    recalls = held.recalls()
    for skill in SKILLS:
        weights = shares if skill == "accuracy" else np.full(len(shares), 1 / len(shares))
        # Where a class has no rows, accuracy does without, and there is no balanced accuracy.
        counts = weights > 0
        columns[skill] = recalls[:, counts] @ weights[counts]
        columns[f"{skill}_loss"] = means[:, counts] @ weights[counts]
        variance = spread[:, counts] @ weights[counts] ** 2
        if held.folds is not None:
            variance += _between_folds(lost, members[counts], held.folds, weights[counts])
        columns[f"{skill}_loss_se"] = np.sqrt(variance)
    labels = held.cells.labels
    columns |= {f"recall_{label}": recalls[:, k] for k, label in enumerate(labels)}
    columns["degenerate"] = is_degenerate(held) | is_degenerate(seen)
    return pd.DataFrame(columns)


def _means_and_spread(
    lost: NDArray[np.float64], members: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each class, and the squares of its standard error."""
    means = per_class(lost, members)
    spread = (per_class(lost**2, members) - means**2) / members.sum(1).clip(1)
    return means, spread.clip(0)


def _between_folds(
    lost: NDArray[np.float64],
    members: NDArray[np.bool_],
    folds: NDArray[np.intp],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return by how much the losses of folds vary, beyond the luck of their rows."""
    losses, lucks = [], []
    for fold in np.unique(folds):
        rows = folds == fold
        means, spread = _means_and_spread(lost[:, rows], members[:, rows])
        losses.append(np.nan_to_num(means) @ weights)
        lucks.append(np.nan_to_num(spread) @ weights**2)
    return (np.var(losses, axis=0, ddof=1) - np.mean(lucks, axis=0)).clip(0)


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
        Of :func:`skill_table`; the first candidate is the network as it is.
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
    recalls = table.filter(regex=r"^recall_").to_numpy()
    allowed = ~table["degenerate"].to_numpy()
    allowed &= (recalls[0] - recalls <= budget.max_recall_drop + 1e-12).all(1)
    allowed[0] = True
    if budget.max_gap is not None:
        return allowed & (reached(table) <= budget.max_gap), losses
    return allowed & (losses <= budget.max_drop), losses


def reached(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the gap that each candidate reaches: on all rows and on those held out."""
    return np.maximum(table["gap"], table["gap_held"]).to_numpy()


def choose(table: pd.DataFrame, budget: Budget) -> Choice:
    """Choose from the table of :func:`skill_table`.

    Parameters
    ----------
    table : DataFrame
        Candidates; the first is the network as it is.
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
        nearest = reached(table[~table["degenerate"]]).min()
        reason = f"no candidate reaches a gap of {budget.max_gap:g}: {nearest:.3f} is the nearest"
        best = 0
    return Choice(best, "" if best else reason)
