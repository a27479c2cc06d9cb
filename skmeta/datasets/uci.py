"""Real tasks: the original files of the UCI Machine Learning Repository."""

import hashlib
import io
from pathlib import Path

import pandas as pd
from sklearn.utils import Bunch

from skmeta.datasets._files import find_file, homes, import_pooch, read_unpacked

_ARCHIVE = "https://archive.ics.uci.edu/ml/machine-learning-databases"
_DOWNLOADS = {
    "adult.data": "adult/adult.data",
    "adult.test": "adult/adult.test",
    "bank-full.csv": "00222/bank.zip",
}
# sha256 of the unpacked content, without blank lines and with "\n" between the others: copies
# in circulation differ in just that.
_SHA256 = {
    "adult.data": "ea895aae047aa83ca757e3024a029be8b11806c656ad2c5b1efd8cec28af19ad",
    "adult.test": "cef936265eaa826d9b44c86da611553fb99772b632b60ef8577a97fe8efdb2e3",
    "bank-full.csv": "64c5c240bc7a44f8abd2de101af8e09fde2400c0d177ea3902aac92c7b2e51ba",
}
_ADULT_COLUMNS = (
    "age workclass fnlwgt education education-num marital-status occupation relationship race "
    "sex capital-gain capital-loss hours-per-week native-country income"
).split()
_ADULT_DESCR = """UCI Adult / Census Income: does a person earn more than 50,000 dollars a year?

48,842 persons of the US census of 1994, both original files in order; 14 features; "?" is a
category of its own. Sensitive: sex, race.
Known criticism: the threshold lies at the 88th / 89th percentile of the income of Black people
and of women (Ding et al., "Retiring Adult", 2021). Report other groups and other data too.
Source: Becker & Kohavi (1996), UCI Machine Learning Repository."""
_BANK_DESCR = """UCI Bank Marketing: does a client subscribe to a term deposit after a phone call?

45,211 clients of a Portuguese bank, 2008 to 2010; 16 features; "unknown" is a category of its
own. Sensitive: age (below 25 or not), marital. The feature "duration" is known only after the
call, so a realistic predictor should not use it.
Source: Moro, Rita & Cortez (2014), UCI Machine Learning Repository."""


def fetch_adult(*, data_home=None, download_if_missing=True):
    """Load UCI Adult (Census Income).

    The original files `adult.data` and `adult.test`, plain or gzipped, are looked for in
    `data_home` and its folder `adult`; their content is verified.

    Parameters
    ----------
    data_home : path-like or None
        Where the files lie or shall lie. None means ``$SKMETA_DATA_HOME`` if that is set, then
        the user's cache folder.
    download_if_missing : bool
        Download files that are found nowhere (needs `pooch`); if False, raise.

    Returns
    -------
    Bunch
        `data` (DataFrame, 48,842 rows, 14 columns), `target` (Series of "<=50K" / ">50K"),
        `sensitive_features` (DataFrame: sex, race), `frame` (data and target),
        `feature_names` and `DESCR`.

    Examples
    --------
    >>> from skmeta.datasets import fetch_adult, split_tasks
    >>> adult = fetch_adult()  # doctest: +SKIP
    >>> train, reference, test = split_tasks(adult, "sex")  # doctest: +SKIP
    """
    lines = []
    for name in ("adult.data", "adult.test"):
        content = _read_lines(name, "adult", data_home, download_if_missing, "fetch_adult")
        lines += [line for line in content if not line.startswith(b"|")]  # a comment
    frame = _parse(lines, names=_ADULT_COLUMNS, skipinitialspace=True)
    frame["income"] = frame["income"].str.rstrip(".")  # only the labels of the test file have it
    return _bunch(frame, frame[["sex", "race"]].copy(), _ADULT_DESCR)


