"""Which points no other point beats: :func:`pareto_front`."""

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
