"""Networks of one architecture as rows of numbers: :func:`to_rows` and :func:`from_rows`."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from skmeta._plain import as_array
from skmeta.networks.architecture import Architecture
from skmeta.networks.ops import Dropout
from skmeta.population.population import Population
from skmeta.population.stack import Stack
from skmeta.population.structure import layouts_of
from skmeta.population.weights import Weights


def to_rows(population: Population) -> np.ndarray:
    """Flatten networks of one architecture, for instance into a data frame.

    Parameters
    ----------
    population : Population
        Networks that differ in nothing but their weights (and dropout).

    Returns
    -------
    ndarray of shape (n_networks, n_numbers)
        Layer by layer the weight (row by row, outputs first) and the bias, then scale and
        shift of a normalisation and the mean and variance of a batch normalisation. What a
        layer does not have takes no place.

    See Also
    --------
    from_rows : The way back.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import from_rows, to_rows
    >>> architecture = Architecture.mlp((3, 4, 2))
    >>> rows = to_rows(Population.initialize(architecture, 5, random_state=0))
    >>> rows.shape
    (5, 26)
    >>> from_rows(rows, architecture)
    Population of 5 networks, 3 inputs, 2 outputs, 26 parameters each
    """
    specs = {_without_dropout(a) for a in set(population.architectures)}
    if len(specs) != 1:
        raise ValueError(
            "to_rows needs one or more networks of one architecture: a column must mean the same "
            f"in every row. Got {len(specs)} architectures. Select networks of one, or use "
            "WeightStatistics, which describes any network."
        )
    ((positions, stack),) = population.blocks
    tensors = dict(stack.weights.items()) | dict(stack.statistics.items())
    parts = [tensors[slot.name].flatten(1) for slot in specs.pop().slots]
    return as_array(torch.cat(parts, 1))[np.argsort(positions)]


def from_rows(rows: Any, architecture: Architecture) -> Population:
    """Make networks of rows of numbers in the order of :func:`to_rows`.

    Parameters
    ----------
    rows : array-like of shape (n_networks, n_numbers)
        Flattened networks; they become float32.
    architecture : Architecture
        Of all networks.

    Returns
    -------
    Population
        With one network per row.
    """
    # A copy: joblib hands out read-only memmaps.
    flat = torch.from_numpy(np.array(rows, dtype=np.float32, ndmin=2))
    sizes = [prod(slot.shape) for slot in architecture.slots]
    if flat.ndim != 2 or flat.shape[1] != sum(sizes):
        raise ValueError(
            f"Rows of this architecture, with widths {architecture.widths}, must have {sum(sizes)} "
            f"numbers. Got an array of shape {tuple(flat.shape)}. Pass rows in the order of "
            "to_rows, and their architecture."
        )
    names = [slot.name for slot in architecture.slots]
    parts = dict(zip(names, flat.split(sizes, 1), strict=True))
    specs, numbers = (architecture,) * len(flat), []
    for layout in layouts_of(specs, architecture.widths):
        columns = [parts[slot.name] for slot in layout.slots]
        numbers.append(Weights(layout, torch.cat([flat[:, :0], *columns], 1)))
    stack = Stack(specs, architecture.widths, numbers[0], numbers[1])
    return Population.from_blocks([(np.arange(len(flat)), stack)])


def _without_dropout(architecture: Architecture) -> Architecture:
    stages = tuple(stage.without(Dropout) for stage in architecture.stages)
    return replace(architecture, stages=stages)
