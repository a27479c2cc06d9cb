"""Fitted estimators as files: :func:`write_estimator`, :func:`rebuild`.

Nothing in them is ever run, and they are believed only after their claims were checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skmeta.datasets.saving import Task
from skmeta.files import codec
from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields, Format
from skmeta.networks import Architecture
from skmeta.networks.saving import ESTIMATORS
from skmeta.requirements import FairTeacher
from skmeta.requirements.saving import REQUIREMENTS

FORMAT = "skmeta estimator"
KINDS = (Architecture, Task, *ESTIMATORS, *REQUIREMENTS, FairTeacher)

# What belongs to training and to a machine, not to what was learned.
_LEFT_OUT = {"net": None, "callbacks": None, "device": "cpu", "cache_dir": None}
# What a file may ask of the machine that reads or uses it.
_MOST = {
    "n_layers": (100, "the metanetwork has too many layers"),
    "refine_steps": (500, "it asks for too many refine_steps"),
}


def write_estimator(
    estimator: BaseEstimator, path: str | Path, *, include_task: bool = False
) -> None:
    """Write a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        As of :func:`describe`.
    path : str or Path
        An existing file is replaced.
    include_task : bool, default=False
        Whether the file holds rows.
    """
    fields = describe(estimator, include_task=include_task)
    codec.write(path, FORMAT, fields, fields["class"], private=include_task)


def read_estimator(path: str | Path, kind: type) -> Any:
    """Return an estimator of a class from its file.

    Parameters
    ----------
    path : str or Path
        Of :func:`write_estimator`.
    kind : type
        The class.
    """
    build = Format(KINDS, lambda fields: rebuild(fields, {kind.__name__: kind}))
    return codec.read(path, f"a {kind.__name__}", {FORMAT: build})


def describe(estimator: BaseEstimator, *, include_task: bool) -> Fields:
    """Return what a file keeps of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        Its method ``_contents`` returns what was learned, of kinds that files hold;
        ``_restore`` takes it and checks it. ``net`` and ``callbacks`` are code.
    include_task : bool
        Whether rows belong to it.
    """
    check_is_fitted(estimator)
    owner, params = type(estimator).__name__, estimator.get_params(deep=False)
    for name in ("net", "callbacks"):
        if params.get(name):
            raise ValueError(
                f"The '{name}' parameter of {owner} cannot be saved, because it is code. It is "
                f"only needed in fit: estimator.set_params({name}=None).save(path)."
            )
    params |= {name: value for name, value in _LEFT_OUT.items() if name in params}
    codec.encode({"params": params}, owner)  # What is code is named before all else.
    fitted = estimator._contents(include_task=include_task)
    fields = {"class": owner, "params": params, "fitted": fitted}
    try:  # A file that cannot be read is found out too late.
        rebuild(codec.copied(fields, owner, KINDS), {owner: type(estimator)})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"This {owner} cannot be saved: its parameters do not go with what it learned or ask "
            f"for more than files may ({str(error).rstrip('.')}). If they were changed after fit: "
            "Set them back, or fit again."
        ) from error
    return fields


def rebuild(fields: Any, kinds: Mapping[str, type]) -> Any:
    """Return an estimator of what anybody claims :func:`describe` returned.

    Parameters
    ----------
    fields : object
        May be anything that files hold.
    kinds : mapping of str to class
        Classes by name.
    """
    header = {"class": str, "params": dict, "fitted": dict}
    kind, params, fitted = fields_of(fields, "the header", **header)
    expect(kind in kinds, "the class is unknown")
    estimator = kinds[kind]()
    known = estimator.get_params(deep=False)
    expect(set(params) == set(known), f"these are no parameters of {kind}")
    estimator.set_params(**params)
    wanted = {name: value for name, value in _LEFT_OUT.items() if name in known}
    expect({n: getattr(estimator, n) for n in wanted} == wanted, "it asks for code")
    estimator._check_params()
    for name in known & _MOST.keys():
        most, problem = _MOST[name]
        expect(getattr(estimator, name) <= most, problem)
    estimator._restore(fitted)
    return estimator
