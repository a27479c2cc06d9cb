"""Parameters and attributes as plain JSON types and back: :func:`encode`, :func:`decode`.

What JSON does not have becomes an object with one key that names its kind. Nothing is looked
up by a name from a file but the requirements in :data:`REQUIREMENTS`.
"""

from __future__ import annotations

import inspect
import math
from numbers import Real
from typing import Any

import numpy as np

from skmeta.files.checks import check_texts, expect
from skmeta.networks import Architecture
from skmeta.population._estimator_files import REGISTRY as NETWORKS
from skmeta.population._filecheck import architecture
from skmeta.population._table_files import DTYPES
from skmeta.requirements import (
    DataMinimization,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    Joint,
    MaskRequirement,
    Pruning,
    Requirement,
)

REQUIREMENTS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        EqualizedOdds,
        DemographicParity,
        EqualOpportunity,
        Joint,
        DataMinimization,
        Pruning,
    )
}
"""Requirements that a file may name; others are code."""

# Kinds of numpy's strings and objects; of the latter only scalars are written.
_TEXT = ("U", "O")
_MAX_ITEMS = 1000


def encode(value: Any, name: str, owner: str) -> Any:
    """Return plain JSON types.

    Parameters
    ----------
    value : object
        A number, string, Architecture, requirement or unfitted MLPClassifier, or arrays,
        tuples, lists and dicts of these.
    name, owner : str
        The parameter or attribute and its class, for messages.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Architecture):
        return {"architecture": value.to_dict()}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(item, name, owner) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(item, name, owner) for key, item in value.items()}}
    known = REQUIREMENTS.get(type(value).__name__) is type(value)
    if known and isinstance(value, Requirement | MaskRequirement):
        params = value.get_params(deep=False)
        described = {key: encode(item, name, owner) for key, item in params.items()}
        return {"requirement": [type(value).__name__, described]}
    if NETWORKS.get(type(value).__name__) is type(value):
        network: Any = value
        params = network.get_params(deep=False)
        described = {key: encode(item, f"{name}__{key}", owner) for key, item in params.items()}
        return {"network": [type(value).__name__, described]}
    if isinstance(value, np.ndarray) and value.ndim == 1:
        kind = value.dtype.kind if value.dtype.kind in _TEXT else value.dtype.name
        if kind in (*_TEXT, *DTYPES):
            return {"array": [kind, [encode(item, name, owner) for item in value]]}
    if callable(value) or isinstance(value, Requirement | MaskRequirement):
        raise ValueError(
            f"The '{name}' of {owner} cannot be saved, because it is code: {value!r}. Pickle the "
            "estimator instead, and load only pickles that you trust."
        )
    raise ValueError(
        f"The '{name}' of {owner} cannot be saved: it holds a {type(value).__name__}. What can "
        "be saved are numbers, strings, architectures, MLPClassifiers and the requirements of "
        "skmeta; pickle the estimator instead."
    )


def decode(value: Any) -> Any:
    """Return what :func:`encode` got, from a description that may hold anything."""
    if isinstance(value, float):
        expect(math.isfinite(value), "a number is NaN or infinite")
    if not isinstance(value, dict):
        expect(not isinstance(value, list), "a value is of no known kind")
        return value
    expect(len(value) == 1, "a value is of no known kind")
    ((kind, content),) = value.items()
    if kind == "architecture":
        return architecture(content)
    if kind == "dict":
        expect(isinstance(content, dict), "a value is of no known kind")
        return {key: decode(item) for key, item in content.items()}
    expect(isinstance(content, list), "a value is of no known kind")
    if kind == "tuple":
        return tuple(decode(item) for item in content)
    if kind == "list":
        return [decode(item) for item in content]
    builders = {"array": _array, "requirement": _requirement, "network": _network}
    expect(kind in builders and len(content) == 2, "a value is of no known kind")
    return builders[kind](*content)


def _array(dtype: Any, items: Any) -> np.ndarray:
    expect(dtype in (*_TEXT, *DTYPES) and isinstance(items, list), "an array is of no known kind")
    expect(not any(isinstance(item, dict | list) for item in items), "an array is nested")
    if dtype == "U":
        expect(all(isinstance(item, str) for item in items), "an array of texts holds others")
        check_texts(items)
    return np.array([decode(item) for item in items], dtype=dtype)


def _network(name: Any, params: Any) -> Any:
    expect(isinstance(name, str) and name in NETWORKS, "a network is unknown")
    estimator = NETWORKS[name]()
    good = isinstance(params, dict) and set(params) == set(estimator.get_params(deep=False))
    expect(good, f"these are no parameters of {name}")
    estimator.set_params(**{key: decode(item) for key, item in params.items()})
    estimator._validate_params()
    return estimator


def _requirement(name: Any, params: Any) -> Any:
    expect(isinstance(name, str) and name in REQUIREMENTS, "a requirement is unknown")
    kind = REQUIREMENTS[name]
    known = set(inspect.signature(kind).parameters)
    good = isinstance(params, dict) and set(params) == known
    expect(good, f"these are no parameters of {name}")
    given = {key: decode(item) for key, item in params.items()}
    for key in known & {"thresholds", "requirements", "weights"}:
        good = isinstance(given[key], tuple | list | np.ndarray) and len(given[key]) <= _MAX_ITEMS
        expect(good, f"the {key} of {name} are no short list")
    if kind is Joint:
        parts, weights = given["requirements"], given["weights"]
        good = all(isinstance(part, Requirement) for part in parts) and len(parts) == len(weights)
        good = good and all(isinstance(weight, Real) for weight in weights)
        expect(good and len(parts) > 0, "a Joint does not fit together")
    return kind(**given)
