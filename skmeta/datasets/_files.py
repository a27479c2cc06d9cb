"""Where the original files of data sets lie."""

import gzip
import os
import zlib
from pathlib import Path


def find_file(names, folder, data_home):
    """Look for a file in all homes and their sub-folder.

    Returns
    -------
    path : Path or None
        The first file that bears one of the names.
    places : list of Path
        All folders that were looked in.
    """
    places = [place for home in homes(data_home) for place in (home, home / folder)]
    candidates = (place / name for place in places for name in names)
    return next((path for path in candidates if path.is_file()), None), places


def read_unpacked(path, owner):
    """Return the content of a plain or gzipped file."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"{owner} cannot read {path}: {error}. Replace or delete it.") from error


def homes(data_home):
    """Folders to look in; a download goes into the first."""
    if data_home is not None:
        return [Path(data_home).expanduser()]
    cache = Path.home() / ".cache" / "skmeta"
    if (pooch := import_pooch()) is not None:
        cache = Path(pooch.os_cache("skmeta"))
    environment = os.environ.get("SKMETA_DATA_HOME")
    return [*([Path(environment).expanduser()] if environment else []), cache]


def import_pooch():
    """Return pooch, or None if it is not installed."""
    try:
        import pooch
    except ImportError:
        return None
    return pooch
