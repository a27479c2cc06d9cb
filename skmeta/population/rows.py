"""Networks of one architecture as rows of numbers: :func:`to_rows` and :func:`from_rows`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._plain import as_array
from skmeta.networks.architecture import Architecture, Layer
from skmeta.networks.record import Record
from skmeta.population.population import Population
from skmeta.population.stack import Stack
from skmeta.population.tensors import Buffers, Parameters


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
    tensors = _by_name(population.blocks[0][1])
    parts = [tensors[name][i] for name, i, _ in _layout(specs.pop())]
    rows = as_array(torch.cat([part.flatten(1) for part in parts], 1))
    return rows[np.argsort(population.blocks[0][0])]


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
    layout = list(_layout(architecture))
    sizes = [shape.numel() for _, _, shape in layout]
    if flat.ndim != 2 or flat.shape[1] != sum(sizes):
        raise ValueError(
            f"Rows of this architecture, with widths {architecture.widths}, must have {sum(sizes)} "
            f"numbers. Got an array of shape {tuple(flat.shape)}. Pass rows in the order of "
            "to_rows, and their architecture."
        )
    n = len(flat)
    tensors = {
        name: [value.expand(n, *value.shape).clone() for value in values]
        for name, values in Record.blank(architecture).tensors.items()
    }
    for (name, i, shape), part in zip(layout, flat.split(sizes, 1), strict=True):
        tensors[name][i] = part.reshape(n, *shape)
    fields = {name: tuple(values) for name, values in tensors.items()}
    buffers = Buffers(fields.pop("mean"), fields.pop("var"))
    stack = Stack((architecture,) * n, Parameters(**fields), buffers)
    return Population.from_blocks([(np.arange(n), stack)])


def _layout(architecture: Architecture) -> Iterator[tuple[str, int, torch.Size]]:
    """Yield the field, the layer and the shape of each part of a row."""
    tensors = Record.blank(architecture).tensors
    for i, layer in enumerate(architecture.layers):
        normalised = layer.norm != "none"
        present = {
            "weight": True,
            "bias": layer.bias,
            "scale": normalised and layer.affine,
            "shift": normalised and layer.affine,
            "mean": layer.norm == "batch",
            "var": layer.norm == "batch",
        }
        for name in (name for name, there in present.items() if there):
            yield name, i, tensors[name][i].shape


def _by_name(stack: Stack) -> dict[str, tuple[Tensor, ...]]:
    return {**stack.params._asdict(), **stack.buffers._asdict()}


def _without_dropout(architecture: Architecture) -> Architecture:
    layers: list[Layer] = [replace(layer, dropout=0.0) for layer in architecture.layers]
    return replace(architecture, layers=tuple(layers))
