"""Populations as files: :func:`save`, :func:`load`.

Networks of equal widths share tensors. Networks from scikit-learn keep their weights in their own
dtype and come back as estimators; all others come back as modules. Nothing in a file is ever
run, and a file is believed only after its claims were checked against each other. Equal populations
give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta.files import codec, tables
from skmeta.files.checks import expect, fields_of, integers
from skmeta.files.codec import Fields, Format
from skmeta.networks import adapters
from skmeta.networks.architecture import Architecture
from skmeta.networks.record import Record
from skmeta.networks.saving import ESTIMATORS, check_labels, expect_labels
from skmeta.population.stack import Stack
from skmeta.population.taking import take_apart
from skmeta.population.tensors import Buffers, Parameters, are_finite

if TYPE_CHECKING:
    from skmeta.population.population import Population

codec.register(pd.DataFrame, tables.to_fields, tables.from_fields)

FORMAT = "skmeta population"
KINDS = (Architecture, *ESTIMATORS, pd.DataFrame)

Parts = tuple[list[Record], list[adapters.Source | adapters.Trained | None], pd.DataFrame]
"""Weights of all networks; what scikit-learn estimators were taken apart into, names of columns
for modules with such, None for others; one row of metadata per network."""

# -- writing ---------------------------------------------------------------------------------


def save(population: Population, path: str | Path) -> None:
    """Write a population; the file appears complete or not at all.

    Parameters
    ----------
    population : Population
        Edited networks are saved as edited. Networks from torch and skorch, and Pipelines, are
        saved as architecture, float32 weights and names of columns, without their Python class.
    path : str or Path
        An existing file is replaced.
    """
    estimators = np.array(
        [s is not None and s.skeleton.kind in ESTIMATORS for s in population._sources], dtype=bool
    )
    specs: dict[Architecture, int] = {}
    fields = {
        "stacks": _describe_stacks(population, ~estimators, specs),
        "estimators": _describe_estimators(population, np.flatnonzero(estimators)),
        "architectures": list(specs),
        "metadata": population.metadata,
        "names": _describe_names(population, np.flatnonzero(~estimators)),
    }
    codec.write(path, FORMAT, fields, "population")


def _describe_names(population: Population, positions: np.ndarray) -> list[Fields]:
    """Return columns and labels of networks that are saved as modules; estimators hold theirs."""
    groups: dict[adapters.Trained, list[int]] = {}
    names, classes = population.feature_names, population.classes
    for position in positions.tolist():
        known = adapters.trained_on(names[position], classes[position])
        if known is not None:
            groups.setdefault(known, []).append(position)
    return [
        {
            "columns": None if known.feature_names is None else list(known.feature_names),
            "labels": check_labels(known.classes),
            "positions": members,
        }
        for known, members in groups.items()
    ]


def _describe_stacks(
    population: Population, wanted: np.ndarray, specs: dict[Architecture, int]
) -> list[Fields]:
    blocks = []
    for positions, stack in population.blocks:
        # Sorted: what is saved does not depend on how the networks came together.
        rows = np.argsort(positions)
        rows = rows[wanted[positions[rows]]]
        if len(rows):
            blocks.append((positions[rows], stack.select(rows).to("cpu", torch.float32)))
    return [
        {
            "positions": positions.tolist(),
            "architectures": [specs.setdefault(spec, len(specs)) for spec in stack.architectures],
            # Diverged networks of a zoo are kept, and known to be meant.
            "not_finite": np.flatnonzero(~_finite(stack).numpy()).tolist(),
            "tensors": _tensors_of(stack),
        }
        for positions, stack in sorted(blocks, key=lambda block: block[0][0])
    ]


def _describe_estimators(population: Population, positions: np.ndarray) -> Fields:
    networks = population[positions].to_networks()
    for position, network in zip(positions, networks, strict=True):
        if not all(np.isfinite(a).all() for a in (*network.coefs_, *network.intercepts_)):
            raise ValueError(f"Network {position} has NaN or infinite weights. Leave it out.")
    return {"positions": positions.tolist(), "networks": networks}


# -- reading ---------------------------------------------------------------------------------


def load(path: str | Path) -> Parts:
    """Read a file that :func:`save` wrote.

    Parameters
    ----------
    path : str or Path
        The file may come from anybody.

    Raises
    ------
    FileError
        If the file is damaged, or not from :func:`save`.
    FileNotFoundError
        If there is none.
    """
    elsewhere = "it is a fitted estimator. Read it with skmeta.load"
    formats: dict[str, Format | str] = {FORMAT: Format(KINDS, build), "skmeta estimator": elsewhere}
    return codec.read(path, "a population file", formats)


def build(fields: Any) -> Parts:
    """Return the parts of a population from what anybody claims :func:`save` wrote."""
    kinds: dict[str, type] = {"stacks": list, "estimators": dict, "architectures": list}
    kinds |= {"metadata": pd.DataFrame, "names": list}
    stacks, estimators, specs, metadata, names = fields_of(fields, "the header", **kinds)
    n = len(metadata)
    expect(all(isinstance(spec, Architecture) for spec in specs), "these are no architectures")
    kinds = {"positions": list, "networks": list}
    taken, networks = fields_of(estimators, "the estimators", **kinds)
    alike = len(integers(taken, "positions", low=0, high=n)) == len(networks)
    expect(alike and all(type(e) in ESTIMATORS for e in networks), "an estimator is missing")
    records: dict[int, Record] = {}
    sources: dict[int, Any] = {}
    for stack in stacks:
        positions, found = _read_stack(stack, specs, n)
        expect(records.keys().isdisjoint(positions), "the number of networks disagrees")
        records.update(zip(positions, found, strict=True))
    for position, estimator in zip(taken, networks, strict=True):
        expect(position not in records, "the number of networks disagrees")
        records[position], sources[position] = take_apart(estimator, position)
    expect(len(records) == n, "the number of networks disagrees")
    _name(names, records, sources)
    return [records[i] for i in range(n)], [sources.get(i) for i in range(n)], metadata


def _read_stack(
    fields: Any, architectures: list[Architecture], n: int
) -> tuple[list[int], list[Record]]:
    kinds = {"positions": list, "architectures": list, "not_finite": list, "tensors": dict}
    positions, numbers, not_finite, tensors = fields_of(fields, "a stack", **kinds)
    integers(positions, "positions", low=0, high=n)
    integers(numbers, "architectures", low=0, high=len(architectures))
    integers(not_finite, "not_finite", low=0, high=len(numbers))
    distinct = len(set(positions)) == len(positions)
    expect(distinct, "the number of networks disagrees")
    expect(len(numbers) == len(positions) > 0, "a stack has no networks")
    stack = _stack_of([architectures[number] for number in numbers], tensors)
    marked = torch.ones(len(positions), dtype=torch.bool)
    marked[not_finite] = False
    expect(torch.equal(_finite(stack), marked), "a weight is NaN or infinite")
    return positions, list(stack.records())


def _name(groups: list, records: dict[int, Record], sources: dict[int, Any]) -> None:
    """Give networks that were saved as modules the columns and labels that they know."""
    kinds: dict[str, Any] = {"columns": list[str] | None, "labels": np.ndarray | None}
    for group in groups:
        columns, labels, positions = fields_of(group, "a group of names", **kinds, positions=list)
        if labels is not None:
            expect_labels(labels)
        for position in integers(positions, "positions", low=0, high=len(records)):
            spec = records[position].architecture
            good = position not in sources
            good = good and (columns is None or len(columns) == spec.n_inputs)
            good = good and (labels is None or len(labels) == spec.n_outputs)
            expect(good, "the names of columns or labels do not fit the weights")
            sources[position] = adapters.trained_on(columns, labels)


# -- the tensors of a stack ------------------------------------------------------------------

_NEUTRAL = {"bias": 0.0, "scale": 1.0, "shift": 0.0, "mean": 0.0, "var": 1.0}


def _stored(architectures: Iterable[Architecture]) -> list[str]:
    """Return which fields the networks of a stack have; the others are neutral."""
    norms = {layer.norm for spec in architectures for layer in spec.layers}
    fields = ["weight", "bias"]
    fields += ["scale", "shift"] if norms != {"none"} else []
    return fields + (["mean", "var"] if "batch" in norms else [])


def _finite(stack: Stack) -> Tensor:
    return are_finite([*stack.params.tensors(), *stack.buffers.mean, *stack.buffers.var])


def _tensors_of(stack: Stack) -> dict[str, list[Tensor]]:
    values = {**stack.params._asdict(), **stack.buffers._asdict()}
    return {field: list(values[field]) for field in _stored(stack.architectures)}


def _stack_of(specs: Sequence[Architecture], tensors: Fields) -> Stack:
    """Return a stack of what anybody claims :func:`_tensors_of` returned."""
    first, distinct = specs[0], {id(spec): spec for spec in specs}.values()
    alike = all((s.widths, s.geometry) == (first.widths, first.geometry) for s in distinct)
    expect(alike, "networks of a stack differ in widths or convolutions")
    n, widths, stored = len(specs), first.widths, _stored(distinct)
    expect(set(tensors) == set(stored), "tensors of a stack are missing or too many")
    for field in stored:
        good = isinstance(tensors[field], list) and len(tensors[field]) == first.depth
        expect(good, f"a {field} is missing")
        for fan_in, layer, value in zip(widths, first.layers, tensors[field], strict=False):
            shape = (fan_in, *layer.kernel_shape) if field == "weight" else ()
            good = isinstance(value, Tensor) and value.dtype == torch.float32
            good = good and value.shape == (n, layer.width, *shape)
            expect(good, f"a {field} has the wrong dtype or shape")
    values = {field: tuple(tensors[field]) for field in stored}
    for field in _NEUTRAL.keys() - values.keys():
        values[field] = tuple(
            torch.full((n, w), _NEUTRAL[field], dtype=torch.float32) for w in widths[1:]
        )
    for i in range(first.depth):
        layers = [spec.layers[i] for spec in specs]
        normed = torch.tensor([layer.norm != "none" and layer.affine for layer in layers])
        batch = torch.tensor([layer.norm == "batch" for layer in layers])
        bias = torch.tensor([layer.bias for layer in layers])
        owned = {"bias": bias, "scale": normed, "shift": normed, "mean": batch, "var": batch}
        for field, there in owned.items():
            absent = values[field][i][~there]
            expect(bool((absent == _NEUTRAL[field]).all()), f"a {field} should not be there")
    expect(not any(bool((var < 0).any()) for var in values["var"]), "a variance is negative")
    buffers = Buffers(values.pop("mean"), values.pop("var"))
    return Stack(tuple(specs), Parameters(**values), buffers)
