"""What the demo and an audit run on: :func:`load_data`, :func:`load_table`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skmeta._columns import listed
from skmeta.datasets import (
    Task,
    fetch_adult,
    fetch_bank,
    make_biased_classification,
    merge_rare,
    split_tasks,
)
from skmeta.demo.columns import (
    InputError,
    check_column,
    remarks_on_encoding,
    select_columns,
)

_DEFAULT_SENSITIVE = {"embedded": "group", "adult": "sex", "bank": "marital"}
_FETCH = {"adult": fetch_adult, "bank": fetch_bank}
_MAX_GROUPS = 10


@dataclass(frozen=True)
class DemoData:
    """Three tasks and what they are called."""

    name: str
    sensitive: str
    train: Task
    reference: Task
    test: Task
    notes: tuple[str, ...] = ()
    """What there is to say about the columns, a sentence each."""


@dataclass(frozen=True)
class OwnedTable:
    """Raw rows, labels and groups."""

    name: str
    features: pd.DataFrame
    target: pd.Series
    groups: pd.Series
    notes: tuple[str, ...] = ()
    """What there is to say about the columns, a sentence each."""


def load_data(
    data: str,
    *,
    target: str | None = None,
    sensitive: str | None = None,
    drop: Sequence[str] = (),
    data_home: Path | None = None,
    random_state: int = 0,
) -> DemoData:
    """Load a table and split it.

    Parameters
    ----------
    data : str
        "embedded", "adult", "bank" or the path of a CSV file.
    target, sensitive : str, optional
        Columns; a file needs both, the others have a default for ``sensitive``.
    drop : sequence of str
        Columns that are no features.
    data_home : path, optional
        Folder with the original files of "adult" or "bank".
    random_state : int
        Seed of the split.

    Returns
    -------
    DemoData
        Rows for the zoo, for the editor and for measuring.

    Examples
    --------
    >>> from skmeta.demo.data import load_data
    >>> load_data("embedded").test
    Task(n_samples=3000, n_features=10, classes=['no', 'yes'], groups=['A', 'B'])
    """
    bunch, sensitive, notes = _load(data, target, sensitive, drop, data_home)
    bunch.target = bunch.target.astype(str)
    try:
        tasks = split_tasks(bunch, sensitive, impute=True, random_state=random_state)
    except (TypeError, ValueError) as error:  # unknown or mixed columns, too few rows in a cell
        raise InputError(str(error)) from error
    return DemoData(Path(data).stem, sensitive, *tasks, notes)


def load_table(
    data: str,
    *,
    target: str | None = None,
    sensitive: str | None = None,
    drop: Sequence[str] = (),
    data_home: Path | None = None,
    min_rows: int | None = None,
) -> OwnedTable:
    """Load a table as its owner has it.

    Parameters
    ----------
    data, target, sensitive, drop, data_home
        As of :func:`load_data`.
    min_rows : int, optional
        Groups with fewer rows of a label are merged.

    Returns
    -------
    OwnedTable
        Raw rows; the column of the groups is no feature.

    Examples
    --------
    >>> from skmeta.demo.data import load_table
    >>> load_table("embedded").features.shape
    (10000, 9)
    """
    bunch, sensitive, notes = _load(data, target, sensitive, drop, data_home)
    groups = bunch.sensitive_features[sensitive].astype(str).reset_index(drop=True)
    labels = bunch.target.reset_index(drop=True)
    if min_rows is not None:
        merged = merge_rare(groups, min_rows=min_rows, y=labels).rename(sensitive)
        if merged.nunique() < 2:
            raise InputError(f"--min-rows {min_rows} leaves one group. Ask for fewer rows.")
        if gone := sorted(set(groups) - set(merged)):
            notes += (f"Merged into 'other', because they have few rows: {listed(gone)}.",)
        groups = merged
    features = bunch.data.drop(columns=sensitive, errors="ignore").reset_index(drop=True)
    if not features.shape[1]:
        raise InputError("The table needs a feature beside the target and the groups.")
    notes += tuple(remarks_on_encoding(features))
    return OwnedTable(Path(data).stem, features, labels, groups, notes)


def _load(
    data: str,
    target: str | None,
    sensitive: str | None,
    drop: Sequence[str],
    data_home: Path | None,
) -> tuple[Bunch, str, tuple[str, ...]]:
    """Return a table with the columns that are features, the groups' name, and what to say."""
    if data in _DEFAULT_SENSITIVE:
        if target is not None:
            raise InputError(f"--target belongs to a file of your own. Got {data}.")
        bunch = _known_bunch(data, data_home)
        sensitive = sensitive or _DEFAULT_SENSITIVE[data]
    else:
        bunch, sensitive = _read_csv(data, target, sensitive)
    for name in drop:
        check_column("--drop", name, list(map(str, bunch.data.columns)), data)
    check_column("--sensitive", sensitive, list(bunch.sensitive_features.columns), data)
    groups = bunch.sensitive_features[sensitive]
    features, notes = select_columns(bunch.data, bunch.target, groups, drop)
    return Bunch(**{**bunch, "data": features}), sensitive, tuple(notes)


