"""Files of ours: one container with a checksum, its checks, writing that loses nothing."""

from skmeta.files.checks import FileError, check_texts, expect, fail, fields_of, integers, refusing
from skmeta.files.container import pack, read_file, seal, unpack, write_file

__all__ = [
    "FileError",
    "check_texts",
    "expect",
    "fail",
    "fields_of",
    "integers",
    "pack",
    "read_file",
    "refusing",
    "seal",
    "unpack",
    "write_file",
]
