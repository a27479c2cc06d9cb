"""Tensors and tables as what pickles to the same bytes whenever they are equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def as_array(tensor: Tensor) -> np.ndarray:
    """Return the numbers of a tensor, wherever it is; numpy has no bfloat16: as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


Plain = tuple[str, str, np.ndarray]
"""Floating type, device and numbers of a tensor."""


def to_plain(tensor: Tensor) -> Plain:
    """Return a tensor as a numpy array that owns its numbers, with what numpy lacks.

    torch pickles a tensor with the address of its storage, and a slice with all of the
    storage that it was cut from.
    """
    array = tensor.detach().cpu()
    if array.dtype == torch.bfloat16:  # numpy has none: the bits of it, as integers
        array = array.view(torch.int16)
    dtype = str(tensor.dtype).removeprefix("torch.")
    return dtype, str(tensor.device), np.array(array.numpy(), order="C")


def from_plain(plain: Plain) -> Tensor:
    """Return the tensor that :func:`to_plain` described."""
    dtype, device, array = plain
    tensor = torch.from_numpy(np.array(array))  # what joblib hands out may be read-only
    return tensor.view(getattr(torch, dtype)).to(device)


def plain_array(array: np.ndarray) -> np.ndarray:
    """Return a copy in C order, with the one dtype object that numpy has for its type."""
    return np.array(array, dtype=np.dtype(array.dtype.str), order="C")


def frame_to_plain(table: pd.DataFrame) -> list[tuple[str, Any, Any]]:
    """Return name, dtype and values of each column; equal frames may be stored in many ways."""
    same: dict[Any, Any] = {}  # equal texts become one object, which pickle writes once
    out: list[tuple[str, Any, Any]] = []
    for index, name in enumerate(table.columns):
        column = table.iloc[:, index]
        if isinstance(column.dtype, np.dtype) and column.dtype != object:
            out.append((name, None, plain_array(column.to_numpy())))
        else:
            values = [same.setdefault(v, v) if isinstance(v, str) else v for v in column]
            out.append((name, same.setdefault(column.dtype, column.dtype), values))
    return out


def frame_from_plain(columns: list[tuple[str, Any, Any]], n: int) -> pd.DataFrame:
    """Return the table of ``n`` rows that :func:`frame_to_plain` described."""
    names = [name for name, _, _ in columns]
    series = [pd.Series(values, index=range(n), dtype=dtype) for _, dtype, values in columns]
    table = pd.concat(series, axis=1) if series else pd.DataFrame(index=range(n))
    table.columns = pd.Index(names) if names else table.columns
    return table
