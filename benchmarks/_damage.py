"""Damaged files: :func:`damaged` changes bytes, JSON fields and tensors of a file of skmeta."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

from skmeta.files import FileError
from skmeta.files.container import seal

_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "F32": 4, "F64": 8}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return a damaged copy of a file; of two copies one has a checksum that fits again."""
    out = rng.choices(list(_DAMAGES), list(_DAMAGES.values()))[0](data, rng)
    if rng.random() < 0.7:
        try:
            return seal(out)
        except FileError:
            return out
    return out


# -- bytes -----------------------------------------------------------------------------------


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    stop = rng.choice([len(data), 8 + _header_size(data), 9])
    for _ in range(rng.choice([1, 1, 1, 8])):
        out[rng.randrange(stop)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _move_bytes(data: bytes, rng: random.Random) -> bytes:
    """Cut off, cut out, insert, duplicate."""
    at, n = rng.randrange(len(data)), rng.choice([1, 8, 50, 5000])
    kind = rng.choice(["cut", "delete", "insert", "repeat", "twice", "append"])
    return {
        "cut": lambda: data[:at],
        "delete": lambda: data[:at] + data[at + n :],
        "insert": lambda: data[:at] + rng.randbytes(n) + data[at:],
        "repeat": lambda: data[: at + n] + data[at:],
        "twice": lambda: data + data,
        "append": lambda: data + bytes(n),
    }[kind]()


# -- JSON ------------------------------------------------------------------------------------


def _change_description(data: bytes, rng: random.Random) -> bytes:
    outer, payload = _split(data)
    inner = json.loads(outer["__metadata__"]["skmeta"])
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        _change_somewhere(inner, rng)
    outer["__metadata__"]["skmeta"] = json.dumps(inner)
    return _joined(outer, payload)


def _change_text(data: bytes, rng: random.Random) -> bytes:
    """Replace the description, or what it holds at one place, as no dump would write it."""
    outer, payload = _split(data)
    text = outer["__metadata__"]["skmeta"]
    deep = rng.choice([10, 1000, 50_000])
    junk = [
        *("[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep, "[[]," * deep),
        *("1" * deep, "1e999", "-1e999", "NaN", '"\\ud800"', "null", "[]", "", "{" * deep),
        *('"' + "x" * deep + '"', "[" + "{}," * deep + "{}]", "[" + "0," * deep + "0]"),
    ]
    at = rng.choice([i for i, c in enumerate(text) if c in "0123456789"])
    new = rng.choice(junk)
    outer["__metadata__"]["skmeta"] = rng.choice([new, text[:at] + new + text[at + 1 :]])
    return _joined(outer, payload)


def _change_tensor_entry(data: bytes, rng: random.Random) -> bytes:
    outer, payload = _split(data)
    _change_somewhere(outer[rng.choice(_names(outer))], rng)
    return _joined(outer, payload)


def _change_somewhere(value: Any, rng: random.Random) -> None:
    """Change one thing somewhere in nested lists and dicts."""
    while True:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], dict | list) and rng.random() < 0.85:
            value = value[key]
            continue
        value[key] = _changed(value[key], rng)
        if rng.random() < 0.1:
            del value[key]
        return


def _changed(item: Any, rng: random.Random) -> Any:
    if type(item) in (int, float) and abs(item) < 1e300 and rng.random() < 0.6:
        near = [item - 1, item + 1, item + 0.5, -item, item * 2]
        return rng.choice([*near, item * 1000, item + 4000, item + 2**31, item + 2**62])
    if isinstance(item, list | str) and rng.random() < 0.4:
        most = 10**6 // max(len(json.dumps(item)), 1)
        # Copies of what is in it: one list in 3,000 places grows in all of them.
        return json.loads(json.dumps(item * min(rng.choice([0, 2, 30, 3000]), most)))
    junk = [None, True, -1, 0, 1, 2, 7, 1e308, 1e-308, -0.0, float("nan"), float("inf"), 2**63]
    junk += [10**30, 10**400, "", "relu", "../x", "9" * 50, "x" * 10**5, "\x00", "\U0001f600"]
    junk += [[], {}, [0], [[[]]], list("ab"), {"!tuple": []}, {"!array": ["U", ["a", "b" * 10**4]]}]
    junk += [{"!array": ["int64", list(range(3000))]}, {"!tuple": [0.5] * 900}, list(range(5000))]
    junk += [{"!tensor": None}, {"!DataFrame": {"n": 10**18, "columns": []}}, {"!Pruning": {}}]
    junk += [{"!MLPClassifier": {"params": {}, "fitted": None}}, {"!Joint": {"weights": [1]}}]
    return rng.choice(junk)


# -- tensors ---------------------------------------------------------------------------------


def _change_tensor(data: bytes, rng: random.Random) -> bytes:
    """Change shapes, types and numbers of tensors, with offsets that are right."""
    outer, payload = _split(data)
    names = _names(outer)
    parts = {}
    for name in names:
        low, high = outer[name]["data_offsets"]
        parts[name] = (outer[name]["dtype"], outer[name]["shape"], payload[low:high])
    for name in rng.sample(names, rng.choice([1, 1, 2, len(names)])):
        if name != "blake2b":
            parts[name] = rng.choice(_OF_TENSORS)(*parts[name], rng)
    name = rng.choice(names)
    if rng.random() < 0.1:
        parts[rng.choice([f"{name}.0", "x", "../x"])] = parts[name]
    elif rng.random() < 0.1 and name != "blake2b":
        del parts[name]
    outer = {"__metadata__": outer["__metadata__"]}
    at, chunks = 0, []
    for name, (dtype, shape, chunk) in parts.items():
        outer[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(chunk)]}
        at += len(chunk)
        chunks.append(chunk)
    return _joined(outer, b"".join(chunks))


