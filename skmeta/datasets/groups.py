"""Groups large enough to be measured: :func:`merge_rare`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skmeta._checks import check_in_range
from skmeta._columns import frame_of
from skmeta.datasets._coding import encode_groups


def merge_rare(groups: Any, *, min_rows: int = 50, y: Any = None, name: str = "other") -> pd.Series:
    """Merge groups with few rows into one.

    A rate of a few people is noise, and an edit would chase it. Which groups are merged is a
    statement about people, too: look at what is left, and say so where you report.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or (n_samples, n_columns)
        Several columns make intersectional groups, those that occur.
    min_rows : int, default=50
        Groups with fewer rows are merged. If those together are still fewer, the next larger
        group joins them.
    y : array-like of shape (n_samples,), optional
        Labels: a group is rare, then, if it has fewer than ``min_rows`` rows of some label, as
        equalized odds needs.
    name : str, default="other"
        Of the merged group.

    Returns
    -------
    Series of shape (n_samples,)
        A name for each row, to be passed as ``sensitive_features``; the index is that of a frame
        or column of pandas.

    Examples
    --------
    >>> from skmeta.datasets import merge_rare
    >>> merge_rare(["a", "a", "a", "b", "c"], min_rows=2).tolist()
    ['a', 'a', 'a', 'other', 'other']
    """
    owner = "merge_rare"
    check_in_range("min_rows", min_rows, owner=owner, low=1, kind="int")
    codes, names = encode_groups(groups, len(groups))
    labels = np.zeros(len(codes), int) if y is None else pd.factorize(np.asarray(y))[0]
    if len(labels) != len(codes):
        raise ValueError(
            f"The 'y' parameter of {owner} must have one label for each of the {len(codes)} rows. "
            f"Got {len(labels)}."
        )
    counts = np.zeros((len(names), labels.max(initial=0) + 1), int)
    np.add.at(counts, (codes, labels), 1)
    order = counts.min(1).argsort(kind="stable")
    n_merged = int((counts.min(1) < min_rows).sum())
    while 0 < n_merged < len(names) and counts[order[:n_merged]].sum(0).min() < min_rows:
        n_merged += 1
    kept = np.array([str(n) for n in names], dtype=object)
    if name in kept[order[n_merged:]]:
        raise ValueError(
            f"The 'name' parameter of {owner} must not be that of a group that stays. Got {name!r}."
        )
    kept[order[:n_merged]] = name
    frame = frame_of(groups)
    index = frame.index if frame is not None else getattr(groups, "index", None)
    index = index if isinstance(index, pd.Index) else None
    return pd.Series(kept[codes], index=index, name="group")