def _known_bunch(data: str, data_home: Path | None) -> Bunch:
    if data == "embedded":
        # Always the same people: the random state varies the split and the networks.
        return make_biased_classification(10_000, random_state=0)
    try:
        return _FETCH[data](data_home=data_home)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(str(error)) from error


def _read_csv(data: str, target: str | None, sensitive: str | None) -> tuple[Bunch, str]:
    path = Path(data)
    if not path.is_file():
        names = ", ".join(_DEFAULT_SENSITIVE)
        raise InputError(f"The data must be one of {names} or a CSV file. There is no file {data}.")
    if target is None or sensitive is None:
        raise InputError("A CSV file needs --target COLUMN and --sensitive COLUMN.")
    try:
        frame = _read(path)
    except (OSError, ValueError) as error:  # pandas' and unicode's errors are ValueErrors
        said = str(error).strip()
        raise InputError(f"{data} cannot be read as CSV: {said}") from error
    for option, column in (("--target", target), ("--sensitive", sensitive)):
        check_column(option, column, list(map(str, frame.columns)), data)
    if target == sensitive:
        raise InputError(f"--target and --sensitive must differ. Got {target!r} for both.")
    _check_frame(frame, target, sensitive)
    features = frame.drop(columns=target)
    return (
        Bunch(
            data=features,
            target=frame[target],
            sensitive_features=frame[[sensitive]].astype(str),
        ),
        sensitive,
    )


def _read(path: Path) -> pd.DataFrame:
    """Read columns between commas, or else between semicolons or tabs."""
    names = pd.read_csv(path, nrows=0).columns
    for separator in ";\t":
        if len(names) == 1 and separator in names[0]:
            ways = [pd.read_csv(path, sep=separator, decimal=mark) for mark in ".,"]
            return max(ways, key=lambda way: way.select_dtypes("number").shape[1])
    return pd.read_csv(path)


def _check_frame(frame: pd.DataFrame, target: str, sensitive: str) -> None:
    missing = [name for name in (target, sensitive) if frame[name].isna().any()]
    if missing:
        raise InputError(
            f"The target and the groups need a value in every row. The columns "
            f"{', '.join(missing)} have missing values. Leave these rows out, or give them a group "
            "of their own."
        )
    n_labels, n_groups = frame[target].nunique(), frame[sensitive].nunique()
    if n_labels != 2:
        raise InputError(f"--target must have two values. Column {target!r} has {n_labels}.")
    if not 2 <= n_groups <= _MAX_GROUPS:
        raise InputError(
            f"--sensitive must have 2 to {_MAX_GROUPS} groups. Column {sensitive!r} has "
            f"{n_groups}; merge small ones."
        )
    if frame.shape[1] < 3:
        raise InputError("The file needs a feature beside the target and the groups.")
    numbers = frame.select_dtypes("number")
    if endless := [str(name) for name in numbers if np.isinf(numbers[name]).any()]:
        raise InputError(
            f"Numbers must be finite, or missing. There is infinity in {', '.join(endless)}. Leave "
            "these cells empty, or leave the columns out of the file."
        )
    pairs = frame[[target, sensitive]].drop_duplicates()
    if len(pairs) == n_labels == n_groups:
        raise InputError(
            f"The columns {target!r} and {sensitive!r} say the same in other words, and the demo "
            "needs rows of each label and group. Name another column in --sensitive."
        )
