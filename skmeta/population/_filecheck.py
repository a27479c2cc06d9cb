"""Checks of what a file claims, before anything is built from it."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from skmeta.population.architecture import Architecture, Layer

MAX_LAYERS = 1000


class PopulationFileError(ValueError):
    """A file that is not, or no longer, what :meth:`Population.save` wrote."""


def fail(what: str) -> NoReturn:
    """Refuse the file."""
    raise PopulationFileError(what)


def expect(condition: bool, what: str) -> None:
    """Refuse the file unless the condition holds."""
    if not condition:
        fail(what)


def fields_of(value: Any, what: str, **kinds: type | tuple[type, ...]) -> list[Any]:
    """Return the values of a JSON object that has exactly the given keys and types."""
    expect(isinstance(value, dict) and set(value) == set(kinds), f"{what} has the wrong fields")
    for name, kind in kinds.items():
        item = value[name]
        # A bool is an int in Python, and an int is a good float.
        allowed = (int, float) if kind is float else kind
        good = isinstance(item, allowed) and (kind is bool or not isinstance(item, bool))
        expect(good, f"{what}: '{name}' has the wrong type")
    return [value[name] for name in kinds]


def integers(value: Any, what: str, *, low: int, high: float = math.inf) -> list[int]:
    """Return a list of ints in the range [low, high)."""
    good = isinstance(value, list) and all(type(v) is int and low <= v < high for v in value)
    expect(good, f"{what} must be a list of ints of at least {low}")
    return value


def architecture(spec: Any) -> Architecture:
    """Return an architecture from a description that may hold anything."""
    convolutional = isinstance(spec, dict) and "input_shape" in spec
    kinds: dict[str, type] = {"n_inputs": int, "layers": list, "output": str}
    fields_of(spec, "an architecture", **kinds, **({"input_shape": list} if convolutional else {}))
    layers = spec["layers"]
    expect(len(layers) <= MAX_LAYERS, "an architecture has too many layers")
    rest: dict[str, Any] = {}
    if convolutional:
        rest["input_shape"] = tuple(integers(spec["input_shape"], "input_shape", low=1))
    try:
        layers = tuple(_layer(layer) for layer in layers)
        return Architecture(spec["n_inputs"], layers, spec["output"], **rest)
    except ValueError as error:
        raise PopulationFileError(str(error)) from error


def _layer(spec: Any) -> Layer:
    pairs = [name for name in ("kernel", "stride", "padding") if name in spec]
    fields_of(
        spec,
        "a layer",
        width=int,
        activation=str,
        norm=str,
        norm_after=bool,
        skips=list,
        skip_before=bool,
        dropout=float,
        bias=bool,
        affine=bool,
        eps=float,
        **({"kernel": list, "stride": list, "padding": list, "pool": str} if pairs else {}),
    )
    expect(0 <= spec["eps"] < math.inf, "an eps is not a small positive number")
    skips = tuple(integers(spec["skips"], "skips", low=0))
    numbers = {name: tuple(integers(spec[name], name, low=0)) for name in pairs}
    return Layer(**{**spec, **numbers, "skips": skips, "eps": float(spec["eps"])})
