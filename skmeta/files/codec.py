"""Values as plain JSON types and named tensors, and back: :func:`encode`, :func:`decode`.

What JSON does not have becomes an object with one key, ``!`` and the name of its kind. A tensor
leaves ``{"!tensor": null}`` and stands in a table under its path. Nothing is looked up by a name
from a file but the kinds that were registered and that the caller expects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from skmeta.files.checks import check_texts, expect, fail, refusing
from skmeta.files.container import read_file, write_file

VERSION = 3

_MARK = "!"
_UNKNOWN = "a value is of no known kind"
_SCALAR = (bool, int, float, str, type(None))
# "U" and "O" are numpy's kinds of strings and objects; of the latter only scalars are written.
_ARRAYS = (
    *("U", "O", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "float32", "float64"),
)

Fields = dict[str, Any]


class _Kind(NamedTuple):
    to_fields: Callable[[Any], Fields]
    from_fields: Callable[[Fields], Any]


_KINDS: dict[type, _Kind] = {}


class Format(NamedTuple):
    """What a kind of file holds.

    Attributes
    ----------
    kinds : collection of type
        The registered kinds that may be in it.
    build : callable
        Returns what was saved, of its fields, which may hold anything of these kinds.
    """

    kinds: Collection[type]
    build: Callable[[Fields], Any]


def register(
    kind: type, to_fields: Callable[[Any], Fields], from_fields: Callable[[Fields], Any]
) -> None:
    """Let files hold instances of a class, under its name.

    Parameters
    ----------
    kind : type
        Exactly this class: a subclass is code.
    to_fields : callable
        Returns the fields of an instance, of kinds that files hold.
    from_fields : callable
        Returns an instance, of fields that may hold anything, after checks.
    """
    _KINDS[kind] = _Kind(to_fields, from_fields)


def write(
    path: str | Path, form: str, fields: Fields, owner: str, *, private: bool = False
) -> None:
    """Write fields to a file, which appears complete or not at all.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced.
    form : str
        The name of a :class:`Format`.
    fields : dict
        What is saved.
    owner : str
        Its class, for messages.
    private : bool, default=False
        Whether it holds personal data.
    """
    plain, tensors = encode(fields, owner)
    header = {"format": form, "version": VERSION, **plain}
    article = "An" if owner[0] in "AEIO" else "A"
    write_file(path, header, tensors, f"{article} {owner}", private=private)


def read(path: str | Path, what: str, formats: Mapping[str, Format | str]) -> Any:
    """Return what the file of somebody holds.

    Parameters
    ----------
    path : str or Path
        Where it is.
    what : str
        What it should be, with an article.
    formats : mapping of str to Format or str
        What it may be; a text says what to do with such a file elsewhere.
    """
    with refusing(path, what):
        header, tensors = read_file(path)
        found = formats.get(str(header.pop("format", None)), "its format is unknown")
        if isinstance(found, str):
            fail(found)
        version = header.pop("version", None)
        expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
        return found.build(decode(header, tensors, found.kinds))


def copied(fields: Fields, owner: str, kinds: Collection[type]) -> Any:
    """Return what a reader of these fields would get."""
    plain, tensors = encode(fields, owner)
    return decode(json.loads(json.dumps(plain)), tensors, kinds)


def encode(value: Any, owner: str) -> tuple[Any, dict[str, Tensor]]:
    """Return plain JSON types, and the tensors under their paths.

    Parameters
    ----------
    value : object
        Scalars, tensors, arrays of one axis and registered kinds, in tuples, lists and dicts.
    owner : str
        Whose fields they are, for messages.
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, _SCALAR):
            return value
        if isinstance(value, Tensor):
            expect(tensors.setdefault(".".join(path), value) is value, "two tensors have one name")
            return {"!tensor": None}
        if isinstance(value, list | tuple):
            items = [plain(item, (*path, str(i))) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"!tuple": items}
        if isinstance(value, dict) and not any(str(key).startswith(_MARK) for key in value):
            return {key: plain(item, (*path, key)) for key, item in value.items()}
        if type(value) in _KINDS:
            fields = _KINDS[type(value)].to_fields(value)
            return {_MARK + type(value).__name__: plain(fields, path)}
        if isinstance(value, np.ndarray) and value.ndim == 1:
            kind = value.dtype.kind if value.dtype.kind in "UO" else value.dtype.name
            items = [i.item() if isinstance(i, np.generic) else i for i in value.tolist()]
            if kind in _ARRAYS and all(isinstance(item, _SCALAR) for item in items):
                if kind == "U":
                    check_texts(items)
                return {"!array": [kind, items]}
        raise ValueError(_refusal(value, path, owner))

    return plain(value, ()), tensors


def _refusal(value: Any, path: tuple[str, ...], owner: str) -> str:
    parts = [part for part in path if part not in ("params", "fitted") and not part.isdigit()]
    name = "__".join(parts)
    # Classes of one's own that have parameters.
    if callable(value) or hasattr(value, "get_params"):
        return (
            f"The '{name}' of {owner} cannot be saved, because it is code: {value!r}. Pickle the "
            "estimator instead, and load only pickles that you trust."
        )
    return (
        f"The '{name}' of {owner} cannot be saved: it holds a {type(value).__name__}. What can "
        "be saved are numbers, strings, architectures, MLPClassifiers and the requirements of "
        "skmeta; pickle the estimator instead."
    )


def decode(value: Any, tensors: Mapping[str, Tensor], kinds: Collection[type]) -> Any:
    """Return what :func:`encode` got, from a description that may hold anything.

    Parameters
    ----------
    value : object
        Plain JSON types.
    tensors : mapping of str to Tensor
        Each must be used, once.
    kinds : collection of type
        What may be in it.
    """
    left, names = dict(tensors), {kind.__name__: kind for kind in kinds}

    def whole(value: Any, path: tuple) -> Any:
        """Return a value; the path is nested in itself, so that a long list costs little."""
        if isinstance(value, float):
            expect(math.isfinite(value), "a number is NaN or infinite")
        if isinstance(value, list):
            return [
                item if type(item) in (int, str) else whole(item, (path, str(i)))
                for i, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        marked = [key for key in value if key.startswith(_MARK)]
        if not marked:
            return {key: whole(item, (path, key)) for key, item in value.items()}
        expect(len(value) == 1, _UNKNOWN)
        kind, content = marked[0].removeprefix(_MARK), value[marked[0]]
        if kind == "tensor":
            found = left.pop(_joined(path), None)
            return found if found is not None else fail(_AMISS)
        content = whole(content, path)
        if kind == "tuple" and isinstance(content, list):
            return tuple(content)
        if kind == "array" and isinstance(content, list) and len(content) == 2:
            return _array(*content)
        expect(kind in names and isinstance(content, dict), _UNKNOWN)
        return _KINDS[names[kind]].from_fields(content)

    found = whole(value, ())
    expect(not left, _AMISS)
    return found


_AMISS = "tensors are missing or too many"


def _joined(path: tuple) -> str:
    parts = []
    while path:
        path, part = path
        parts.append(part)
    return ".".join(reversed(parts))


def _array(dtype: Any, items: Any) -> np.ndarray:
    known = isinstance(dtype, str) and dtype in _ARRAYS
    expect(known and isinstance(items, list), "an array has an unknown dtype")
    expect(all(isinstance(item, _SCALAR) for item in items), "an array is nested")
    if dtype == "U":
        expect(all(isinstance(item, str) for item in items), "an array of texts holds others")
        check_texts(items)
    array = np.array(items, dtype=dtype)
    expect(array.tolist() == items, "the items of an array do not fit its dtype")
    return array
