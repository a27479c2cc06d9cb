"""Metadata in files: columns of numbers as tensors, others as lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta.files.checks import expect, fields_of

# Columns of these types are stored as tensors.
_NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64")
_TEXT = ("object", "str", "string")
# A column takes some kB as an object, and a few bytes in a file.
_MAX_COLUMNS = 1000


def to_fields(table: pd.DataFrame) -> dict[str, Any]:
    """Return what a file keeps of the metadata of networks."""
    if table.shape[1] > _MAX_COLUMNS:
        raise ValueError(
            f"Metadata of at most {_MAX_COLUMNS} columns can be saved. Got {table.shape[1]}."
        )
    columns = []
    for index, name in enumerate(table.columns):
        column, kind = table.iloc[:, index], str(table.dtypes.iloc[index])
        if not isinstance(name, str) or list(table.columns).count(name) > 1:
            raise ValueError(
                f"Metadata columns need unique string names to be saved. Got {name!r}."
            )
        if kind not in _NUMBERS + _TEXT:
            raise ValueError(
                f"The metadata column {name!r} has dtype {kind}, which cannot be saved. Convert "
                "it to numbers, booleans or strings."
            )
        values: Any = [_cell(value, name) for value in column] if kind in _TEXT else None
        if values is None:
            values = torch.from_numpy(column.to_numpy(copy=True))
        columns.append({"name": name, "dtype": kind, "values": values})
    return {"n": len(table), "columns": columns}


def _cell(value: Any, name: str) -> Any:
    """Return what is in a column as a scalar or a tuple; lists come back as tuples."""
    if isinstance(value, tuple | list):
        return tuple(_cell(item, name) for item in value)
    value = value.item() if isinstance(value, np.generic) else value
    if value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"The metadata column {name!r} holds a {type(value).__name__}, which cannot be saved. "
        "Use numbers, booleans, strings or tuples of them."
    )


def from_fields(fields: Any) -> pd.DataFrame:
    """Return the table of what anybody claims :func:`to_fields` returned."""
    n, columns = fields_of(fields, "metadata", n=int, columns=list)
    expect(n >= 0 and len(columns) <= _MAX_COLUMNS, "there are too many metadata columns")
    series: dict[str, pd.Series] = {}
    for column in columns:
        name, kind, values = fields_of(
            column, "a metadata column", name=str, dtype=str, values=list | Tensor
        )
        expect(name not in series, "two metadata columns have one name")
        expect(kind in _NUMBERS + _TEXT, "a metadata column has an unknown dtype")
        expect(isinstance(values, Tensor) == (kind in _NUMBERS), "a metadata column has no values")
        expect(len(values) == n, "a metadata column has the wrong length")
        if kind in _NUMBERS:
            good = values.ndim == 1 and values.dtype == getattr(torch, kind)
            expect(good, "a metadata column has the wrong dtype or shape")
            series[name] = pd.Series(values.numpy().copy())
            continue
        items = np.empty(n, dtype=object)
        for i, value in enumerate(values):
            items[i] = _cell(value, name)
        good = kind == "object" or all(v is None or isinstance(v, str) for v in items)
        expect(good, "a metadata column of strings holds something else")
        series[name] = pd.Series(items, dtype=kind)
    return pd.DataFrame(series, index=range(n))
