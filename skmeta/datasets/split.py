"""From a raw table, or from images, to the three tasks of an experiment."""

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
    """Split a table, or images, into a train, a reference and a test task.

    Networks are trained on *train*, editors look at *reference*, and *test* is for measuring.
    Rows are stratified by label and group. Categories become ordinal codes, and all features
    are standardised with the mean and the deviation of the train rows. An image becomes a row
    of its pixels, channel by channel; one mean and deviation hold for all pixels of a channel.

    Parameters
    ----------
    bunch : Bunch
        With `data`, `target` and `sensitive_features`, as :func:`fetch_adult`,
        :func:`fetch_bank` and :func:`make_biased_classification` return it; or with `data` of
        shape (n_samples, channels, height, width) and `target`, as :func:`fetch_mnist` and
        :func:`fetch_cifar10` do. Without `sensitive_features` the tasks have no groups.
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
    sizes = _check_sizes(sizes)
    columns: list[str] = []
    groups: pd.DataFrame | None = None
    if "sensitive_features" in bunch:
        columns = _check_columns(sensitive, list(bunch.sensitive_features.columns))
        groups = bunch.sensitive_features[columns]
    elif sensitive is not None or drop_sensitive:
        raise ValueError(
            "The 'sensitive' and 'drop_sensitive' parameters of split_tasks need a bunch with "
            f"'sensitive_features'. Got {sensitive!r} and {drop_sensitive} without. Leave them out."
        )
    rows = _stratified_rows(_cells(bunch.target, groups, sizes), sizes, random_state)
    X: np.ndarray | pd.DataFrame
    if isinstance(bunch.data, np.ndarray):
        X = _standardised_images(bunch.data, rows[0])
    else:
        X = _standardised_table(bunch, columns if drop_sensitive else [], rows[0])
    whole = Task(X, bunch.target, sensitive_features=groups)
    train, reference, test = (whole.subset(part) for part in rows)
    return train, reference, test


def _standardised_images(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return images as rows."""
    mean, deviation = (
        function(images[train], axis=(0, 2, 3), keepdims=True) for function in (np.mean, np.std)
    )
    return ((images - mean) / np.where(deviation > 0, deviation, 1)).reshape(len(images), -1)


def _standardised_table(bunch: Bunch, dropped: list[str], train: np.ndarray) -> pd.DataFrame:
    """Return the features of a table as numbers."""
    X = bunch.data.drop(columns=dropped, errors="ignore")
    categories = X.select_dtypes(exclude="number").columns
    if len(categories):
        X[categories] = OrdinalEncoder().fit_transform(X[categories])
    scaler = StandardScaler().fit(X.iloc[train])
    return pd.DataFrame(scaler.transform(X), columns=X.columns)


def _check_bunch(bunch: Any) -> None:
    way_out = "Pass Bunch(data=X, target=y, sensitive_features=frame), from sklearn.utils."
    kinds: dict[str, tuple[type, ...]] = {
        "data": (pd.DataFrame, np.ndarray),
        "target": (pd.Series, np.ndarray, list),
    }
    if isinstance(bunch, Mapping) and "sensitive_features" in bunch:
        kinds["sensitive_features"] = (pd.DataFrame,)
    for name, types in kinds.items():
        if not isinstance(bunch, Mapping) or name not in bunch:
            raise TypeError(
                "The 'bunch' parameter of split_tasks must be a Bunch with 'data', 'target' and, "
                "for tasks with groups, 'sensitive_features'. Got "
                f"{type(bunch).__name__} without {name!r}. {way_out}"
            )
        table = not (name == "data" and isinstance(bunch[name], np.ndarray))
        if not isinstance(bunch[name], types) or not (table or bunch[name].ndim == 4):
            raise TypeError(
                f"The {name!r} of a bunch in split_tasks must be a pandas table or column; its "
                "'data' may be images of shape (n_samples, channels, height, width). Got "
                f"{type(bunch[name]).__name__} of shape {np.shape(bunch[name])}. {way_out}"
            )
    lengths = [len(bunch[name]) for name in kinds]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"The {', '.join(map(repr, kinds))} of a bunch in split_tasks must have "
            f"the same rows. Got {', '.join(map(str, lengths))} rows."
        )
    missing = pd.isna(np.asarray(bunch.target))
    if "sensitive_features" in kinds:
        missing = missing | bunch.sensitive_features.isna().any(axis=1)
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


def _cells(target: pd.Series, groups: pd.DataFrame | None, sizes: tuple[float, ...]) -> np.ndarray:
    """Number the label-by-group cells; each must be large enough for all three splits."""
    frame = pd.DataFrame({0: np.asarray(target)}, index=None if groups is None else groups.index)
    frame = frame if groups is None else pd.concat([frame, groups], axis=1)
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
