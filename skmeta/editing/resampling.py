"""How much of a measured gap is luck: :func:`confirmed`, :func:`expected_gap`."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from skmeta.datasets import stratified_folds
from skmeta.editing.choice import Choice, mean_gaps
from skmeta.editing.front import Observed
from skmeta.requirements import Requirement
from skmeta.requirements.joint import group_parts

CHANCE = 0.05
"""A gap that groups drawn by lot have more often is not edited."""

_N_DRAWS = 400
_N_BOOTSTRAP = 500
_N_FOLDS = 5


def chance_of_gap(observed: Observed, requirement: Requirement) -> float:
    """Say how often groups drawn by lot differ as much as those of the rows do.

    The groups of the rows are permuted, among rows of one label if the requirement compares
    groups label by label. What is compared is the largest chi-square among the rates that the
    requirement compares: each difference counts in its own standard errors. The gap itself, a
    largest difference, would be ruled by the rate of the fewest rows, and a sure difference in
    another one would not be heard.

    Parameters
    ----------
    observed : Observed
        Decisions; those of the first candidate are looked at.
    requirement : Requirement
        Whose gap.

    Returns
    -------
    float
        Share of the permutations, a p-value.
    """
    rng = np.random.default_rng(0)
    n_groups = observed.cells.frequencies.shape[1]
    groups = observed.cells.codes.numpy() % n_groups
    labels = observed.y if requirement.needs_labels else np.zeros_like(observed.y)
    decided = observed.decisions[0].clip(0)
    excess, variance = [], []  # of each label: beyond what is expected of groups by lot
    for label in range(int(labels.max()) + 1):
        rows = labels == label
        # How often each group decides for each class is all that a permutation changes.
        counts = np.zeros((n_groups, observed.n_classes), dtype=np.int64)
        np.add.at(counts, (groups[rows], decided[rows]), 1)
        draws = np.stack([counts, *(_by_lot(counts, rng) for _ in range(_N_DRAWS))])
        sizes, rates = counts.sum(1)[:, None], counts.sum(0) / max(counts.sum(), 1)
        excess.append(draws - sizes * rates)
        variance.append(sizes * rates * (1 - rates))
    statistics = []
    parts = group_parts(requirement)
    for k, compared in chain(*(part.compared_rates(observed.n_classes) for _, part in parts)):
        which = compared if requirement.needs_labels else [0]
        squares = np.sum([excess[y][..., k] for y in which], axis=0) ** 2
        spread = np.sum([variance[y][:, k] for y in which], axis=0)
        statistics.append((squares / np.where(spread > 0, spread, np.inf)).sum(1))
    largest = np.max(statistics, axis=0)
    # A chi-square grows with the number of rows, of which some may be copies.
    return float((largest[1:] >= largest[0] * observed.evidence * (1 - 1e-9)).mean())


def _by_lot(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a table ``(n_groups, n_classes)`` with the sums of another: groups by lot."""
    left, drawn = counts.sum(0), np.empty_like(counts)
    for group, size in enumerate(counts.sum(1)):
        drawn[group] = rng.multivariate_hypergeometric(left, size)
        left = left - drawn[group]
    return drawn


def gap_changes(
    pair: Observed, requirement: Requirement, n_bootstrap: int, random_state: int
) -> NDArray[np.float64]:
    """Resample the rows within label and group, and measure how an edit changes the gap.

    Parameters
    ----------
    pair : Observed
        Decisions before and after.
    requirement : Requirement
        Whose gap.
    n_bootstrap : int
        Resamples.
    random_state : int
        Seed of these.

    Returns
    -------
    ndarray of shape (n_bootstrap,)
        Differences, after minus before, on the same resampled rows.
    """
    rng, n_classes = np.random.default_rng(random_state), pair.n_classes
    shape = pair.cells.frequencies.shape
    # How often each pair of decisions occurs in a cell is all that a resample needs to know.
    joined = pair.decisions[0].clip(0).astype(int) * n_classes + pair.decisions[1].clip(0)
    rates = np.zeros((n_bootstrap, shape[0] * shape[1], n_classes, n_classes))
    codes = pair.cells.codes.numpy()
    for cell in range(shape[0] * shape[1]):
        counts = np.bincount(joined[codes == cell], minlength=n_classes**2)
        if n := counts.sum():
            n_drawn = max(round(n * pair.evidence), 1)
            draws = rng.multinomial(n_drawn, counts / n, size=n_bootstrap) / n_drawn
            rates[:, cell] = draws.reshape(-1, n_classes, n_classes)
    before, after = (
        _of_rates(
            requirement,
            torch.from_numpy(rates.sum(axis)).unflatten(1, shape),
            pair.cells.frequencies,
        )
        for axis in (3, 2)
    )
    return after - before


