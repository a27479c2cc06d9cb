"""One pair of functions for all that skmeta can write: :func:`save` and :func:`load`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors

from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.estimator_files import FORMAT, read_estimator
from skmeta.estimators.weight_space_classifier import WeightSpaceClassifier
from skmeta.estimators.weight_space_regressor import WeightSpaceRegressor
from skmeta.population import Population, storage
from skmeta.population._filecheck import expect

ESTIMATORS = {
    kind.__name__: kind for kind in (WeightSpaceRegressor, WeightSpaceClassifier, ComplianceEditor)
}


class EstimatorFileError(ValueError):
    """A file that is not, or no longer, what :func:`save` wrote."""


def save(what: Any, path: str | Path) -> None:
    """Write a population or a fitted estimator to one safetensors file with a JSON header.

    Parameters
    ----------
    what : Population, WeightSpaceRegressor, WeightSpaceClassifier or ComplianceEditor
        Of an estimator, its parameters and what it has learned are kept, but not ``net_``,
        which belongs to training; ``device`` becomes "cpu". An editor leaves its rows out,
        see :meth:`ComplianceEditor.save`. Others are pickled.
    path : str or Path
        An existing file is replaced; the file appears complete or not at all.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import skmeta
    >>> rows = np.random.default_rng(0).standard_normal((20, 3))
    >>> model = skmeta.WeightSpaceRegressor(metanet="statistics", max_epochs=1)
    >>> model = model.fit(rows, rows.mean(1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skmeta.save(model, Path(folder) / "model.safetensors")
    ...     loaded = skmeta.load(Path(folder) / "model.safetensors")
    >>> bool((loaded.predict(rows) == model.predict(rows)).all())
    True
    """
    if isinstance(what, Population) or ESTIMATORS.get(type(what).__name__) is type(what):
        what.save(path)
    else:
        raise TypeError(
            f"save writes one of Population, {', '.join(ESTIMATORS)}. Got "
            f"{type(what).__name__}: pickle it, and load only pickles that you trust."
        )


def load(path: str | Path) -> Any:
    """Read a file that :func:`save` wrote; never runs code from the file.

    Parameters
    ----------
    path : str or Path
        May come from anybody.

    Returns
    -------
    Population or estimator
        What was saved.

    Raises
    ------
    EstimatorFileError, PopulationFileError
        If the file is damaged, or not from :func:`save`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads(str((file.metadata() or {}).get("skmeta")))
            if header["format"] != storage.FORMAT:
                expect(header["format"] == FORMAT, "its format is unknown")
                return read_estimator(file, header, ESTIMATORS)
    except Exception as error:
        # Whatever a hostile file makes fail, it fails with one error.
        raise EstimatorFileError(f"{path} is not an estimator file: {str(error)[:500]}.") from error
    return Population.load(path)
