"""What a file is that skmeta did not write, by its first bytes: :func:`describe`."""

from __future__ import annotations

import codecs

_NETWORK = "If you trust its author, load it with what wrote it, and pass Population([network])"
_PICKLE = (
    "a pickle, as of joblib.dump, pickle.dump or an old torch.save, and loading it can run any "
    f"code. {_NETWORK}"
)
_JOBLIB = "as of joblib.dump(compress=...), which writes pickles"

_STARTS = {
    b"PK\x03\x04": f"a zip archive, as of torch.save or numpy.savez. {_NETWORK}",
    **{b"\x80" + bytes([protocol]): _PICKLE for protocol in range(2, 6)},
    b"\x93NUMPY": "an array of numpy. Read it with numpy.load",
    b"\x89HDF": f"an HDF5 file. {_NETWORK}",
    b"PAR1": "a Parquet table. Read it with pandas.read_parquet",
    b"\x1f\x8b": f"compressed with gzip, {_JOBLIB}. {_NETWORK}",
    b"\x78\x9c": f"compressed with zlib, {_JOBLIB}. {_NETWORK}",
    b"\x78\x5e": f"compressed with zlib, {_JOBLIB}. {_NETWORK}",
    b"BZh": f"compressed with bzip2, {_JOBLIB}. {_NETWORK}",
    b"\xfd7zXZ": f"compressed with xz, {_JOBLIB}. {_NETWORK}",
    b"version https://git-lfs": "a pointer to a file that was not fetched: git lfs pull",
}


def describe(head: bytes) -> str:
    """Say what a file is and what to do.

    Parameters
    ----------
    head : bytes
        How it begins.
    """
    if not head:
        return "it is empty. Copy or write it again"
    for start, what in _STARTS.items():
        if head.startswith(start):
            return f"it is {what}"
    if head[8:9] == b"{":
        if b"skmeta" in head:
            return "it is cut off or damaged. Copy or write it again"
        if b'"data_offsets"' in head:
            return (
                "it is a safetensors file of another program. For a network: "
                "module.load_state_dict(safetensors.torch.load_file(path)), Population([module])"
            )
    if _is_text(head):
        return "it is text. For a table: pandas.read_csv"
    return "skmeta did not write it, or its beginning is damaged"


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # may end within a letter
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)