def confirmed(
    choice: Choice,
    held: Observed,
    seen: Observed | None,
    requirement: Requirement | None,
    confidence: float,
) -> Choice:
    """Keep the first candidate if its gap, or the smaller one, could be the luck of the rows.

    Without this, small groups are edited for their noise: on tables with a few hundred rows the
    gap on new rows grew.

    Parameters
    ----------
    choice : Choice
        Of a candidate.
    held : Observed
        On rows held out.
    seen : Observed or None
        On other rows, which speak, too; none if all rows were held out.
    requirement : Requirement or None
        Whose gap; one that does not compare rates of groups is not looked into.
    confidence : float
        With which the change of the gap must be below zero.

    Returns
    -------
    Choice
        The same, or the first candidate and why.
    """
    if choice.candidate == 0 or requirement is None or not group_parts(requirement):
        return choice
    held = held.of([0, choice.candidate])
    rows = held if seen is None else joined(seen.of([0, choice.candidate]), held, requirement)
    # A network may know the rows of its training by heart, and have no gap there.
    chance = min(chance_of_gap(part, requirement) for part in (held, rows))
    if chance > CHANCE:
        return Choice(
            0,
            f"the gap of {held.gaps[0]:.3f} could be chance: groups drawn by lot differ "
            f"as much in {100 * chance:.0f} % of draws",
        )
    before, after = rows.gaps
    changes = gap_changes(rows, requirement, _N_BOOTSTRAP, 0)
    # Around the change that was measured: noise adds to a largest difference, once more in a
    # resample, and most where the gap is small.
    if np.quantile(changes - changes.mean(), confidence) < before - after:
        return choice
    return Choice(
        0,
        f"the smallest gap within the budget, {after:.3f} against {before:.3f}, could be the luck "
        f"of {len(rows.y) * rows.evidence:.0f} rows",
    )


def joined(first: Observed, second: Observed, requirement: Requirement) -> Observed:
    """Put the rows of two together, and measure the decisions on all.

    Parameters
    ----------
    first, second : Observed
        The same candidates on different rows.
    requirement : Requirement
        What is measured.

    Returns
    -------
    Observed
    """
    cells = replace(first.cells, codes=torch.cat([first.cells.codes, second.cells.codes]))
    counts = cells.counts.double()
    both = Observed(
        np.concatenate([first.decisions, second.decisions], axis=1),
        first.gaps,
        np.concatenate([first.y, second.y]),
        replace(cells, frequencies=counts / counts.sum()),
        evidence=first.evidence,
    )
    return replace(both, gaps=gaps_of(both.decisions, both, requirement))


def expected_gap(
    held: Observed, seen: Observed, allowed: NDArray[np.bool_], requirement: Requirement
) -> float:
    """Say which gap to expect on new rows, where the choice of the smallest has not looked.

    The smallest is chosen again without each fifth of the held-out rows, and decides on that
    fifth: the gap of these decisions is free of the luck of the choice.

    Parameters
    ----------
    held, seen : Observed
        As of :func:`~skmeta.editing.choice.mean_gaps`.
    allowed : ndarray of bool of shape (n_candidates,)
        Candidates within the budget.
    requirement : Requirement
        Whose gap.

    Returns
    -------
    float
    """
    ids = np.arange(len(held.y)) if held.ids is None else held.ids
    _, first, copy_of = np.unique(ids, return_index=True, return_inverse=True)
    folds = stratified_folds(held.cells.codes.numpy()[first], _N_FOLDS, 0)[copy_of]
    decided = np.empty(len(held.y), dtype=np.int64)
    for fold in range(_N_FOLDS):
        rest = rows_of(held, folds != fold, requirement)
        chosen = int(np.where(allowed, mean_gaps(rest, seen), np.inf).argmin())
        decided[folds == fold] = held.decisions[chosen, folds == fold]
    return float(gaps_of(decided[None], held, requirement)[0])


def rows_of(observed: Observed, rows: NDArray[np.bool_], requirement: Requirement) -> Observed:
    """Look at some rows only.

    Parameters
    ----------
    observed : Observed
        Decisions on all rows.
    rows : ndarray of bool of shape (n_samples,)
        Which to keep; of every cell that there is.
    requirement : Requirement
        Measured on these, at the decisions.

    Returns
    -------
    Observed
    """
    cells = replace(observed.cells, codes=observed.cells.codes[torch.from_numpy(rows)])
    counts = cells.counts.double()
    part = replace(
        observed,
        decisions=observed.decisions[:, rows],
        y=observed.y[rows],
        folds=None if observed.folds is None else observed.folds[rows],
        ids=None if observed.ids is None else observed.ids[rows],
        cells=replace(cells, frequencies=counts / counts.sum()),
    )
    return replace(part, gaps=gaps_of(part.decisions, part, requirement))


def gaps_of(
    decisions: NDArray[np.integer], observed: Observed, requirement: Requirement
) -> NDArray[np.float64]:
    """Measure decisions.

    Parameters
    ----------
    decisions : ndarray of int of shape (n, n_samples)
        Predicted classes.
    observed : Observed
        Whose labels and groups these rows have.
    requirement : Requirement
        What is measured.

    Returns
    -------
    ndarray of shape (n,)
    """
    shape = observed.cells.frequencies.shape
    members = one_hot(observed.cells.codes, shape[0] * shape[1]).double()
    shares = members / members.sum(0).clamp_min(1)
    rates = [
        torch.from_numpy((decisions == k).astype(np.float64)) @ shares
        for k in range(observed.n_classes)
    ]
    rates_of_cells = torch.stack(rates, -1).unflatten(1, shape)
    return _of_rates(requirement, rates_of_cells, observed.cells.frequencies)


def _of_rates(requirement: Requirement, rates: Tensor, frequencies: Tensor) -> NDArray[np.float64]:
    """Measure rates; several requirements of groups are a weighted sum."""
    gaps = [w * part.of_rates(rates, frequencies) for w, part in group_parts(requirement)]
    return np.asarray(torch.stack(gaps).sum(0).numpy())
