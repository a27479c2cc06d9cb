"""One pair of functions for all that skmeta can write: :func:`save` and :func:`load`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.curvature_regressor import CurvatureRegressor
from skmeta.estimators.edited_classifier import EditedClassifier
from skmeta.estimators.files import FORMAT, KINDS, rebuild, write_estimator
from skmeta.estimators.gradient_meta_optimizer import GradientMetaOptimizer
from skmeta.estimators.weight_space_classifier import WeightSpaceClassifier
from skmeta.estimators.weight_space_regressor import WeightSpaceRegressor
from skmeta.files import codec
from skmeta.files.codec import Fields, Format
from skmeta.population import Population, saving

_WITH_ROWS = (ComplianceEditor, EditedClassifier)
_ESTIMATORS = {
    kind.__name__: kind
    for kind in (
        WeightSpaceRegressor,
        WeightSpaceClassifier,
        CurvatureRegressor,
        GradientMetaOptimizer,
        *_WITH_ROWS,
    )
}


def _population(fields: Fields) -> Population:
    records, sources, metadata = saving.build(fields)
    return Population.from_records(records, sources=sources, metadata=metadata)


_FORMATS = {
    saving.FORMAT: Format(saving.KINDS, _population),
    FORMAT: Format(KINDS, lambda fields: rebuild(fields, _ESTIMATORS)),
}


def save(what: Any, path: str | Path, *, include_task: bool = False) -> None:
    """Write a population or a fitted estimator to one safetensors file with a JSON header.

    Parameters
    ----------
    what : Population or fitted estimator
        Of an estimator, its parameters and what it has learned are kept, but not ``net_``,
        which belongs to training; ``device`` becomes "cpu". An editor leaves its rows out,
        see :meth:`ComplianceEditor.save`, and so does an ``EditedClassifier``. What is code is
        refused by name. Others are pickled.
    path : str or Path
        An existing file is replaced and its mode kept; the file appears complete or not at
        all. A symbolic link stays.
    include_task : bool, default=False
        Of a ``ComplianceEditor`` or an ``EditedClassifier``: write the rows that it looks at,
        with labels and groups, too. **The file then holds personal data** if they do; only its
        owner may read it.

    Raises
    ------
    ValueError
        If it holds what a file cannot, for instance code.
    FileError, FileNotFoundError
        If there can be no such file.

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
    kind = type(what)
    if include_task and kind not in _WITH_ROWS:
        raise ValueError(
            f"The 'include_task' parameter of save must be False for a {kind.__name__}, which "
            "keeps no rows. Got True."
        )
    if isinstance(what, Population):
        what.save(path)
    elif _ESTIMATORS.get(kind.__name__) is kind:
        write_estimator(what, path, include_task=include_task)
    else:
        raise TypeError(
            f"save writes one of Population, {', '.join(_ESTIMATORS)}. Got "
            f"{kind.__name__}: pickle it, and load only pickles that you trust."
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
    FileError
        If the file is damaged, or not from :func:`save`; the message says what it is.
    FileNotFoundError
        If there is none.
    """
    return codec.read(path, "a file that skmeta.save wrote", _FORMATS)
