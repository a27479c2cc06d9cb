"""Folds with rows of every cell: :func:`stratified_folds`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmeta._checks import check_in_range, check_rng


def stratified_folds(
    cells: NDArray[np.int64], n_folds: int, random_state: Any = None
) -> NDArray[np.int64]:
    """Number the fold of each row, such that the rows of a cell are spread over the folds.

    Cells may be smaller than the number of folds, for which scikit-learn's StratifiedKFold warns.

    Parameters
    ----------
    cells : ndarray of int of shape (n_samples,)
        For instance label by group.
    n_folds : int
        Folds, of the same size up to one row.
    random_state : int, RandomState, Generator or None
        Seed.

    Returns
    -------
    ndarray of int of shape (n_samples,)
        From 0 to ``n_folds - 1``.

    Examples
    --------
    >>> from skmeta.datasets import stratified_folds
    >>> stratified_folds([0, 0, 0, 0, 1, 1], 2, random_state=0)
    array([0, 1, 1, 0, 1, 0])
    """
    check_in_range("n_folds", n_folds, owner="stratified_folds", low=2, kind="int")
    shuffled = check_rng(random_state).permutation(len(cells))
    by_cell = shuffled[np.argsort(np.asarray(cells)[shuffled], kind="stable")]
    folds = np.empty(len(cells), dtype=np.int64)
    folds[by_cell] = np.arange(len(cells)) % n_folds
    return folds