def _other_shape(dtype: str, shape: list[int], data: bytes, rng: random.Random) -> tuple:
    shape = list(shape) or [1]
    axis = rng.randrange(len(shape))
    new = rng.choice([shape[axis] + 1, shape[axis] * 2, max(shape[axis] - 1, 1), 1, 300, 40_000])
    shape[axis] = new
    n = math.prod(shape) * _BYTES[dtype]
    if n > 2 * 10**6:
        return _no_numbers(dtype, shape, data, rng)
    return dtype, shape, (data * (n // max(len(data), 1) + 1))[:n] if data else bytes(n)


def _no_numbers(dtype: str, shape: list[int], data: bytes, rng: random.Random) -> tuple:
    """No numbers: whatever the other axes claim, no bytes prove it."""
    shape = [rng.choice([n, 10**5, 10**9, 2**62]) for n in shape] or [1]
    shape.insert(rng.randrange(len(shape) + 1), 0)
    return dtype, shape[1:] if 0 in shape[1:] and rng.random() < 0.5 else shape, b""


def _turned(dtype: str, shape: list[int], data: bytes, rng: random.Random) -> tuple:
    return dtype, rng.choice([shape[::-1], [math.prod(shape)], [1, *shape], [*shape, 1]]), data


def _other_type(dtype: str, shape: list[int], data: bytes, rng: random.Random) -> tuple:
    alike = [name for name, size in _BYTES.items() if size == _BYTES[dtype]]
    return rng.choice([*alike, "F8_E4M3", "C64"]), shape, data


def _other_numbers(dtype: str, shape: list[int], data: bytes, rng: random.Random) -> tuple:
    size = _BYTES[dtype]
    new = rng.choice([b"\x00", b"\xff", b"\x7f", b"\x80"]) * size
    if rng.random() < 0.5:
        return dtype, shape, new * (len(data) // size)
    at = rng.randrange(max(len(data) // size, 1)) * size
    return dtype, shape, data[:at] + new[: len(data) - at] + data[at + size :]


_OF_TENSORS: list[Callable[..., tuple]] = [
    *(_other_shape, _no_numbers, _turned, _other_type, _other_numbers)
]

_DAMAGES: dict[Callable[[bytes, random.Random], bytes], float] = {
    _flip_bits: 2,
    _move_bytes: 2,
    _change_description: 6,
    _change_text: 1,
    _change_tensor_entry: 1,
    _change_tensor: 3,
}


def _header_size(data: bytes) -> int:
    return struct.unpack("<Q", data[:8])[0]


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    stop = 8 + _header_size(data)
    return json.loads(data[8:stop]), data[stop:]


def _joined(outer: dict[str, Any], payload: bytes) -> bytes:
    text = json.dumps(outer).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def _names(outer: dict[str, Any]) -> list[str]:
    return [name for name in outer if name != "__metadata__"]
