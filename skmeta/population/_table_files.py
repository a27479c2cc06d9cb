"""The metadata of a population: checked, as tensors and JSON, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta.files.checks import expect, fields_of

DTYPES = {
    name: getattr(torch, name)
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64")
}
"""Columns of these types are stored as tensors."""

_TEXT = ("object", "str", "string")
# A column takes some kB as an object, and a few bytes in a file.
_MAX_COLUMNS = 1000


def check_metadata(metadata: pd.DataFrame | None, n: int) -> pd.DataFrame:
    """Return a table with one row per network, numbered from 0; one without columns for None."""
    if metadata is None:
        metadata = pd.DataFrame(index=range(n))
    if not isinstance(metadata, pd.DataFrame):
        raise TypeError(
            "The 'metadata' of a Population must be a DataFrame. Got "
            f"{type(metadata).__name__}. Pass pd.DataFrame(metadata)."
        )
    if len(metadata) != n:
        raise ValueError(
            "The 'metadata' of a Population must have one row per network. Got "
            f"{len(metadata)} rows for {n} networks."
        )
    return metadata.reset_index(drop=True)


def describe(table: pd.DataFrame) -> tuple[list[dict[str, Any]], dict[int, Tensor]]:
    """Return columns as JSON types, and the numbers of columns with their tensors."""
    columns, tensors = [], {}
    if table.shape[1] > _MAX_COLUMNS:
        raise ValueError(
            f"Metadata of at most {_MAX_COLUMNS} columns can be saved. Got {table.shape[1]}."
        )
    for index, name in enumerate(table.columns):
        values, kind = table.iloc[:, index], str(table.dtypes.iloc[index])
        if not isinstance(name, str) or list(table.columns).count(name) > 1:
            raise ValueError(
                f"Metadata columns need unique string names to be saved. Got {name!r}."
            )
        column: dict[str, Any] = {"name": name, "dtype": kind, "values": None}
        if kind in DTYPES:
            tensors[index] = torch.from_numpy(values.to_numpy(copy=True))
        elif kind in _TEXT:
            column["values"] = [_to_json(value, name) for value in values]
        else:
            raise ValueError(
                f"The metadata column {name!r} has dtype {kind}, which cannot be saved. Convert "
                "it to numbers, booleans or strings."
            )
        columns.append(column)
    return columns, tensors


def _to_json(value: Any, name: str) -> Any:
    if isinstance(value, tuple | list):
        return [_to_json(item, name) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and np.isnan(value):
        return None
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"The metadata column {name!r} holds a {type(value).__name__}, which cannot be saved. "
        "Use numbers, booleans, strings or tuples of them."
    )


def expected(columns: list[Any]) -> dict[int, torch.dtype]:
    """Check columns and return the numbers of those that are tensors, with their dtypes."""
    found, names = {}, set()
    expect(len(columns) <= _MAX_COLUMNS, "there are too many metadata columns")
    for index, column in enumerate(columns):
        name, kind, values = fields_of(
            column, "a metadata column", name=str, dtype=str, values=(list, type(None))
        )
        expect(name not in names, "two metadata columns have one name")
        names.add(name)
        expect(kind in DTYPES or kind in _TEXT, "a metadata column has an unknown dtype")
        expect((values is None) == (kind in DTYPES), "a metadata column has no values")
        if kind in DTYPES:
            found[index] = DTYPES[kind]
    return found


def rebuild(columns: list[Any], tensors: dict[int, Tensor], n: int) -> pd.DataFrame:
    """Return the table; lists in it come back as tuples."""
    series = {}
    for index, column in enumerate(columns):
        values = column["values"]
        if values is None:
            series[column["name"]] = pd.Series(tensors[index].numpy().copy())
            continue
        expect(len(values) == n, "a metadata column has the wrong length")
        items = np.empty(n, dtype=object)
        for i, value in enumerate(values):
            items[i] = _from_json(value)
        texts = column["dtype"] != "object"
        good = not texts or all(v is None or isinstance(v, str) for v in items)
        expect(good, "a metadata column of strings holds something else")
        series[column["name"]] = pd.Series(items, dtype=column["dtype"])
    return pd.DataFrame(series, index=range(n))


def _from_json(value: Any) -> Any:
    expect(not isinstance(value, dict), "a metadata column holds an object")
    return tuple(_from_json(item) for item in value) if isinstance(value, list) else value
