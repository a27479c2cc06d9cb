"""How much of a measured gap is luck: :func:`chance_of_gap`, :func:`gap_changes`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from skmeta.datasets import stratified_folds
from skmeta.editing.choice import skill_table
from skmeta.editing.front import Observed
from skmeta.requirements import GroupFairness

_N_DRAWS = 400
_N_FOLDS = 5


def chance_of_gap(observed: Observed, requirement: GroupFairness) -> float:
    """Say how often groups drawn by lot have a gap as large as the first candidate's.

    The groups of the rows are permuted, among rows of one label if the requirement compares
    groups label by label. A measure that is a largest absolute difference is never 0, and large
    by chance where groups are small.

    Parameters
    ----------
    observed : Observed
        Decisions; those of the first candidate are looked at.
    requirement : GroupFairness
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
    decided = one_hot(
        torch.from_numpy(observed.decisions[0].clip(0)).long(), observed.n_classes
    ).double()
    rates, frequencies = [], []
    for label in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == label)
        by_lot = rng.permuted(np.tile(groups[rows], (_N_DRAWS, 1)), axis=1)
        members = one_hot(torch.from_numpy(np.concatenate([groups[rows][None], by_lot])), n_groups)
        sizes = members[0].sum(0).double()
        sums = members.double().transpose(1, 2) @ decided[rows]
        rates.append(sums / sizes[:, None].clamp_min(1))
        frequencies.append(sizes / len(labels))
    gaps = requirement.of_rates(torch.stack(rates, 1), torch.stack(frequencies))
    return float((gaps[1:] >= gaps[0] - 1e-12).double().mean())


def gap_changes(
    pair: Observed, requirement: GroupFairness, n_bootstrap: int, random_state: int
) -> NDArray[np.float64]:
    """Resample the rows within label and group, and measure how an edit changes the gap.

    Parameters
    ----------
    pair : Observed
        Decisions before and after.
    requirement : GroupFairness
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
            draws = rng.multinomial(n, counts / n, size=n_bootstrap) / n
            rates[:, cell] = draws.reshape(-1, n_classes, n_classes)
    before, after = (
        requirement.of_rates(
            torch.from_numpy(rates.sum(axis)).unflatten(1, shape), pair.cells.frequencies
        ).numpy()
        for axis in (3, 2)
    )
    return after - before


def expected_gap(
    held: Observed, seen: Observed, allowed: NDArray[np.bool_], requirement: GroupFairness
) -> float:
    """Say which gap to expect on new rows, where the choice of the smallest has not looked.

    The smallest is chosen again without each fifth of the held-out rows, and decides on that
    fifth: the gap of these decisions is free of the luck of the choice.

    Parameters
    ----------
    held, seen : Observed
        As of :func:`~skmeta.editing.choice.skill_table`.
    allowed : ndarray of bool of shape (n_candidates,)
        Candidates within the budget.
    requirement : GroupFairness
        Whose gap.

    Returns
    -------
    float
    """
    folds = stratified_folds(held.cells.codes.numpy(), _N_FOLDS, 0)
    decided = np.empty(len(held.y), dtype=np.int64)
    for fold in range(_N_FOLDS):
        rest = rows_of(held, folds != fold, requirement)
        gaps = skill_table(rest, seen)["gap"].to_numpy()
        chosen = int(np.where(allowed, gaps, np.inf).argmin())
        decided[folds == fold] = held.decisions[chosen, folds == fold]
    return float(gaps_of(decided[None], held, requirement)[0])


def rows_of(observed: Observed, rows: NDArray[np.bool_], requirement: GroupFairness) -> Observed:
    """Look at some rows only.

    Parameters
    ----------
    observed : Observed
        Decisions on all rows.
    rows : ndarray of bool of shape (n_samples,)
        Which to keep; of every cell that there is.
    requirement : GroupFairness
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
        cells=replace(cells, frequencies=counts / counts.sum()),
    )
    return replace(part, gaps=gaps_of(part.decisions, part, requirement))


def gaps_of(
    decisions: NDArray[np.integer], observed: Observed, requirement: GroupFairness
) -> NDArray[np.float64]:
    """Measure decisions.

    Parameters
    ----------
    decisions : ndarray of int of shape (n, n_samples)
        Predicted classes.
    observed : Observed
        Whose labels and groups these rows have.
    requirement : GroupFairness
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
    return requirement.of_rates(rates_of_cells, observed.cells.frequencies).numpy()
