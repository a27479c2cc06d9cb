"""Fitted estimators as files: :func:`write_estimator`, :func:`read_estimator`.

One safetensors file with a JSON description under the key ``skmeta``, as for populations.
Nothing in it is ever run, and it is believed only after its claims were checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skmeta.estimators.file_values import decode, encode
from skmeta.population._filecheck import expect, fields_of
from skmeta.population._writing import write_tensors

FORMAT = "skmeta estimator"
VERSION = 1

# What belongs to training and to a machine, not to what was learned.
_LEFT_OUT = {"net": None, "callbacks": None, "device": "cpu"}


def write_estimator(estimator: Any, path: str | Path, **options: Any) -> None:
    """Write a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        Its method ``_contents`` returns what was learned, as a dict of values that
        :func:`~skmeta.estimators.file_values.encode` takes and a dict of tensors;
        ``_restore`` takes both and checks them. ``net`` and ``callbacks`` are code.
    path : str or Path
        An existing file is replaced.
    **options
        Of ``_contents``.
    """
    check_is_fitted(estimator)
    owner, params = type(estimator).__name__, estimator.get_params(deep=False)
    for name in ("net", "callbacks"):
        if params[name]:
            raise ValueError(
                f"The '{name}' parameter of {owner} cannot be saved, because it is code. It is "
                f"only needed in fit: estimator.set_params({name}=None).save(path)."
            )
    params |= _LEFT_OUT
    described = {name: encode(value, name, owner) for name, value in params.items()}
    fitted, tensors = estimator._contents(**options)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "class": owner,
        "params": described,
        "fitted": {name: encode(value, name, owner) for name, value in fitted.items()},
    }
    write_tensors(path, header, {n: value.cpu() for n, value in tensors.items()}, f"A {owner}")


def read_estimator(file: Any, header: Any, kinds: Mapping[str, type]) -> Any:
    """Return the estimator that :func:`write_estimator` wrote.

    Parameters
    ----------
    file : safetensors.safe_open
        May come from anybody.
    header : object
        Its description.
    kinds : mapping of str to class
        Classes by name.
    """
    fields = {"format": str, "version": int, "class": str, "params": dict, "fitted": dict}
    _, version, kind, params, fitted = fields_of(header, "the header", **fields)
    expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
    expect(kind in kinds, "the class is unknown")
    estimator = kinds[kind]()
    expect(set(params) == set(estimator.get_params(False)), f"these are no parameters of {kind}")
    estimator.set_params(**{name: decode(value) for name, value in params.items()})
    expect({n: getattr(estimator, n) for n in _LEFT_OUT} == _LEFT_OUT, "it asks for code")
    estimator._check_params()
    # Copies, which do not change with the file.
    tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    for name, value in tensors.items():
        expect(bool(value.isfinite().all()), f"'{name}' is NaN or infinite")
    estimator._restore({name: decode(value) for name, value in fitted.items()}, tensors)
    return estimator


def load_weights(metanet: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a metanetwork with the weights of a file, if these are its own."""
    wanted = metanet.state_dict()
    expect(set(state) == set(wanted), "weights are missing or too many")
    for name, value in state.items():
        alike = (value.dtype, value.shape) == (wanted[name].dtype, wanted[name].shape)
        expect(alike, f"'{name}' has a wrong type or shape")
    metanet.load_state_dict(state, assign=True)
    return metanet.eval()