def fetch_bank(*, data_home=None, download_if_missing=True):
    """Load UCI Bank Marketing.

    The original file `bank-full.csv`, plain or gzipped, is looked for in `data_home` and its
    folder `bank`; its content is verified.

    Parameters
    ----------
    data_home : path-like or None
        Where the file lies or shall lie. None means ``$SKMETA_DATA_HOME`` if that is set, then
        the user's cache folder.
    download_if_missing : bool
        Download a file that is found nowhere (needs `pooch`); if False, raise.

    Returns
    -------
    Bunch
        `data` (DataFrame, 45,211 rows, 16 columns), `target` (Series of "no" / "yes"),
        `sensitive_features` (DataFrame: age as "<25" / ">=25", marital), `frame` (data and
        target), `feature_names` and `DESCR`.

    Examples
    --------
    >>> from skmeta.datasets import fetch_bank, split_tasks
    >>> bank = fetch_bank()  # doctest: +SKIP
    >>> train, reference, test = split_tasks(bank, "marital")  # doctest: +SKIP
    """
    lines = _read_lines("bank-full.csv", "bank", data_home, download_if_missing, "fetch_bank")
    frame = _parse(lines, sep=";")
    age = frame["age"].lt(25).map({True: "<25", False: ">=25"})
    return _bunch(frame, pd.DataFrame({"age": age, "marital": frame["marital"]}), _BANK_DESCR)


def _parse(lines, **options):
    # "?", "unknown" and the like are categories, so nothing is read as missing.
    return pd.read_csv(io.BytesIO(b"\n".join(lines)), keep_default_na=False, **options)


def _bunch(frame, sensitive_features, description):
    """Bundle a frame whose last column is the target."""
    data = frame.iloc[:, :-1].copy()
    return Bunch(
        data=data,
        target=frame.iloc[:, -1].copy(),
        sensitive_features=sensitive_features,
        frame=frame,
        feature_names=list(data.columns),
        DESCR=description,
    )


def _read_lines(name, folder, data_home, download_if_missing, owner):
    """Find (or download), unpack and verify a file; return its lines without the blank ones."""
    path, places = find_file((name, f"{name}.gz"), folder, data_home)
    if path is None:
        if not download_if_missing:
            raise FileNotFoundError(
                f"{owner} needs the original file {name}, plain or gzipped. Found none in "
                f"{', '.join(map(str, places))}. Put it there, name its folder in data_home or "
                "$SKMETA_DATA_HOME, or pass download_if_missing=True."
            )
        path = _download(name, homes(data_home)[0] / folder, owner)
    content = read_unpacked(path, owner)
    lines = [line for line in content.splitlines() if line.strip()]
    digest = hashlib.sha256(b"\n".join(lines)).hexdigest()
    if digest != _SHA256[name]:
        raise ValueError(
            f"{owner} needs the original file {name}, with sha256 {_SHA256[name]} (blank lines "
            f"removed). Got {digest} from {path}. Delete it to download it anew."
        )
    return lines


def _download(name, folder, owner):
    """Download a file into `folder`, unpack it if it comes in an archive, return its path."""
    url = f"{_ARCHIVE}/{_DOWNLOADS[name]}"
    way_out = (
        f"Put the original file {name}, plain or gzipped, into a folder and name that in data_home "
        "or $SKMETA_DATA_HOME."
    )
    if (pooch := import_pooch()) is None:
        raise ImportError(
            f"{owner} needs pooch to download {url}. Got no such package. Install skmeta[data]. "
            f"Or: {way_out}"
        )
    zipped = url.endswith(".zip")
    processor = pooch.Unzip(members=[name], extract_dir=".") if zipped else None
    try:
        # No hash of the download: what counts, and is verified, is the content.
        pooch.retrieve(url, None, fname=Path(url).name, path=folder, processor=processor)
    except OSError as error:  # offline, refused, or a folder that cannot be written
        raise OSError(
            f"{owner} could not download {url} to {folder}: {error}. {way_out}"
        ) from error
    return folder / name
