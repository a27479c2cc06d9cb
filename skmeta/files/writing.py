"""Files that appear complete or not at all: :func:`replace_file`."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
import time
from pathlib import Path

from skmeta.files.checks import FileError, check_path

_PART = ".skmeta-"
_OLD = 3600.0  # seconds; a writer that is at work touches its file more often


def replace_file(path: str | Path, data: bytes, what: str, *, private: bool = False) -> None:
    """Write a file beside its place and move it there when it is complete.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced and its mode kept; a symbolic link stays, and the file
        that it points to is replaced.
    data : bytes
        The contents.
    what : str
        What is saved, for messages.
    private : bool, default=False
        Whether the file holds personal data: nobody but its owner may then read it.

    Raises
    ------
    FileError
        If there is a device or a pipe, or the system refuses the name.
    FileNotFoundError
        If there is a folder, or no folder to write to.
    """
    target = _place(check_path(path), what)
    _sweep(target.parent)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    part = target.with_name(f"{_PART}{_host()}-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=_private if private or mode is not None else None) as file:
            if mode is not None and not private:
                part.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        if error.errno is None:
            raise
        # The name of the part says nothing to the caller.
        raise OSError(
            error.errno, f"{what} cannot be saved to {path}: {os.strerror(error.errno)}"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _place(path: Path, what: str) -> Path:
    """Return the file that is to be written, behind symbolic links."""
    try:
        target = Path(os.path.realpath(path))
        found = target.lstat()
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        reason = "has a name that the system does not take"
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            reason = f"has a name of {len(os.fsencode(path.name))} bytes, which is too long"
        raise FileError(f"{what} cannot be saved: {str(path)[:200]} {reason}.") from error
    if target.is_dir() or not target.parent.is_dir():
        problem = "is a folder" if target.is_dir() else f"is in {target.parent}, which is no folder"
        raise FileNotFoundError(f"{what} cannot be saved: {path} {problem}.")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise FileError(
            f"{what} cannot be saved: {path} is no file but a device, a pipe or a loop."
        )
    return target


def _host() -> str:
    """Name the space that process numbers belong to: this machine, or this container of it."""
    space = ""
    with contextlib.suppress(OSError):  # where there is no such thing
        space = str(os.stat("/proc/self/ns/pid").st_ino)
    return "".join(c for c in socket.gethostname() if c.isalnum())[:40] + space


def _sweep(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder."""
    for part in folder.glob(f"{_PART}*-*-*.part"):
        host, pid, _ = part.name.removeprefix(_PART).split("-", 2)
        with contextlib.suppress(OSError, ValueError):
            dead = host == _host() and not _is_alive(int(pid))
            if dead or time.time() - part.stat().st_mtime > _OLD:
                part.unlink()


def _is_alive(pid: int) -> bool:
    if os.name != "posix":  # where signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
