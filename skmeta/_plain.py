"""Tensors, tables and fitted estimators as what pickles to the same bytes every time."""

from __future__ import annotations

import io
import pickle
import sys
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn


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


class _PlainPickler(pickle.Pickler):
    """Pickles tensors as arrays; code that only its caller can pickle, or copy, is left to it."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.outside: list[Any] = []

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, type | FunctionType) or _has_a_name(value):
            return None
        if not any(value is known for known in self.outside):
            self.outside.append(value)
        return next(i for i, known in enumerate(self.outside) if value is known)

    def reducer_override(self, value: Any) -> Any:
        if type(value) is Tensor:
            return from_plain, (to_plain(value),)
        if type(value) is nn.Parameter:
            return _parameter, (to_plain(value), value.requires_grad)
        skorch = sys.modules.get("skorch")  # who holds a net has imported it
        if skorch is not None and isinstance(value, skorch.NeuralNet):
            # Its own way writes tensors to bytes, with addresses.
            return object.__new__, (type(value),), vars(value), None, None, _set_state
        return NotImplemented


def _has_a_name(value: Any) -> bool:
    """Whether every process finds a class or a function: not in scripts, functions, lambdas."""
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value and value.__module__ != "__main__"


def _set_state(value: Any, state: dict[str, Any]) -> None:
    vars(value).update(state)


def _dump(value: Any) -> tuple[bytes, list[Any]]:
    pickler = _PlainPickler(file := io.BytesIO())
    pickler.dump(value)
    return file.getvalue(), pickler.outside


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, outside: list[Any]) -> None:
        super().__init__(io.BytesIO(data))
        self.outside = outside

    def persistent_load(self, key: int) -> Any:
        return self.outside[key]


def _parameter(plain: Plain, trainable: bool) -> nn.Parameter:
    return nn.Parameter(from_plain(plain), trainable)


class StablePickle:
    """Mixin of estimators: what was fitted is pickled to the same bytes every time.

    joblib can then tell whether it has seen an estimator (``joblib.hash``, ``Memory``), and
    hash one at all: it cannot sort the state of an optimizer.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        fitted = {name: value for name, value in state.items() if name.endswith("_")}
        if not fitted:
            return state
        # Twice: which equal texts are one object, and written once, is as after a load.
        data, outside = _dump(_PlainUnpickler(*_dump(fitted)).load())
        rest = {name: value for name, value in state.items() if name not in fitted}
        # A pickler that takes classes of a script by value (cloudpickle) finds them outside.
        return {**rest, "fitted": data, "outside": outside}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "fitted" in state:
            state |= _PlainUnpickler(state.pop("fitted"), state.pop("outside")).load()
        super().__setstate__(state)  # type: ignore[misc]
