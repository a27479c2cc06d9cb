"""Fronts: which points no other point beats, and how much a set of points dominates."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(points: ArrayLike) -> NDArray[np.bool_]:
    """Find the points that no other point dominates; less is better on every axis.

    Parameters
    ----------
    points : array-like of shape (n, n_axes)
        For instance divergence and measure of several methods. A point with a nan is on no
        front.

    Returns
    -------
    ndarray of bool of shape (n,)
        Equal points are on the front together.

    Examples
    --------
    >>> from skmeta.evaluation import pareto_front
    >>> pareto_front([[0, 3], [1, 1], [2, 2], [3, 0]])
    array([ True,  True, False,  True])
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(
            f"The 'points' of pareto_front must have shape (n, n_axes). Got {points.shape}."
        )
    no_worse = (points[:, None] <= points[None]).all(-1)
    better = (points[:, None] < points[None]).any(-1)
    return ~(no_worse & better).any(0) & ~np.isnan(points).any(1)


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Area that points dominate below a reference; less is better on both axes.

    Parameters
    ----------
    points : array-like of shape (n, 2)
        For instance divergence and measure of one method at several lam. They need not be
        on a front. Points beyond the reference on an axis, and points with a nan,
        contribute nothing.
    reference : array-like of shape (2,)
        The worst that is of interest, for instance a divergence of .004 and the measure of
        doing nothing. Areas of one reference compare methods.

    Returns
    -------
    float
        In the product of the axes' units; larger is better.

    Examples
    --------
    >>> from skmeta.evaluation import hypervolume
    >>> hypervolume([[0, 2], [1, 1], [9, 0]], reference=[3, 3])
    5.0
    """
    points, reference = (np.asarray(x, dtype=np.float64) for x in (points, reference))
    if points.ndim != 2 or points.shape[1] != 2 or reference.shape != (2,):
        raise ValueError(
            "hypervolume has two axes: 'points' must have shape (n, 2) and 'reference' (2,). Got "
            f"{points.shape} and {reference.shape}."
        )
    if not np.isfinite(reference).all() or np.isneginf(points).any():
        raise ValueError(
            "The 'reference' of hypervolume must be finite, and no point may be minus infinity: "
            f"the area would not be finite. Got {reference.tolist()} as the reference. Pass the "
            "worst that is of interest on both axes."
        )
    inside = points[(points < reference).all(1)]
    x, y = inside[inside[:, 0].argsort()].T
    # From each point to the next, the lowest so far dominates all above it.
    widths = np.diff(x, append=reference[0])
    return float(widths @ (reference[1] - np.minimum.accumulate(y)))
