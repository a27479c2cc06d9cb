"""Fitted estimators that read weights as files: :func:`write_estimator`, :func:`read_estimator`.

One safetensors file with a JSON description under the key ``skmeta``, as for populations.
Nothing in it is ever run, and it is believed only after its claims were checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skmeta.estimators.reading import build_reader, template
from skmeta.population import Architecture, Population, Record
from skmeta.population._filecheck import architecture, expect, fields_of
from skmeta.population._table_files import DTYPES
from skmeta.population._writing import write_tensors

FORMAT = "skmeta estimator"
VERSION = 1

_MAX_NUMBERS = 10**7

# What belongs to training and to a machine, not to what was learned.
_LEFT_OUT = {"net": None, "callbacks": None, "device": "cpu"}


def write_estimator(estimator: Any, path: str | Path) -> None:
    """Write a fitted estimator.

    Parameters
    ----------
    estimator : WeightSpaceRegressor or WeightSpaceClassifier
        Without ``net`` and ``callbacks``, which are code.
    path : str or Path
        An existing file is replaced.
    """
    check_is_fitted(estimator)
    owner, params = type(estimator).__name__, estimator.get_params(deep=False)
    for name in ("net", "callbacks"):
        if params[name]:
            raise ValueError(
                f"The '{name}' parameter of {owner} cannot be saved, because it is code. It is "
                f"not needed to predict: estimator.set_params({name}=None).save(path)."
            )
    params |= _LEFT_OUT
    known = [name for name in estimator._saved if hasattr(estimator, name)]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "class": owner,
        "params": {name: _encode(value, name, owner) for name, value in params.items()},
        "fitted": {name: _encode(getattr(estimator, name), name, owner) for name in known},
    }
    tensors = {name: value.cpu() for name, value in estimator.metanet_.state_dict().items()}
    write_tensors(path, header, tensors, f"A {owner}")


def _encode(value: Any, name: str, owner: str) -> Any:
    """Return plain JSON types; what JSON does not have becomes an object with one key."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Architecture):
        return {"architecture": value.to_dict()}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, name, owner) for item in value]}
    if isinstance(value, np.ndarray) and value.ndim == 1:
        items = [_encode(item, name, owner) for item in value]
        kind = value.dtype.kind
        return {"array": [kind if kind in "UO" else value.dtype.name, items]}
    raise ValueError(
        f"The '{name}' of {owner} cannot be saved: it holds a {type(value).__name__}. What can "
        "be saved are numbers, strings and architectures; pickle the estimator instead."
    )


def read_estimator(file: Any, header: Any, kinds: Mapping[str, type]) -> Any:
    """Return the estimator that :func:`write_estimator` wrote.

    Parameters
    ----------
    file : safetensors.safe_open
        May come from anybody.
    header : object
        Its description.
    kinds : mapping of str to class
        Classes by name.
    """
    fields = {"format": str, "version": int, "class": str, "params": dict, "fitted": dict}
    _, version, kind, params, fitted = fields_of(header, "the header", **fields)
    expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
    expect(kind in kinds, "the class is unknown")
    estimator = kinds[kind]()
    expect(set(params) == set(estimator.get_params()), f"these are no parameters of {kind}")
    estimator.set_params(**{name: _decode(value) for name, value in params.items()})
    expect({n: getattr(estimator, n) for n in _LEFT_OUT} == _LEFT_OUT, "it asks for code")
    estimator._check_params()
    expect(set(fitted) <= set(estimator._saved), "what was learned has the wrong fields")
    for name, value in fitted.items():
        setattr(estimator, name, _decode(value))
    for name, (wanted, optional) in estimator._saved.items():
        there = hasattr(estimator, name)
        good = isinstance(getattr(estimator, name), wanted) if there else optional
        expect(good, f"'{name}' is missing or of the wrong type")
    expect(estimator.n_layers <= len(file.keys()), "the metanetwork has too many layers")
    estimator.metanet_ = _read_metanet(file, estimator)
    return estimator


def _read_metanet(file: Any, estimator: Any) -> nn.Module:
    state: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}
    # What a file claims must not need much more memory than the file.
    widest = max((max(value.shape, default=0) for value in state.values()), default=0)
    expect(estimator.hidden_channels <= widest, "the metanetwork has too many channels")
    specs = estimator.templates_
    good = len(specs) > 0 and all(isinstance(a, Architecture) for a in specs)
    expect(good and all(template(a) == a for a in specs), "there are no templates")
    expect(sum(a.n_parameters for a in specs) <= _MAX_NUMBERS, "the templates are too large")
    blank = Population.from_records([Record.blank(a) for a in specs])
    metanet = build_reader(estimator, blank, estimator._n_outputs)
    wanted = metanet.state_dict()
    expect(set(state) == set(wanted), "weights are missing or too many")
    for name, value in state.items():
        alike = (value.dtype, value.shape) == (wanted[name].dtype, wanted[name].shape)
        expect(alike, f"'{name}' has a wrong type or shape")
        expect(bool(value.isfinite().all()), f"'{name}' is NaN or infinite")
    metanet.load_state_dict(state)
    return metanet.eval()


def _decode(value: Any) -> Any:
    """Return what :func:`_encode` got, from a description that may hold anything."""
    if isinstance(value, float):
        expect(math.isfinite(value), "a number is NaN or infinite")
    if not isinstance(value, dict):
        expect(not isinstance(value, list), "a value is of no known kind")
        return value
    expect(len(value) == 1, "a value is of no known kind")
    ((kind, content),) = value.items()
    if kind == "architecture":
        return architecture(content)
    expect(isinstance(content, list), "a value is of no known kind")
    if kind == "tuple":
        return tuple(_decode(item) for item in content)
    expect(kind == "array" and len(content) == 2, "a value is of no known kind")
    dtype, items = content
    expect(dtype in ("U", "O", *DTYPES) and isinstance(items, list), "an array is of no known kind")
    expect(not any(isinstance(item, dict | list) for item in items), "an array is nested")
    return np.array(items, dtype=dtype)
