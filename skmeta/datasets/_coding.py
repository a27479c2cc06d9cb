"""What the columns of a task become: features as float32, labels and groups as codes."""

import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array, column_or_1d

from skmeta._checks import check_dense, shown
from skmeta._columns import column_of, frame_of, listed, missing_rows


def plain_frame(frame: Any) -> pd.DataFrame:
    """Return a frame of pandas, polars or Arrow with floats, and objects with NaN for a gap.

    Parameters
    ----------
    frame : frame
        Numbers, nullable or not, become float64; all else, booleans among it, objects.

    Examples
    --------
    >>> import pandas as pd
    >>> plain_frame(pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": ["x", None]}))
         a    b
    0  1.0    x
    1  NaN  NaN
    """
    found = frame_of(frame)
    if found is None:
        raise TypeError(
            "A table must be a DataFrame: its columns are found by their names. Got "
            f"{type(frame).__name__} instead. Pass pandas.DataFrame(rows, columns=names)."
        )
    # By position: two columns may bear one name.
    columns = {i: _plain_column(found.iloc[:, i]) for i in range(found.shape[1])}
    table = pd.DataFrame(columns, index=found.index)
    return table.set_axis([str(name) for name in found.columns], axis=1)


def _plain_column(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return pd.Series(values, index=column.index)
    values = column.to_numpy(dtype=object)
    return pd.Series(np.where(pd.isna(values), np.nan, values), index=column.index, dtype=object)


def check_features(X: ArrayLike) -> NDArray[np.float32]:
    """Copy X to a finite 2-D float32 array."""
    check_dense("X", X, owner="Task")
    try:
        table = X if frame_of(X) is None else plain_frame(X)
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and that is refused
            return check_array(table, dtype=np.float32, copy=True, input_name="X")
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The 'X' parameter of Task must be a 2-D array of finite numbers. "
            f"Got something else: {error} {_columns_at_fault(X)}Encode categories and fill in "
            "missing values first; split_tasks encodes and standardises a raw table."
        ) from error


def _columns_at_fault(X: Any) -> str:
    """Name the columns of a frame that hold texts, NaN or infinity."""
    if frame_of(X) is None:
        return ""
    table = plain_frame(X)
    names = [
        name
        for name, column in table.items()
        if column.dtype == object or not np.isfinite(column).all()
    ]
    return f"Look at the columns {listed(names)}. " if names else ""


def encode_target(
    y: ArrayLike, n_samples: int
) -> tuple[Literal["classification", "regression"], NDArray[Any], NDArray[Any] | None]:
    """Code labels by their rank; keep a floating-point target as float32."""
    way_out = "Pass one label (int, str or bool) or one float target for each row of X."
    values = column_of(y)
    if values.ndim != 1 and not (values.ndim == 2 and values.shape[1] == 1):
        raise ValueError(
            f"The 'y' parameter of Task must be 1-D. Got shape {np.shape(y)} instead. {way_out}"
        )
    values = column_or_1d(values)
    _check_rows("y", values, n_samples, way_out)
    if not np.issubdtype(values.dtype, np.floating):
        _check_one_type("y", pd.Series(values))
        classes, codes = np.unique(values, return_inverse=True)
        return "classification", codes.astype(np.int64), classes
    if not np.isfinite(values).all():
        raise ValueError(f"The 'y' parameter of Task must be finite. Got infinity. {way_out}")
    _warn_of_two_values(values)
    return "regression", values.astype(np.float32), None


def _warn_of_two_values(target: NDArray[np.floating]) -> None:
    """Warn of a regression target that looks like labels."""
    found = np.unique(target)
    if len(found) == 2 < len(target):
        warnings.warn(
            f"The 'y' parameter of Task has two values, {' and '.join(map(shown, found))}, as "
            "floating-point numbers, and is read as the target of a regression. If they are "
            "labels, pass y.astype(int).",
            DataConversionWarning,
            stacklevel=4,
        )


def encode_groups(
    sensitive_features: ArrayLike, n_samples: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Code the groups, or the combinations of several columns that occur, by their rank."""
    way_out = "Name those rows a group of their own, or leave them out of X and y too."
    if np.isscalar(sensitive_features):
        raise ValueError(
            "The 'sensitive_features' parameter of Task must have one value for each of the "
            f"{n_samples} rows of X. Got {shown(sensitive_features)} instead. Pass the column, not "
            "its name."
        )
    columns = _group_columns(sensitive_features)
    for column in columns:
        _check_rows("sensitive_features", column, n_samples, way_out)
        _check_one_type("sensitive_features", pd.Series(column))
    frame = pd.DataFrame(dict(enumerate(columns)))
    by = frame.groupby(list(frame.columns), observed=True)
    names = by.size().index
    if frame.shape[1] > 1:
        joined = names.map(lambda values: ", ".join(map(str, values)))
        names = joined if joined.is_unique else names.map(lambda v: ", ".join(map(shown, v)))
    return by.ngroup().to_numpy(dtype=np.int64), names.to_numpy()


def _group_columns(sensitive_features: Any) -> list[NDArray[Any]]:
    frame = frame_of(sensitive_features)
    if frame is None:
        values = column_of(sensitive_features)
        if values.ndim == 1 and not (len(values) and isinstance(values[0], list | tuple)):
            return [values]
        frame = pd.DataFrame(sensitive_features)
    return [column_of(frame.iloc[:, i]) for i in range(frame.shape[1])]


def _check_one_type(name: str, column: pd.Series) -> None:
    """Raise if a column mixes texts with something else, which have no order."""
    kinds = sorted({type(value).__name__ for value in column.unique()})
    if "str" in kinds and len(kinds) > 1:
        raise ValueError(
            f"The '{name}' parameter of Task must hold values of one type in a column. Got "
            f"{' and '.join(kinds)}. Convert the column, for instance with astype(str)."
        )


def _check_rows(name: str, values: NDArray[Any], n_samples: int, way_out: str) -> None:
    """Raise unless there is one value, and none is missing, for each row of X."""
    rule = f"The '{name}' parameter of Task must have one value for each of the {n_samples} rows"
    if len(values) != n_samples:
        raise ValueError(f"{rule} of X. Got {len(values)} instead. {way_out}")
    if len(missing := missing_rows(values)):
        raise ValueError(
            f"{rule}, none missing. Got {len(missing)} missing value(s). {way_out} The first is "
            f"row {missing[0]}, counted from 0."
        )
