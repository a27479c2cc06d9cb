"""Choose a candidate of a search by two scores: bound one, take the best of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from skmeta._checks import check_in_range, shown

Refit = Callable[[Mapping[str, Any]], int]
"""The ``refit`` of GridSearchCV: from ``cv_results_`` to ``best_index_``."""


def least_divergence(
    *, max_violation: float, measure: str = "neg_measure", divergence: str = "neg_divergence"
) -> Refit:
    """Choose the smallest divergence among candidates whose measure keeps a bound.

    Parameters
    ----------
    max_violation : float
        Bound on the mean measure over the folds.
    measure, divergence : str
        Names of the scores in :class:`EditScorer`, where less is more negative: the columns
        ``mean_test_<name>`` of ``cv_results_``. With ``measure=
        "neg_measure_over_thresholds"`` moving scores just past .5 does not pay.

    Returns
    -------
    callable
        For ``GridSearchCV(refit=...)``. A candidate with a nan fold is not chosen. It raises
        a ValueError if no candidate keeps the bound.

    Examples
    --------
    >>> from skmeta.evaluation import least_divergence
    >>> cv_results = {
    ...     "params": [{"lam": 0.1}, {"lam": 0.3}, {"lam": 1.0}],
    ...     "mean_test_neg_divergence": [-0.001, -0.003, -0.008],
    ...     "mean_test_neg_measure": [-0.12, -0.06, -0.02],
    ... }
    >>> least_divergence(max_violation=0.07)(cv_results)
    1
    >>> least_divergence(max_violation=0.01)(cv_results)
    Traceback (most recent call last):
        ...
    ValueError: No candidate keeps max_violation=0.01. The best reachable mean of 'neg_measure'
    is 0.02, with {'lam': 1.0}. Allow at least that, or search further, for instance with a
    larger lam.
    """
    check_in_range("max_violation", max_violation, owner="least_divergence", low=0)
    return partial(
        _choose,
        bound=("max_violation", max_violation),
        bounded=measure,
        minimised=divergence,
        way_out="larger",
    )


def least_violation(
    *, max_divergence: float, measure: str = "neg_measure", divergence: str = "neg_divergence"
) -> Refit:
    """Choose the smallest measure among candidates whose divergence keeps a bound.

    Parameters
    ----------
    max_divergence : float
        Bound on the mean divergence over the folds, in nats. Handing back another network
        of the population has a divergence, too (see :class:`skmeta.baselines.Swap`): a
        larger bound buys no edit.
    measure, divergence : str
        As in :func:`least_divergence`.

    Returns
    -------
    callable
        As in :func:`least_divergence`.

    Examples
    --------
    >>> from skmeta.evaluation import least_violation
    >>> cv_results = {
    ...     "params": [{"lam": 0.1}, {"lam": 0.3}, {"lam": 1.0}],
    ...     "mean_test_neg_divergence": [-0.001, -0.003, -0.008],
    ...     "mean_test_neg_measure": [-0.12, -0.06, -0.02],
    ... }
    >>> least_violation(max_divergence=0.005)(cv_results)
    1
    """
    check_in_range("max_divergence", max_divergence, owner="least_violation", low=0)
    return partial(
        _choose,
        bound=("max_divergence", max_divergence),
        bounded=divergence,
        minimised=measure,
        way_out="smaller",
    )


def mean_of(cv_results: Mapping[str, Any], name: str) -> np.ndarray:
    """Return minus a score's mean over the folds, one value per candidate; less is better."""
    column = f"mean_test_{name}"
    if column not in cv_results:
        there = [c.removeprefix("mean_test_") for c in cv_results if c.startswith("mean_test_")]
        raise ValueError(
            f"There is no score {name!r} in cv_results. It has {there}. Search with "
            "scoring=EditScorer(), or name the scores in the parameters 'measure' and "
            "'divergence'."
        )
    return -np.asarray(cv_results[column], dtype=np.float64)


def _choose(
    cv_results: Mapping[str, Any],
    *,
    bound: tuple[str, float],
    bounded: str,
    minimised: str,
    way_out: str,
) -> int:
    """Return the index of the candidate; of equal ones that with the smaller bounded value."""
    limited, value = mean_of(cv_results, bounded), mean_of(cv_results, minimised)
    failed = np.isnan(limited) | np.isnan(value)
    if failed.all():
        raise ValueError(
            "Every candidate of the search has a fold without scores. Search with "
            "error_score='raise' to see why."
        )
    limited = np.where(failed, np.inf, limited)
    kept = np.flatnonzero(limited <= bound[1])
    if not len(kept):
        best = int(limited.argmin())
        raise ValueError(
            f"No candidate keeps {bound[0]}={bound[1]:g}. The best reachable mean of "
            f"{bounded!r} is {limited[best]:.3g}, with {shown(cv_results['params'][best])}. Allow "
            f"at least that, or search further, for instance with a {way_out} lam."
        )
    return int(kept[np.lexsort((limited[kept], value[kept]))[0]])
