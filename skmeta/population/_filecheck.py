"""Architectures in files: checked before anything is built from them."""

from __future__ import annotations

import math
from typing import Any

from skmeta.files import FileError
from skmeta.files.checks import expect, fields_of, integers
from skmeta.networks.architecture import Architecture, Layer

MAX_LAYERS = 1000
# States of an image may be this much larger than the image: "same" convolutions keep its size.
_GROWTH, _SMALL = 4, 256


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
        found = Architecture(spec["n_inputs"], layers, spec["output"], **rest)
    except (ValueError, TypeError) as error:
        raise FileError(str(error).rstrip(".")) from error
    check_paddings(found)
    return found


def check_paddings(spec: Architecture) -> None:
    """Refuse convolutions whose images no bytes prove: they would take for ever to run.

    Filters are in the file, paddings and strides are numbers that anybody can write down.
    """
    steps = [layer.convolution for layer in spec.layers if layer.convolution is not None]
    for size, step in zip(spec.image_sizes, steps, strict=False):
        padded = [n + 2 * p for n, p in zip(size, step.padding, strict=True)]
        good = all(s <= n for s, n in zip(step.stride, padded, strict=True))
        expect(good, f"a stride of {step.stride} is larger than the padded image {padded}")
        first, largest = (math.prod(shape) for shape in (spec.image_sizes[0], padded))
        expect(
            largest <= _GROWTH * first + _SMALL,
            f"a padding of {step.padding} makes {largest} pixels of {first}, and a file may hold "
            f"{_GROWTH} times as many and {_SMALL}",
        )


def _layer(spec: Any) -> Layer:
    expect(isinstance(spec, dict), "a layer is no object")
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
