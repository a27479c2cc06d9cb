"""Checks of what a file claims, before anything is built from it: :class:`FileError`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

from torch import Tensor, nn


class FileError(ValueError):
    """A file that is not, or no longer, what skmeta wrote; or a place where it cannot write one.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.files import FileError
    >>> try:
    ...     Population.load("setup.py")
    ... except (FileError, FileNotFoundError) as error:
    ...     print("train again")
    train again
    """


def check_path(path: Any) -> Path:
    """Return where a file is or shall be; a number would be one that is open already."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"The 'path' of a file must be a str or a Path. Got {path!r}. Pass its name."
        )
    return Path(path)


def fail(what: str) -> NoReturn:
    """Refuse the file."""
    raise FileError(what)


def expect(condition: bool, what: str) -> None:
    """Refuse the file unless the condition holds."""
    if not condition:
        fail(what)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type, all that is in it included."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in inner)
    if origin is Any or origin is None:
        return origin is Any or value is None
    # A bool is an int in Python, and an int is a good float.
    allowed: Any = (int, float) if origin is float else origin
    if not isinstance(value, allowed) or (isinstance(value, bool) and origin in (int, float)):
        return False
    if origin is dict and inner:
        return all(fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items())
    if origin is tuple and inner and inner[-1] is not ...:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return not inner or all(fits(item, inner[0]) for item in value)


def fields_of(value: Any, what: str, **hints: Any) -> list[Any]:
    """Return the values of an object that has exactly the given keys, of annotated types."""
    expect(isinstance(value, dict) and set(value) == set(hints), f"{what} has the wrong fields")
    for name, hint in hints.items():
        expect(fits(value[name], hint), f"{what}: '{name}' has the wrong type")
    return [value[name] for name in hints]


def integers(value: Any, what: str, *, low: int, high: float = math.inf) -> list[int]:
    """Return a list of ints in the range [low, high)."""
    good = isinstance(value, list) and all(type(v) is int and low <= v < high for v in value)
    expect(good, f"{what} must be a list of ints of at least {low}")
    return value


def check_texts(values: list[Any]) -> None:
    """Refuse texts whose array, as wide as the longest in all places, is far larger than they."""
    lengths = [len(value) for value in values if isinstance(value, str)]
    most = 10 * sum(lengths) + 10**6
    expect(max(lengths, default=0) * len(values) <= most, "one text is far longer than the others")


@contextmanager
def refusing(path: str | Path, what: str) -> Iterator[None]:
    """Run a block in which whatever a hostile file makes fail, fails with :class:`FileError`.

    Parameters
    ----------
    path : str or Path
        The file.
    what : str
        What it should have been, with an article.
    """
    path = check_path(path)
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise FileError(f"{path} is not {what}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    # Checks of parameters say what they got; what Python says of its objects helps nobody.
    ours = isinstance(error, ValueError | TypeError) and "Got " in text
    if isinstance(error, FileError) or ours:
        return text if len(text) <= 500 else f"{text[:500]} ..."
    if isinstance(error, MemoryError):
        return "this machine has too little memory for what it holds"
    return "its parts do not fit together"


def load_weights(metanet: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a metanetwork with the weights of a file, if these are its own.

    Parameters
    ----------
    metanet : Module
        Where it claims much on the meta device: without numbers that takes no memory.
    state : mapping of str to Tensor
        What the file has.
    """
    wanted = metanet.state_dict()
    expect(set(state) == set(wanted), "weights are missing or too many")
    for name, value in state.items():
        alike = (value.dtype, value.shape) == (wanted[name].dtype, wanted[name].shape)
        expect(alike, f"'{name}' has a wrong type or shape")
        expect(bool(value.isfinite().all()), f"'{name}' is NaN or infinite")
    metanet.load_state_dict(state, assign=True)
    return metanet.eval()
