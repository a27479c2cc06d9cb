"""Searches that go on where they were interrupted: :class:`Kept`."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from skmeta._plain import as_array
from skmeta.files import FileError, codec
from skmeta.files.checks import expect
from skmeta.files.codec import Fields, Format
from skmeta.optimizing.problems import Problem

P = TypeVar("P", bound=Any)
P_co = TypeVar("P_co", bound=Any, covariant=True)


class Plan(Protocol[P_co]):
    """What can be interrupted: a dataclass whose progress is one with a history."""

    def start(self) -> P_co:
        """Return where it begins."""
        ...

    def restored(self, fields: Fields) -> P_co:
        """Return the progress that was written, of fields that may hold anything."""
        ...


FORMAT = "skmeta search"
_VERSION = 1  # raise it when the same search begins to find something else


class Kept(Generic[P]):
    """How far a search or a meta-training has come, in a file.

    The name of the file is a hash of all that defines what is done.

    Parameters
    ----------
    folder : Path
        Where files are; it is made if need be.
    plan : Search or MetaTraining
        What is done.
    problems : sequence of Problem
        On what.
    """

    def __init__(self, folder: Path, plan: Plan[P], problems: Sequence[Problem]) -> None:
        self.path, self.plan = folder / f"search-{_digest(plan, problems)}.safetensors", plan
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                "The 'cache_dir' parameter must be a folder, or a path where one can be made. Got "
                f"{str(folder)!r}, where there is a file."
            ) from error

    def load(self) -> P:
        """Return how far it has come; its start if there is no good file."""
        if not os.path.lexists(self.path):
            return self.plan.start()
        try:
            return codec.read(self.path, "a search", {FORMAT: Format((), self._build)})
        except (FileError, OSError) as error:
            warnings.warn(
                f"The search begins anew, because its file {self.path} in 'cache_dir' is damaged: "
                f"{error} Remove it if you read this again.",
                stacklevel=2,
            )
            return self.plan.start()

    def save(self, progress: P) -> None:
        """Write how far it has come; the file appears complete or not at all."""
        fields = asdict(progress)
        rounds = fields["history"]
        fields["history"] = [{k: _or(v, math.inf, None) for k, v in h.items()} for h in rounds]
        codec.write(self.path, FORMAT, fields, "search")

    def _build(self, fields: Fields) -> P:
        expect(isinstance(fields.get("history"), list), "it has no history")
        for seen in fields["history"]:
            expect(isinstance(seen, dict), "a round is no dict")
            seen.update({name: _or(value, None, math.inf) for name, value in seen.items()})
        return self.plan.restored(fields)


def _or(value: Any, this: Any, other: Any) -> Any:
    """Return another value for this one: files hold no infinities, and rounds may."""
    return other if value == this else value


def _digest(plan: Any, problems: Sequence[Problem]) -> str:
    digest = hashlib.sha256()
    for networks, task in problems:
        for array in (task.X, task.y):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        for record in networks.records():
            digest.update(json.dumps(record.architecture.to_dict(), sort_keys=True).encode())
            for tensor in record.tensors.values():
                digest.update(as_array(tensor).tobytes())
        digest.update(str(networks.device).encode())
    digest.update(
        json.dumps([_VERSION, torch.__version__, type(plan).__name__, asdict(plan)]).encode()
    )
    return digest.hexdigest()[:16]
