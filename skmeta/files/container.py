"""One safetensors file with a JSON description and a checksum: :func:`pack`, :func:`unpack`.

The description is the text ``skmeta`` in the header, the checksum (BLAKE2b of all other bytes)
the tensor ``blake2b``. It finds accidents; whoever means harm computes a checksum too, so a file is
believed only as far as its claims are checked: nothing is allocated that its bytes do not prove.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from skmeta.files.checks import FileError, expect, fail
from skmeta.files.foreign import describe
from skmeta.files.writing import replace_file

_CHECKSUM = "blake2b"
_SIZE = 32
_HEAD = 4096
# A list or an object of JSON takes up to 280 bytes in memory, any other value up to 64.
_NESTED, _PLAIN = 280, 64
_MOST_TEXT = 100 * 10**6
_FREE = 48 * 10**6


def pack(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of a file; equal contents give equal bytes.

    Parameters
    ----------
    description : dict
        Plain JSON types.
    tensors : dict of str to Tensor
        The numbers.

    Raises
    ------
    FileError
        If :func:`unpack` would refuse the file.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    whole[_CHECKSUM] = torch.zeros(_SIZE, dtype=torch.uint8)
    # The only key: safetensors writes several in random order.
    data = seal(safetensors.torch.save(whole, {"skmeta": json.dumps(description)}))
    _header(data, len(data))
    return data


def seal(data: bytes) -> bytes:
    """Return a file with the checksum that goes with its other bytes."""
    at = _place_of_checksum(_header(data, len(data)), data)
    return data[:at] + _checksum(data, at) + data[at + _SIZE :]


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the description and the tensors of a file that may come from anybody.

    Raises
    ------
    FileError
        If the file is damaged or not from :func:`pack`.
    """
    header = _header(data, len(data))
    metadata = header.get("__metadata__")
    text = metadata.get("skmeta") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        fail(describe(data))
    at = _place_of_checksum(header, data)
    good = data[at : at + _SIZE] == _checksum(data, at)
    expect(good, "it is damaged: its checksum is not that of its contents")
    description = _parsed(text)
    expect(isinstance(description, dict), "it has no description")
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise FileError("its tensors do not fill it") from error
    del tensors[_CHECKSUM]
    return description, tensors


def write_file(
    path: str | Path,
    description: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    what: str,
    *,
    private: bool = False,
) -> None:
    """Pack and write a file, which appears complete or not at all.

    Parameters
    ----------
    path : str or Path
        See :func:`~skmeta.files.writing.replace_file`.
    description, tensors
        See :func:`pack`.
    what : str
        What is saved, for messages.
    private : bool, default=False
        Whether it holds personal data.
    """
    try:
        data = pack(description, tensors)
    except FileError as error:
        raise FileError(f"{what} cannot be saved: {error}.") from error
    replace_file(path, data, what, private=private)


def read_file(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file into memory, so that it may change or vanish afterwards, and unpack it."""
    if not os.path.isfile(path):
        what = " but a device or a pipe" if os.path.exists(path) else ""
        what = " but a folder" if os.path.isdir(path) else what
        raise FileNotFoundError(f"There is no file {str(path)[:500]}{what}.")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        # A large file of another kind is known by its beginning.
        _check_head(head, size)
        return unpack(head + file.read())


def _check_head(head: bytes, size: int) -> int:
    """Return the length of the header."""
    length = int.from_bytes(head[:8], "little")
    expect(len(head) > 8 and head[8:9] == b"{" and 8 + length <= size, describe(head))
    return length


def _header(data: bytes, size: int) -> dict[str, Any]:
    text = data[8 : 8 + _check_head(data[:_HEAD], size)]
    nested = text.count(b"{") + text.count(b"[")
    cost = _NESTED * nested + _PLAIN * (text.count(b",") + text.count(b":"))
    expect(
        len(text) <= _MOST_TEXT and cost <= _FREE + 8 * size,
        f"its description, of {len(text)} bytes, is too large for its numbers",
    )
    header = _parsed(text)
    expect(isinstance(header, dict), "its header is no JSON object")
    return header


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        fail("its description is nested too deeply")
    except ValueError:  # also of bytes that are no text and of endless numbers
        fail("its description is not JSON")


def _place_of_checksum(header: dict[str, Any], data: bytes) -> int:
    entry = header.get(_CHECKSUM)
    if not isinstance(entry, dict):
        fail("it has no checksum: an older skmeta wrote it, or none")
    offsets: Any = entry.get("data_offsets")
    good = isinstance(offsets, list) and len(offsets) == 2 and all(type(o) is int for o in offsets)
    start = 8 + int.from_bytes(data[:8], "little")
    good = good and 0 <= offsets[0] and offsets[1] - offsets[0] == _SIZE
    expect(good and start + offsets[1] <= len(data), "its checksum is cut off")
    return start + offsets[0]


def _checksum(data: bytes, at: int) -> bytes:
    view, digest = memoryview(data), hashlib.blake2b(digest_size=_SIZE)
    digest.update(view[:at])
    digest.update(view[at + _SIZE :])
    return digest.digest()
