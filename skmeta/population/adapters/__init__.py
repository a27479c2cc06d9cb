"""Between networks of users and records: :func:`take_apart` and :func:`write`.

One file per kind of network. ``take_apart`` copies the weights into float32 tensors and
keeps what else there is; ``write`` applies an edit as a difference to the weights as they
were read, in their own dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import nn

import skmeta.population.adapters.sklearn_mlp as sklearn_mlp
import skmeta.population.adapters.skorch_net as skorch_net
import skmeta.population.adapters.torch_modules as torch_modules
from skmeta._validation import shown
from skmeta.population.adapters._common import UnsupportedNetworkError
from skmeta.population.adapters._hollow import Known
from skmeta.population.adapters.keeping import Source, Trained, trained_on
from skmeta.population.modules import to_module
from skmeta.population.tensors import Record

__all__ = [
    "Source",
    "Trained",
    "UnsupportedNetworkError",
    "as_network_list",
    "check_input_shape",
    "classes_of",
    "feature_names_of",
    "take_apart",
    "trained_on",
    "write",
]

_ADAPTERS = (sklearn_mlp, torch_modules, skorch_net)

SUPPORTED = (
    "Supported are fitted MLPClassifier and MLPRegressor, torch.nn.Module and initialized "
    "skorch nets."
)


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


def take_apart(
    network: Any,
    position: int = 0,
    input_shape: tuple[int, int, int] | None = None,
    known: Known | None = None,
) -> tuple[Record, Source | None]:
    """Return a network as float32 tensors, and what else it takes to build it again.

    Parameters
    ----------
    network : MLPClassifier, MLPRegressor, torch.nn.Module or skorch NeuralNet
        A trained network; it is not changed, and later changes of it are not seen.
    position : int, default=0
        Where the network stands in its list, for error messages.
    input_shape : (int, int, int), optional
        Channels, height and width of the images that a convolutional module takes.
    known : dict, optional
        Skeletons of networks that were taken apart before, to be shared; changed in place.

    Returns
    -------
    record : Record
        The network as an architecture and tensors.
    source : Source or None
        None if the record alone gives the network back.

    Raises
    ------
    UnsupportedNetworkError
        If no adapter computes what the network computes.
    NotFittedError
        If it has no weights yet.
    ValueError
        If weights are NaN or infinite in float32.
    """
    name = f"Network {position} ({type(network).__name__})"
    try:
        adapter = _adapter(network)
        shared = () if adapter is sklearn_mlp else (input_shape, {} if known is None else known)
        skeleton, weights = adapter.take_apart(network, *shared)
        record = skeleton.record(weights)
    except UnsupportedNetworkError as error:
        raise UnsupportedNetworkError(f"{name} is not supported: {error}") from error
    except NotFittedError as error:
        raise NotFittedError(f"{name} cannot be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}") from error
    for field, tensors in record.tensors.items():
        for index, tensor in enumerate(tensors, start=1):
            if not torch.isfinite(tensor).all():
                raise ValueError(
                    f"{name} has NaN or infinite numbers (as float32) in the {field} of layer "
                    f"{index}. Leave this network out."
                )
    source = Source.of(skeleton, weights, record)
    return record, None if torch_modules.is_own(network, source) else source


def _adapter(network: Any) -> Any:
    for adapter in _ADAPTERS:
        if adapter.handles(network):
            return adapter
    hint = "pass its last step. " if hasattr(network, "steps") else ""
    raise UnsupportedNetworkError(f"{hint}{SUPPORTED}")


def write(source: Source | Trained | None, old: Record, new: Record) -> Any:
    """Return a network of the source's kind whose weights are those of ``new``.

    Parameters
    ----------
    source : Source or None
        What the weights were read from; None gives a :class:`~skmeta.population.MLP`.
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
