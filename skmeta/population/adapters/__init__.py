"""Between networks of users and records: :func:`read` and :func:`write`.

One file per kind of network. ``read`` copies the weights into float32 tensors; ``write``
applies an edit as a difference to a deep copy of the source.
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

import skmeta.population.adapters.checking as checking
import skmeta.population.adapters.sklearn_mlp as sklearn_mlp
import skmeta.population.adapters.sklearn_pipeline as sklearn_pipeline
import skmeta.population.adapters.skorch_net as skorch_net
import skmeta.population.adapters.torch_modules as torch_modules
from skmeta.population.adapters._common import UnsupportedNetworkError
from skmeta.population.blocks import blocks_from_records
from skmeta.population.modules import to_module
from skmeta.population.stack import Record

__all__ = [
    "UnsupportedNetworkError",
    "as_network_list",
    "check_input_shape",
    "classes_of",
    "feature_names_of",
    "read",
    "read_all",
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
    """Return the shape of images as a tuple of ints, None if none is given."""
    if input_shape is None:
        return None
    values = input_shape if isinstance(input_shape, tuple | list | np.ndarray) else ()
    good = len(values) == 3 and all(isinstance(n, int | np.integer) and n > 0 for n in values)
    if not good:
        raise ValueError(
            "The 'input_shape' of a Population must be three positive ints: (channels, height, "
            f"width). Got {input_shape!r}."
        )
    channels, height, width = map(int, values)
    return channels, height, width


def _is_network(value: Any) -> bool:
    return isinstance(value, nn.Module | BaseEstimator) or skorch_net.handles(value)


def read(
    network: Any, position: int = 0, input_shape: tuple[int, int, int] | None = None
) -> Record:
    """Return a network as an architecture and float32 tensors.

    Parameters
    ----------
    network : MLPClassifier, MLPRegressor, Pipeline, torch.nn.Module or skorch NeuralNet
        A trained network; it is not changed.
    position : int, default=0
        Where the network stands in its list, for error messages.
    input_shape : (int, int, int), optional
        Channels, height and width of the images that a convolutional module takes.
    """
    return read_all([network], input_shape, start=position)[0]


def read_all(
    networks: Sequence[Any], input_shape: tuple[int, int, int] | None = None, *, start: int = 0
) -> list[Record]:
    """Return networks as architectures and float32 tensors.

    Each is asked for its outputs on a few random rows; they must be those of the record.

    Parameters
    ----------
    networks : sequence
        Trained networks; they are not changed.
    input_shape : (int, int, int), optional
        Channels, height and width of the images that convolutional modules take.
    start : int, default=0
        Where the first network stands, for error messages.
    """
    records, said = [], []
    for position, network in enumerate(networks, start):
        with _naming(network, position):
            adapter = _adapter(network)
            sklearn = adapter in (sklearn_mlp, sklearn_pipeline)
            reading = adapter.read(network, **{} if sklearn else {"input_shape": input_shape})
            said.append(checking.Said(reading))
        records.append(reading.record)
    blocks = blocks_from_records(records)
    for index, where in checking.not_finite(blocks).items():
        raise ValueError(
            f"{_name(networks[index], index + start)} has NaN or infinite numbers (as float32) in "
            f"{where}. Leave this network out."
        )
    for index, difference in checking.differences(blocks, said).items():
        with _naming(networks[index], index + start):
            raise UnsupportedNetworkError(difference)
    return records


@contextmanager
def _naming(network: Any, position: int) -> Iterator[None]:
    """Say in an error which network it is about."""
    name = _name(network, position)
    try:
        yield
    except UnsupportedNetworkError as error:
        raise UnsupportedNetworkError(f"{name} is not supported: {error}") from error
    except NotFittedError as error:
        raise NotFittedError(f"{name} cannot be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _name(network: Any, position: int) -> str:
    return f"Network {position} ({type(network).__name__})"


def _adapter(network: Any) -> Any:
    for adapter in _ADAPTERS:
        if adapter.handles(network):
            return adapter
    hints = (hint for name, hint in _WAYS_OUT.items() if hasattr(network, name))
    raise UnsupportedNetworkError(f"{next(hints, '')}{SUPPORTED}")


def write(source: Any, old: Record, new: Record) -> Any:
    """Return a network of the source's kind whose weights are those of ``new``.

    Parameters
    ----------
    source : network or None
        What the weights were read from; None gives a :class:`~skmeta.population.MLP`.
    old, new : Record
        Weights as they were read and as they are now. The source is deep-copied and
        changed by their difference in its own dtype: no difference, no changed bit.
    """
    return to_module(new) if source is None else _adapter(source).write(source, old, new)


def classes_of(source: Any) -> np.ndarray | None:
    """Return the class labels of a source in the order of its outputs, None if unknown."""
    return None if source is None else _adapter(source).classes_of(source)


def feature_names_of(source: Any) -> list[str] | None:
    """Return the names of the inputs that a source was fitted on, None if it saw none."""
    return None if source is None else _adapter(source).feature_names_of(source)
