"""From a raw table, or from images, to the three tasks of an experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from skmeta._checks import check_in_range, check_option, check_rng, shown
from skmeta._columns import column_of, frame_of, missing_rows
from skmeta.datasets.encoding import image_encoder, table_encoder
from skmeta.datasets.task import Task


def split_tasks(
    bunch: Bunch,
    sensitive: str | Sequence[str] | None = None,
    *,
    sizes: tuple[float, float, float] = (0.4, 0.3, 0.3),
    drop_sensitive: bool = False,
    impute: bool = False,
    random_state: Any = 0,
) -> tuple[Task, Task, Task]:
    """Split a table, or images, into a train, a reference and a test task.

    Networks are trained on *train*, editors look at *reference*, and *test* is for measuring.
    Rows are stratified by label and group. Categories become ordinal codes, and all features
    are standardised with the mean and the deviation of the train rows. An image becomes a row
    of its pixels, channel by channel; one mean and deviation hold for all pixels of a channel.
    What does this to new raw rows is the ``encoder`` of each task, a fitted transformer.

    Parameters
    ----------
    bunch : Bunch
        With `data`, `target` and `sensitive_features`, as :func:`fetch_adult`,
        :func:`fetch_bank` and :func:`make_biased_classification` return it; or with `data` of
        shape (n_samples, channels, height, width) and `target`, as :func:`fetch_mnist` and
        :func:`fetch_cifar10` do. Without `sensitive_features` the tasks have no groups. Frames
        and columns may be of pandas, polars or Arrow.
    sensitive : str or list of str, optional
        Columns of ``bunch.sensitive_features``; several make intersectional groups. The
        default is "sex" if there is such a column, else the only one.
    sizes : tuple of three floats
        Shares of the rows; what is left over if they sum to less than 1 is not used.
    drop_sensitive : bool
        Leave the columns of the same names out of X.
    impute : bool
        Fill missing features in with the median of a number, or the most frequent value of
        a category, of the train rows. Else they are refused.
    random_state : None, int or numpy RandomState or Generator
        Seeds the split.

    Returns
    -------
    train, reference, test : Task
        Their codes of labels and groups agree, and they share one ``encoder``: it makes the
        columns ``feature_names`` of any frame that has the columns of `data`, in any order.

    Examples
    --------
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> bunch = make_biased_classification(1000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> train
    Task(n_samples=400, n_features=10, classes=['no', 'yes'], groups=['A', 'B'])

    New rows go through the encoder:

    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> network = MLPClassifier((8,), early_stopping=True, random_state=0)
    >>> network = network.fit(train.X, train.classes[train.y])
    >>> make_pipeline(train.encoder, network).predict(bunch.data[:2]).shape
    (2,)
    """
    data, target, sensitive_features = _parts_of(bunch)
    check_option("impute", impute, [False, True], owner="split_tasks")
    sizes = _check_sizes(sizes)
    columns: list[str] = []
    groups: pd.DataFrame | None = None
    if sensitive_features is not None:
        columns = _check_columns(sensitive, list(sensitive_features.columns))
        groups = sensitive_features[columns]
    elif sensitive is not None or drop_sensitive:
        raise ValueError(
            "The 'sensitive' and 'drop_sensitive' parameters of split_tasks need a bunch with "
            f"'sensitive_features'. Got {shown(sensitive)} and {drop_sensitive} without. Leave "
            "them out."
        )
    rows = _stratified_rows(_cells(target, groups, sizes), sizes, random_state)
    X: np.ndarray | pd.DataFrame
    if isinstance(data, np.ndarray):
        encoder: Any = image_encoder(data, rows[0])
        X = encoder.transform(data)
    else:
        data = data.drop(columns=columns if drop_sensitive else [], errors="ignore")
        encoder = table_encoder(data, rows[0], impute=impute)
        X = pd.DataFrame(encoder.transform(data), columns=data.columns)
    whole = Task(X, target, sensitive_features=groups)
    whole.encoder = encoder
    train, reference, test = (whole.subset(part) for part in rows)
    return train, reference, test


def _parts_of(bunch: Any) -> tuple[pd.DataFrame | np.ndarray, np.ndarray, pd.DataFrame | None]:
    """Return the features (or images), the labels and maybe the groups of a bunch."""
    parts = {
        "data": _part(bunch, "data"),
        "target": _part(bunch, "target"),
        "sensitive_features": _part(bunch, "sensitive_features"),
    }
    lengths = {name: len(part) for name, part in parts.items() if part is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"The {', '.join(map(repr, lengths))} of a bunch in split_tasks must have "
            f"the same rows. Got {', '.join(map(str, lengths.values()))} rows."
        )
    data, target, groups = parts.values()
    missing = np.zeros(len(target), dtype=bool)
    missing[missing_rows(target)] = True
    if groups is not None:
        missing |= groups.isna().any(axis=1).to_numpy()
    if missing.any():
        raise ValueError(
            "split_tasks needs a label and sensitive features in every row. Got missing values "
            f"in {missing.sum()} row(s), the first in row {missing.argmax()}, counted from 0. "
            "Name them a group of their own, or leave the rows out."
        )
    return data, target, groups


def _part(bunch: Any, name: str) -> Any:
    """Return one part of a bunch as a frame of pandas or an array; None if it may be missing."""
    way_out = "Pass Bunch(data=X, target=y, sensitive_features=frame), from sklearn.utils."
    if not isinstance(bunch, Mapping) or name not in bunch:
        if isinstance(bunch, Mapping) and name == "sensitive_features":
            return None
        raise TypeError(
            "The 'bunch' parameter of split_tasks must be a Bunch with 'data', 'target' and, "
            "for tasks with groups, 'sensitive_features'. Got "
            f"{type(bunch).__name__} without {name!r}. {way_out}"
        )
    part = bunch[name]
    is_column = hasattr(part, "to_list") or hasattr(part, "to_pylist")
    if name == "sensitive_features" and is_column and hasattr(part, "to_frame"):
        part = part.to_frame()
    if name == "target":
        if is_column or isinstance(part, np.ndarray | list):
            return column_of(part)
    elif (frame := frame_of(part)) is not None:
        return frame.reset_index(drop=True)
    elif name == "data" and isinstance(part, np.ndarray) and part.ndim == 4:
        return part
    raise TypeError(
        f"The {name!r} of a bunch in split_tasks must be a table or a column of pandas, polars or "
        "Arrow; its 'data' may be images of shape (n_samples, channels, height, width). Got "
        f"{type(part).__name__} of shape {np.shape(part)}. {way_out}"
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
            f"{options}. Got {shown(sensitive)} instead."
        )
    for column in columns:
        check_option("sensitive", column, options, owner="split_tasks")
    return columns


def _check_sizes(sizes: Any) -> tuple[float, float, float]:
    if np.shape(sizes) != (3,):
        raise ValueError(
            "The 'sizes' parameter of split_tasks must be three shares: train, reference, test. "
            f"Got {shown(sizes)} instead. The default is (0.4, 0.3, 0.3)."
        )
    for size in sizes:
        check_in_range("sizes", size, owner="split_tasks", low=0, high=1, closed="neither")
    if sum(sizes) > 1 + 1e-9:
        raise ValueError(
            "The 'sizes' parameter of split_tasks must sum to at most 1. "
            f"Got {shown(sizes)}, which sum to {sum(sizes):.3g}. Make one of them smaller."
        )
    train, reference, test = sizes
    return train, reference, test


def _cells(target: np.ndarray, groups: pd.DataFrame | None, sizes: tuple[float, ...]) -> np.ndarray:
    """Number the label-by-group cells; each must be large enough for all three splits."""
    frame = pd.DataFrame({0: target})
    frame = frame if groups is None else pd.concat([frame, groups], axis=1)
    frame.columns = range(frame.shape[1])  # the target may bear no name, or that of a group
    by = frame.groupby(list(frame.columns), observed=True)
    counts = by.size()
    needed = int(np.ceil(2 / min(sizes)))
    if counts.min() < needed:
        raise ValueError(
            f"split_tasks needs at least {needed} rows of each label and group, so that every "
            f"split gets some. Got {counts.min()} for {shown(counts.idxmin())}. Merge small groups "
            "in sensitive_features, name fewer columns in 'sensitive', or make 'sizes' more equal."
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
