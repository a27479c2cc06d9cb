"""Checks of what a file claims, before anything is built from it: :class:`FileError`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


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
