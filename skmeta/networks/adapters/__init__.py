"""Between networks of users and records: :func:`adapter_of` and :func:`write`.

One file per kind of network. ``take_apart`` copies the weights into float32 tensors and
keeps what else there is; ``write`` applies an edit as a difference to the weights as they
were read, in their own dtype.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import nn

import skmeta.networks.adapters.sklearn_mlp as sklearn_mlp
import skmeta.networks.adapters.sklearn_pipeline as sklearn_pipeline
import skmeta.networks.adapters.skorch_net as skorch_net
import skmeta.networks.adapters.torch_modules as torch_modules
from skmeta._checks import shown
from skmeta.networks.adapters._common import UnsupportedNetworkError
from skmeta.networks.adapters.keeping import Source, Trained, trained_on
from skmeta.networks.modules import to_module
from skmeta.networks.record import Record

__all__ = [
    "Source",
    "Trained",
    "UnsupportedNetworkError",
    "as_network_list",
    "check_input_shape",
    "classes_of",
    "feature_names_of",
    "trained_on",
    "write",
]

_ADAPTERS = (sklearn_mlp, sklearn_pipeline, torch_modules, skorch_net)

SUPPORTED = (
    "Supported are fitted MLPClassifier and MLPRegressor, also behind scalers in a Pipeline, "
    "torch.nn.Module and initialized skorch nets."
)

_WAYS_OUT = {
    "best_estimator_": "pass its best_estimator_. ",
    "calibrated_classifiers_": "calibration is no part of a network; pass what it was fitted on. ",
    "best_threshold_": "pass its estimator_, and apply the threshold to the probabilities. ",
    "estimators_": "pass its estimators_, each a network. ",
    "estimator_": "pass its estimator_. ",
    "param_grid": "fit it, and pass its best_estimator_. ",
    "param_distributions": "fit it, and pass its best_estimator_. ",
}
"""What estimators around networks are known by, and what to pass in their place."""


def as_network_list(networks: Any) -> list[Any]:
    """Return the networks as a list, without looking into them.

    Parameters
    ----------
    networks : list, tuple, 1-D object array or Series
        The networks.

    Returns
    -------
    list
        The same objects.
    """
    # An nn.Sequential can be iterated over, but its items are layers.
    if _is_network(networks):
        raise TypeError(
            "The 'networks' of a Population must be a list of networks. Got a single "
            f"{type(networks).__name__}; pass [network]."
        )
    if isinstance(networks, pd.Series):
        networks = networks.to_numpy()
    if isinstance(networks, np.ndarray):
        if networks.ndim != 1 or networks.dtype != object:
            raise TypeError(
                "An array of networks must be one-dimensional with dtype object. Got shape "
                f"{networks.shape} and dtype {networks.dtype}; pass a list of networks."
            )
        return list(networks)
    if not isinstance(networks, Sequence) or isinstance(networks, str | bytes):
        raise TypeError(
            "The 'networks' of a Population must be a list, a tuple or a one-dimensional "
            f"object array of networks. Got {type(networks).__name__}."
        )
    return list(networks)


def check_input_shape(input_shape: Any) -> tuple[int, int, int] | None:
    """Return the shape of images as a tuple of ints, None if none is given.

    Parameters
    ----------
    input_shape : (int, int, int), optional
        Channels, height and width, each at least 1.

    Returns
    -------
    tuple of int or None
        The same numbers.

    Raises
    ------
    ValueError
        If they are not three positive ints.
    """
    if input_shape is None:
        return None
    values = input_shape if isinstance(input_shape, tuple | list | np.ndarray) else ()
    good = len(values) == 3 and all(isinstance(n, int | np.integer) and n > 0 for n in values)
    if not good:
        raise ValueError(
            "The 'input_shape' of a Population must be three positive ints: (channels, height, "
            f"width). Got {shown(input_shape)}."
        )
    channels, height, width = map(int, values)
    return channels, height, width


def _is_network(value: Any) -> bool:
    return isinstance(value, nn.Module | BaseEstimator) or skorch_net.handles(value)


@contextmanager
def naming(network: Any, position: int) -> Iterator[None]:
    """Say in an error which network it is about."""
    name = name_of(network, position)
    try:
        yield
    except UnsupportedNetworkError as error:
        raise UnsupportedNetworkError(f"{name} is not supported: {error}") from error
    except NotFittedError as error:
        raise NotFittedError(f"{name} cannot be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def name_of(network: Any, position: int) -> str:
    """Return how messages name a network."""
    return f"Network {position} ({type(network).__name__})"


def adapter_of(network: Any) -> Any:
    """Return the adapter that reads a network, or raise."""
    for adapter in _ADAPTERS:
        if adapter.handles(network):
            return adapter
    hints = (hint for name, hint in _WAYS_OUT.items() if hasattr(network, name))
    raise UnsupportedNetworkError(f"{next(hints, '')}{SUPPORTED}")


def write(source: Source | Trained | None, old: Record, new: Record) -> Any:
    """Return a network of the source's kind whose weights are those of ``new``.

    Parameters
    ----------
    source : Source or None
        What the weights were read from; None gives a :class:`~skmeta.networks.MLP`.
    old, new : Record
        Weights as they were read and as they are now. A copy of the source is
        changed by their difference in its own dtype: no difference, no changed bit.

    Returns
    -------
    network
        Of the source's kind.
    """
    return to_module(new) if source is None else source.network(old, new)


def classes_of(source: Source | Trained | None) -> np.ndarray | None:
    """Return the class labels of a source in the order of its outputs.

    Parameters
    ----------
    source : Source or None
        What a network was read from.

    Returns
    -------
    ndarray of shape (n_classes,) or None
        None if unknown.
    """
    return None if source is None else source.skeleton.classes


def feature_names_of(source: Source | Trained | None) -> list[str] | None:
    """Return the names of the columns that a source was trained on.

    Parameters
    ----------
    source : Source, Trained or None
        What a network was read from.

    Returns
    -------
    list of str or None
        None if unknown.
    """
    names = None if source is None else source.skeleton.feature_names
    return None if names is None else list(names)
