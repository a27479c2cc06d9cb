"""Files of ours: one container with a checksum, checks of claims, writing that loses nothing."""

from skmeta.files.checks import FileError

__all__ = ["FileError"]
