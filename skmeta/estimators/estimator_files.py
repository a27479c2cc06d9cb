"""Fitted estimators as files: :func:`write_estimator`, :func:`read_estimator`.

Files of :mod:`skmeta.files`, as for populations. Nothing in them is ever run, and they are believed
only after their claims were checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skmeta.estimators.file_values import decode, encode
from skmeta.files.checks import expect, fields_of
from skmeta.files.container import write_file

FORMAT = "skmeta estimator"
VERSION = 2

# What belongs to training and to a machine, not to what was learned.
_LEFT_OUT = {"net": None, "callbacks": None, "device": "cpu"}
# What a file may ask of the machine that reads or uses it.
_MOST = {
    "n_layers": (100, "the metanetwork has too many layers"),
    "refine_steps": (500, "it asks for too many refine_steps"),
}


def write_estimator(
    estimator: Any, path: str | Path, *, private: bool = False, **options: Any
) -> None:
    """Write a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        As of :func:`describe_estimator`.
    path : str or Path
        An existing file is replaced.
    private : bool, default=False
        Whether the file holds rows.
    **options
        Of the estimator's ``_contents``.
    """
    what, tensors = describe_estimator(estimator, **options)
    header = {"format": FORMAT, "version": VERSION, **what}
    write_file(path, header, tensors, f"A {what['class']}", private=private)


def describe_estimator(estimator: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a fitted estimator as plain JSON types and tensors.

    Parameters
    ----------
    estimator : estimator
        Its method ``_contents`` returns what was learned, as a dict of values that
        :func:`~skmeta.estimators.file_values.encode` takes and a dict of tensors;
        ``_restore`` takes both and checks them. ``net`` and ``callbacks`` are code.
    **options
        Of ``_contents``.
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
    described = {name: encode(value, name, owner) for name, value in params.items()}
    fitted, tensors = estimator._contents(**options)
    learned = {name: encode(value, name, owner) for name, value in fitted.items()}
    what = {"class": owner, "params": described, "fitted": learned}
    try:  # A file that cannot be read is found out too late.
        rebuild_estimator(json.loads(json.dumps(what)), tensors, {owner: type(estimator)})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"This {owner} cannot be saved: its parameters do not go with what it learned or ask "
            f"for more than files may ({str(error).rstrip('.')}). If they were changed after fit: "
            "Set them back, or fit again."
        ) from error
    return what, tensors


def read_estimator(header: Any, tensors: Mapping[str, Tensor], kinds: Mapping[str, type]) -> Any:
    """Return the estimator that :func:`write_estimator` wrote.

    Parameters
    ----------
    header : object
        The description in the file, which may come from anybody.
    tensors : mapping of str to Tensor
        Its numbers.
    kinds : mapping of str to class
        Classes by name.
    """
    fields = {"format": str, "version": int, "class": str, "params": dict, "fitted": dict}
    _, version, *_ = fields_of(header, "the header", **fields)
    expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
    what = {name: header[name] for name in ("class", "params", "fitted")}
    return rebuild_estimator(what, tensors, kinds)


def rebuild_estimator(what: Any, tensors: Mapping[str, Tensor], kinds: Mapping[str, type]) -> Any:
    """Return an estimator of what :func:`describe_estimator` returned or anybody claims."""
    fields = {"class": str, "params": dict, "fitted": dict}
    kind, params, fitted = fields_of(what, "an estimator", **fields)
    expect(kind in kinds, "the class is unknown")
    estimator = kinds[kind]()
    known = estimator.get_params(deep=False)
    expect(set(params) == set(known), f"these are no parameters of {kind}")
    estimator.set_params(**{name: decode(value) for name, value in params.items()})
    wanted = {name: value for name, value in _LEFT_OUT.items() if name in known}
    expect({n: getattr(estimator, n) for n in wanted} == wanted, "it asks for code")
    estimator._check_params()
    for name in known & _MOST.keys():
        most, problem = _MOST[name]
        expect(getattr(estimator, name) <= most, problem)
    for name, tensor in tensors.items():
        expect(bool(tensor.isfinite().all()), f"'{name}' is NaN or infinite")
    estimator._restore({name: decode(value) for name, value in fitted.items()}, tensors)
    return estimator


def load_weights(metanet: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a metanetwork with the weights of a file, if these are its own.

    Parameters
    ----------
    metanet : Module
        On the meta device: without numbers no claim of a file takes memory.
    state : mapping of str to Tensor
        What the file has.
    """
    wanted = metanet.state_dict()
    expect(set(state) == set(wanted), "weights are missing or too many")
    for name, value in state.items():
        alike = (value.dtype, value.shape) == (wanted[name].dtype, wanted[name].shape)
        expect(alike, f"'{name}' has a wrong type or shape")
    metanet.load_state_dict(state, assign=True)
    return metanet.eval()
