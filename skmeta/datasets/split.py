"""From a raw table to the three tasks of an experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.utils import Bunch

from skmeta._validation import check_in_range, check_option, check_rng
from skmeta.datasets.task import Task


def split_tasks(
    bunch: Bunch,
    sensitive: str | Sequence[str] | None = None,
    *,
    sizes: tuple[float, float, float] = (0.4, 0.3, 0.3),
    drop_sensitive: bool = False,
    random_state: Any = 0,
) -> tuple[Task, Task, Task]:
    """Split a table into a train, a reference and a test task.

    Networks are trained on *train*, editors look at *reference*, and *test* is for measuring.
    Rows are stratified by label and group. Categories become ordinal codes, and all features
    are standardised with the mean and the deviation of the train rows.

    Parameters
    ----------
    bunch : Bunch
        With `data`, `target` and `sensitive_features`, as :func:`fetch_adult`,
        :func:`fetch_bank` and :func:`make_biased_classification` return it.
    sensitive : str or list of str, optional
        Columns of ``bunch.sensitive_features``; several make intersectional groups. The
        default is "sex" if there is such a column, else the only one.
    sizes : tuple of three floats
        Shares of the rows; what is left over if they sum to less than 1 is not used.
    drop_sensitive : bool
        Leave the columns of the same names out of X.
    random_state : None, int or numpy RandomState or Generator
        Seeds the split.

    Returns
    -------
    train, reference, test : Task
        Their codes of labels and groups agree.

    Examples
    --------
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> bunch = make_biased_classification(1000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> train
    Task(n_samples=400, n_features=10, classes=['no', 'yes'], groups=['A', 'B'])
    """
    _check_bunch(bunch)
    columns = _check_columns(sensitive, list(bunch.sensitive_features.columns))
    sizes = _check_sizes(sizes)
    groups = bunch.sensitive_features[columns]
    rows = _stratified_rows(_cells(bunch.target, groups, sizes), sizes, random_state)

    X = bunch.data.drop(columns=columns, errors="ignore") if drop_sensitive else bunch.data.copy()
    categories = X.select_dtypes(exclude="number").columns
    if len(categories):
        X[categories] = OrdinalEncoder().fit_transform(X[categories])
    scaler = StandardScaler().fit(X.iloc[rows[0]])
    X = pd.DataFrame(scaler.transform(X), columns=X.columns)
    whole = Task(X, bunch.target, sensitive_features=groups)
    train, reference, test = (whole.subset(part) for part in rows)
    return train, reference, test


def _check_bunch(bunch: Any) -> None:
    way_out = "Pass Bunch(data=X, target=y, sensitive_features=frame), from sklearn.utils."
    for name, kinds in (
        ("data", pd.DataFrame),
        ("target", (pd.Series, np.ndarray, list)),
        ("sensitive_features", pd.DataFrame),
    ):
        if not isinstance(bunch, Mapping) or name not in bunch:
            raise TypeError(
                "The 'bunch' parameter of split_tasks must be a Bunch with 'data', 'target' and "
                f"'sensitive_features'. Got {type(bunch).__name__} without {name!r}. {way_out}"
            )
        if not isinstance(bunch[name], kinds):
            raise TypeError(
                f"The {name!r} of a bunch in split_tasks must be a pandas table or column. Got "
                f"{type(bunch[name]).__name__}. {way_out}"
            )
    lengths = [len(bunch[name]) for name in ("data", "target", "sensitive_features")]
    if len(set(lengths)) > 1:
        raise ValueError(
            "The 'data', 'target' and 'sensitive_features' of a bunch in split_tasks must have "
            f"the same rows. Got {', '.join(map(str, lengths))} rows."
        )
    missing = bunch.sensitive_features.isna().any(axis=1) | pd.isna(np.asarray(bunch.target))
    if missing.any():
        raise ValueError(
            "split_tasks needs a label and sensitive features in every row. Got missing values "
            f"in {missing.sum()} row(s). Name them a group of their own, or leave the rows out."
        )


def _check_columns(sensitive: Any, options: list[str]) -> list[str]:
    """Return the names of the sensitive columns."""
    if sensitive is None and len(options) == 1:
        return options
    if sensitive is None:
        sensitive = "sex"
    columns: list[Any] = [sensitive] if np.isscalar(sensitive) else list(sensitive)
    if not columns:
        raise ValueError(
            "The 'sensitive' parameter of split_tasks must name at least one column of "
            f"{options}. Got {sensitive!r} instead."
        )
    for column in columns:
        check_option("sensitive", column, options, owner="split_tasks")
    return columns


def _check_sizes(sizes: Any) -> tuple[float, float, float]:
    if np.shape(sizes) != (3,):
        raise ValueError(
            "The 'sizes' parameter of split_tasks must be three shares: train, reference, test. "
            f"Got {sizes!r} instead. The default is (0.4, 0.3, 0.3)."
        )
    for size in sizes:
        check_in_range("sizes", size, owner="split_tasks", low=0, high=1, closed="neither")
    if sum(sizes) > 1 + 1e-9:
        raise ValueError(
            "The 'sizes' parameter of split_tasks must sum to at most 1. "
            f"Got {sizes!r}, which sum to {sum(sizes):.3g}. Make one of them smaller."
        )
    train, reference, test = sizes
    return train, reference, test


def _cells(target: pd.Series, groups: pd.DataFrame, sizes: tuple[float, ...]) -> np.ndarray:
    """Number the label-by-group cells; each must be large enough for all three splits."""
    frame = pd.concat([pd.Series(np.asarray(target), index=groups.index), groups], axis=1)
    frame.columns = range(frame.shape[1])  # the target may bear no name, or that of a group
    by = frame.groupby(list(frame.columns), observed=True)
    counts = by.size()
    needed = int(np.ceil(2 / min(sizes)))
    if counts.min() < needed:
        raise ValueError(
            f"split_tasks needs at least {needed} rows of each label and group, so that every "
            f"split gets some. Got {counts.min()} for {counts.idxmin()}. Merge small groups in "
            "sensitive_features, name fewer columns in 'sensitive', or make 'sizes' more equal."
        )
    return by.ngroup().to_numpy()


def _stratified_rows(
    cells: np.ndarray, sizes: tuple[float, float, float], random_state: Any
) -> list[np.ndarray]:
    rng = check_rng(random_state)
    ends = np.rint(np.cumsum(sizes) * len(cells)).astype(int)  # so that shares of 1 use every row
    n_train, n_reference, n_test = (int(n) for n in np.diff(ends, prepend=0))

    def split(rows, n_first, n_second):
        return train_test_split(
            rows,
            train_size=n_first,
            test_size=n_second,
            stratify=cells[rows],
            random_state=int(rng.integers(2**31)),
        )

    train, rest = split(np.arange(len(cells)), n_train, n_reference + n_test)
    reference, test = split(rest, n_reference, n_test)
    return [np.sort(part) for part in (train, reference, test)]
