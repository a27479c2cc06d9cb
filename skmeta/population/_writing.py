"""Files that appear complete or not at all: :func:`write_tensors`."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor


def write_tensors(
    path: str | Path, header: dict[str, Any], tensors: dict[str, Tensor], what: str
) -> None:
    """Write a safetensors file with a JSON description under the key ``skmeta``.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced.
    header : dict
        Plain JSON types.
    tensors : dict of str to Tensor
        The numbers.
    what : str
        What is saved, for messages.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"is in {path.parent}, which is no folder"
        raise FileNotFoundError(f"{what} cannot be saved: {path} {problem}.")
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(whole, {"skmeta": json.dumps(header)})
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
