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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._plain import as_array
from skmeta.files import FileError, codec
from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields, Format
from skmeta.optimizing.search import Problem, Progress, Search

FORMAT = "skmeta search"
_VERSION = 1  # raise it when the same search begins to find something else


class Kept:
    """The progress of one search, in a file whose name is a hash of all that defines it.

    Parameters
    ----------
    folder : Path
        Where files are; it is made if need be.
    search : Search
        What is searched.
    problems : sequence of Problem
        On what.
    """

    def __init__(self, folder: Path, search: Search, problems: Sequence[Problem]) -> None:
        self.path = folder / f"search-{_digest(search, problems)}.safetensors"
        self.n_rounds, self.base = search.n_rounds, search.base
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                "The 'cache_dir' parameter must be a folder, or a path where one can be made. Got "
                f"{str(folder)!r}, where there is a file."
            ) from error

    def load(self) -> Progress:
        """Return how far the search has come; its start if there is no good file."""
        if not os.path.lexists(self.path):
            return Progress.start(self.base)
        try:
            return codec.read(self.path, "a search", {FORMAT: Format((), self._build)})
        except (FileError, OSError) as error:
            warnings.warn(
                f"The search begins anew, because its file {self.path} in 'cache_dir' is damaged: "
                f"{error} Remove it if you read this again.",
                stacklevel=2,
            )
            return Progress.start(self.base)

    def save(self, progress: Progress) -> None:
        """Write how far the search has come; the file appears complete or not at all."""
        fields = asdict(progress)
        fields["history"] = [
            {k: _or(v, math.inf, None) for k, v in h.items()} for h in fields["history"]
        ]
        codec.write(self.path, FORMAT, fields, "search")

    def _build(self, fields: Fields) -> Progress:
        parts = {"mean": Tensor, "spread": Tensor, "history": list[dict[str, Any]]}
        progress = Progress(*fields_of(fields, "the search", **parts))
        like = Progress.start(self.base).mean
        for tensor in (progress.mean, progress.spread):
            good = tensor.shape == like.shape and tensor.dtype == like.dtype
            expect(good and bool(((tensor >= 0) & (tensor <= 1)).all()), "a place is off its scale")
        expect(0 < len(progress.history) <= self.n_rounds, "it has another number of rounds")
        for seen in progress.history:
            kinds = dict.fromkeys(("best", "median", "mean"), float | None) | {"n_diverged": int}
            candidate = fields_of(seen, "a round", **kinds, candidate=list[float])[-1]
            expect(len(candidate) == len(like), "a candidate has other numbers")
            seen.update({name: _or(value, None, math.inf) for name, value in seen.items()})
        return progress


def _or(value: Any, this: Any, other: Any) -> Any:
    """Return another value for this one: files hold no infinities, and rounds may."""
    return other if value == this else value


def _digest(search: Search, problems: Sequence[Problem]) -> str:
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
    digest.update(json.dumps([_VERSION, torch.__version__, asdict(search)]).encode())
    return digest.hexdigest()[:16]
