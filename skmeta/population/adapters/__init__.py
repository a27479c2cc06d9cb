"""Between networks of users and records: :func:`take_apart` and :func:`write`.

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

import skmeta.population.adapters.checking as checking
import skmeta.population.adapters.sklearn_mlp as sklearn_mlp
import skmeta.population.adapters.sklearn_pipeline as sklearn_pipeline
import skmeta.population.adapters.skorch_net as skorch_net
import skmeta.population.adapters.torch_modules as torch_modules
from skmeta._validation import shown
from skmeta.population.adapters._common import UnsupportedNetworkError
from skmeta.population.adapters._hollow import Known
from skmeta.population.adapters.keeping import Source, Trained, trained_on
from skmeta.population.blocks import blocks_from_records
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
    "take_all_apart",
    "take_apart",
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


def take_apart(network: Any, position: int = 0) -> tuple[Record, Source | None]:
    """Take one network apart, as :func:`take_all_apart` does many.

    Parameters
    ----------
    network : MLPClassifier, MLPRegressor, Pipeline, Module or skorch NeuralNet
        A trained network; it is not changed.
    position : int, default=0
        Where it stands in its list, for error messages.

    Returns
    -------
    record : Record
        The network as an architecture and tensors.
    source : Source or None
        None where the record alone gives the network back.
    """
    (record,), (source,) = take_all_apart([network], start=position)
    return record, source


def take_all_apart(
    networks: Sequence[Any], input_shape: tuple[int, int, int] | None = None, *, start: int = 0
) -> tuple[list[Record], list[Source | None]]:
    """Return networks as float32 tensors, and what else it takes to build them again.

    They are asked for their outputs on a few random rows, which must be those of the record;
    of plain scikit-learn estimators, one of each kind.

    Parameters
    ----------
    networks : sequence of MLPClassifier, MLPRegressor, Pipeline, Module or skorch NeuralNet
        Trained networks; they are not changed, and later changes of them are not seen.
    input_shape : (int, int, int), optional
        Channels, height and width of the images that convolutional modules take.
    start : int, default=0
        Where the first network stands in its list, for error messages.

    Returns
    -------
    records : list of Record
        The networks as architectures and tensors.
    sources : list of Source or None
        None where the record alone gives the network back.

    Raises
    ------
    UnsupportedNetworkError
        If an adapter does not compute what its network says.
    NotFittedError
        If it has no weights yet.
    ValueError
        If weights are NaN or infinite in float32.
    """
    known: Known = {}
    records, sources, parts = [], [], []
    for position, network in enumerate(networks, start):
        with _naming(network, position):
            adapter = _adapter(network)
            tabular = adapter in (sklearn_mlp, sklearn_pipeline)
            skeleton, weights = adapter.take_apart(
                network, *() if tabular else (input_shape, known)
            )
            record = skeleton.record(weights)
        source = Source.of(skeleton, weights, record)
        records.append(record)
        sources.append(None if torch_modules.is_own(network, source) else source)
        parts.append((network, skeleton, weights, record.architecture.n_inputs))
    said = _ask(parts, start)
    blocks = blocks_from_records(records)
    for index, where in checking.not_finite(blocks).items():
        raise ValueError(
            f"{_name(networks[index], index + start)} has NaN or infinite numbers (as float32) in "
            f"{where}. Leave this network out."
        )
    for index, difference in checking.differences(blocks, said).items():
        with _naming(networks[index], index + start):
            raise UnsupportedNetworkError(difference)
    return records, sources


_TOGETHER = 1000
"""How many networks are run at once: their weights are held twice meanwhile."""


def _ask(parts: Sequence[tuple[Any, Any, Any, int]], start: int) -> list[checking.Said | None]:
    """Return what each network says on a few rows; None where another answers for it."""
    said: list[checking.Said | None] = [None] * len(parts)
    groups: dict[Any, list[int]] = {}
    for index, (network, skeleton, _, _) in enumerate(parts):
        groups.setdefault(_adapter(network).routine(network, skeleton), []).append(index)
    twins: dict[int, Any] = {}
    for routine, group in groups.items():
        if routine is not None and _adapter(parts[group[0]][0]) is sklearn_mlp:
            group = group[:1]  # the same lines of scikit-learn run for all
        for first in range(0, len(group), _TOGETHER):
            members = group[first : first + _TOGETHER]
            _, skeleton, weights, n_inputs = parts[members[0]]
            rows = checking.rows_for(n_inputs, skeleton.scaling)
            outputs = None
            if routine is not None and len(members) > 1:
                outputs = torch_modules.say_together(skeleton, [parts[i][2] for i in members], rows)
            if outputs is not None:
                answers = torch_modules.answers(*parts[members[0]][:3], twins)
                for index, output in zip(members, outputs.cpu().double(), strict=True):
                    said[index] = checking.Said(answers, rows, [output])
                continue
            for index in members:
                network, skeleton, weights, n_inputs = parts[index]
                with _naming(network, index + start):
                    answers = _adapter(network).answers(network, skeleton, weights, twins)
                    rows = checking.rows_for(n_inputs, skeleton.scaling)
                    said[index] = checking.Said.asked(answers, rows)
    return said


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
