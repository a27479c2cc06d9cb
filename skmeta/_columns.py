"""Columns of users, of pandas, polars or Arrow: what they are called and what they hold.

Nothing here imports from skmeta, or any of these libraries but pandas.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

_SHOWN = 6
"""Names in a message; the others are counted."""


def frame_of(X: Any) -> pd.DataFrame | None:
    """Return a frame of pandas, polars or Arrow as one of pandas, None for anything else.

    Examples
    --------
    >>> import numpy as np
    >>> frame_of(np.zeros((2, 1))) is None
    True
    """
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # Arrow
        return X.to_pandas()
    if hasattr(X, "get_columns"):  # polars, whose own way to pandas needs pyarrow
        return pd.DataFrame({column.name: column.to_numpy() for column in X.get_columns()})
    return None


def names_of(X: Any) -> list[str] | None:
    """Return the names of a frame's columns, None for arrays and frames with mere positions.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> names_of(pd.DataFrame({"b": [1], "a": [2]}))
    ['b', 'a']
    >>> names_of(pd.DataFrame(np.zeros((1, 2)))) is None
    True
    """
    names = getattr(X, "column_names", getattr(X, "columns", None))
    if names is None or list(names) == list(range(len(names))):
        return None
    return [str(name) for name in names]


def fitted_names(estimator: object) -> list[str] | None:
    """Return the names of the columns that an estimator was fitted on, None if it saw none.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.preprocessing import StandardScaler
    >>> fitted_names(StandardScaler().fit(pd.DataFrame({"a": [1.0, 2.0]})))
    ['a']
    """
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def check_same_names(
    came: Sequence[str] | None,
    known: Sequence[str] | None,
    *,
    rule: str,
    where: str,
    way_out: str | None = None,
) -> None:
    """Raise if columns are not the known ones in their order; names that are None are not compared.

    Parameters
    ----------
    came, known : sequence of str or None
        Names of columns.
    rule, where : str
        Who needs what, and where the columns were found, for the message.
    way_out : str, optional
        What to do; the default is to select the columns by name.

    Examples
    --------
    >>> check_same_names(["b", "a"], ["a", "b"], rule="A needs B's columns", where="the task")
    Traceback (most recent call last):
        ...
    ValueError: A needs B's columns, in their order. Got the same ones in another order in the
    task: 'b', 'a' instead of 'a', 'b'. Select them by name, as in frame[['a', 'b']].
    """
    if came is None or known is None or list(came) == list(known):
        return
    missing = list((Counter(known) - Counter(came)).elements())
    additional = list((Counter(came) - Counter(known)).elements())
    if missing or additional:
        found = {"missing": missing, "additional": additional}
        parts = [f"{what} {_listed(names)}" for what, names in found.items() if names]
        got = f"others in {where}: {'; '.join(parts)}"
    else:
        moved = [pair for pair in zip(came, known, strict=True) if pair[0] != pair[1]]
        here, there = (_listed(names) for names in zip(*moved, strict=True))
        got = f"the same ones in another order in {where}: {here} instead of {there}"
    way_out = way_out or f"Select them by name, as in frame[[{_listed(known)}]]."
    raise ValueError(f"{rule}, in their order. Got {got}. {way_out}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return listed(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def listed(names: Iterable[Any]) -> str:
    """Return names for a message.

    Examples
    --------
    >>> print(listed(["a", "b"]))
    'a', 'b'
    """
    return ", ".join(repr(str(name)) for name in names)


def column_of(values: Any) -> np.ndarray:
    """Return a column as a numpy array of what it holds: integers, booleans, floats or objects.

    numpy alone makes objects of nullable numbers, floats of integers with a gap, and texts of a
    gap among texts. A missing value stays one here, for :func:`missing_rows` to find.

    Parameters
    ----------
    values : array-like
        A Series or an array of pandas, polars or Arrow, a numpy array, a list, or a frame with
        one column.

    Examples
    --------
    >>> import pandas as pd
    >>> column_of(pd.Series([1, 0], dtype="Int64"))
    array([1, 0])
    >>> missing_rows(column_of(["yes", float("nan")]))
    array([1])
    """
    frame = frame_of(values)
    if frame is not None:
        values = frame.iloc[:, 0] if frame.shape[1] == 1 else frame
    if hasattr(values, "to_pylist"):  # Arrow
        values = values.to_pylist()
    elif hasattr(values, "to_list") and not isinstance(getattr(values, "dtype", None), np.dtype):
        values = np.array([*values.to_list(), None], dtype=object)[:-1]  # never nested
    if not isinstance(values, list | tuple):
        array = np.asarray(values)
        return _inferred(array) if array.dtype == object else array
    array = np.array(values, dtype=object)
    if array.ndim != 1 or pd.api.types.infer_dtype(array, skipna=False) == "string":
        return np.asarray(values)
    return _inferred(array)


def _inferred(array: np.ndarray) -> np.ndarray:
    """Return objects that are all numbers or all booleans as such."""
    kind = pd.api.types.infer_dtype(array.ravel(), skipna=False)
    plain = kind in ("integer", "boolean", "floating", "mixed-integer-float")
    return np.array(array.tolist()) if plain else array


def missing_rows(column: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows without a value."""
    return np.flatnonzero(pd.isna(column))


def checked_column(name: str, values: Any, *, owner: str) -> np.ndarray:
    """Return a column as an array, or raise if a value is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> checked_column("y", pd.Series([1, None], dtype="Int64"), owner="Population.score")
    Traceback (most recent call last):
        ...
    ValueError: The 'y' parameter of Population.score must have a value in every row. Got 1 missing
    value(s), the first in row 1, counted from 0. Leave these rows out.
    """
    column = column_of(values)
    if len(missing := missing_rows(column)):
        raise ValueError(
            f"The '{name}' parameter of {owner} must have a value in every row. Got "
            f"{len(missing)} missing value(s), the first in row {missing[0]}, counted from 0. "
            "Leave these rows out."
        )
    return column
