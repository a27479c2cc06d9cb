"""Populations as files: :func:`save` and :func:`load`.

One safetensors file. The header holds a JSON description under the key ``skmeta``; networks
of equal widths share tensors. Networks from scikit-learn keep their weights in their own
dtype and come back as estimators; all others come back as modules. Nothing in a file is
ever run, and a file is believed only after its claims were checked against each other. Equal
populations give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta.files.checks import expect, fields_of, integers, refusing
from skmeta.files.container import read_file, write_file
from skmeta.networks import adapters
from skmeta.networks.architecture import Architecture
from skmeta.networks.record import Record
from skmeta.population import _estimator_files, _filecheck, _table_files
from skmeta.population.stack import Stack
from skmeta.population.taking import take_apart
from skmeta.population.tensors import Buffers, Parameters, are_finite

if TYPE_CHECKING:
    from skmeta.population.population import Population

FORMAT = "skmeta population"
VERSION = 2
_FORMATS = {"skmeta estimator": "it is a fitted estimator. Read it with skmeta.load"}

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
    write_file(path, *describe(population), "A population")


def describe(population: Population) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a population as plain JSON types and tensors, which :func:`rebuild` reads."""
    kinds = tuple(_estimator_files.REGISTRY.values())
    estimators = np.array(
        [source is not None and source.skeleton.kind in kinds for source in population._sources],
        dtype=bool,
    )
    tensors: dict[str, Tensor] = {}
    specs: dict[Architecture, int] = {}
    columns, values = _table_files.describe(population.metadata)
    tensors.update({f"metadata.{index}": value for index, value in values.items()})
    header = {
        "format": FORMAT,
        "version": VERSION,
        "n": len(population),
        "stacks": _describe_stacks(population, ~estimators, specs, tensors),
        "estimators": _describe_estimators(population, np.flatnonzero(estimators), tensors),
        "architectures": [_describe_architecture(spec) for spec in specs],
        "metadata": columns,
        "names": _describe_names(population, np.flatnonzero(~estimators)),
    }
    return header, tensors


def _describe_names(population: Population, positions: np.ndarray) -> list[dict[str, Any]]:
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
            "labels": None
            if known.classes is None
            else _estimator_files.describe_labels(known.classes),
            "positions": members,
        }
        for known, members in groups.items()
    ]


def _describe_stacks(
    population: Population,
    wanted: np.ndarray,
    specs: dict[Architecture, int],
    tensors: dict[str, Tensor],
) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    blocks = []
    for positions, stack in population.blocks:
        # Sorted: what is saved does not depend on how the networks came together.
        rows = np.argsort(positions)
        rows = rows[wanted[positions[rows]]]
        if len(rows):
            blocks.append((positions[rows], stack.select(rows).to("cpu", torch.float32)))
    for positions, stack in sorted(blocks, key=lambda block: block[0][0]):
        for field in _fields(stack.architectures):
            values = getattr(stack.params, field, None) or getattr(stack.buffers, field)
            for layer, value in enumerate(values):
                tensors[f"stack.{len(out)}.{field}.{layer}"] = value
        numbers = [specs.setdefault(spec, len(specs)) for spec in stack.architectures]
        out.append(
            {
                "positions": positions.tolist(),
                "architectures": numbers,
                # Diverged networks of a zoo are kept, and known to be meant.
                "not_finite": np.flatnonzero(~_finite(stack).numpy()).tolist(),
            }
        )
    return out


def _describe_architecture(spec: Architecture) -> dict[str, Any]:
    try:
        _filecheck.check_paddings(spec)
    except ValueError as error:
        raise ValueError(f"A network cannot be saved: {error}.") from error
    return spec.to_dict()


def _fields(architectures: Iterable[Architecture]) -> list[str]:
    """Return which fields the networks of a stack have; the others are neutral."""
    norms = {layer.norm for spec in architectures for layer in spec.layers}
    fields = ["weight", "bias"]
    fields += ["scale", "shift"] if norms != {"none"} else []
    return fields + (["mean", "var"] if "batch" in norms else [])


def _finite(stack: Stack) -> Tensor:
    return are_finite([*stack.params.tensors(), *stack.buffers.mean, *stack.buffers.var])


def _describe_estimators(
    population: Population, positions: np.ndarray, tensors: dict[str, Tensor]
) -> list[dict[str, Any]]:
    groups: dict[tuple, list[tuple[int, Any]]] = {}
    for position, network in zip(positions, population[positions].to_networks(), strict=True):
        dtypes = {array.dtype.name for array in (*network.coefs_, *network.intercepts_)}
        if not all(np.isfinite(a).all() for a in (*network.coefs_, *network.intercepts_)):
            raise ValueError(f"Network {position} has NaN or infinite weights. Leave it out.")
        if len(dtypes) > 1 or not dtypes <= set(_estimator_files.DTYPES):
            raise ValueError(f"Network {position} has weights of the dtypes {sorted(dtypes)}.")
        key = (type(network).__name__, dtypes.pop(), _estimator_files.widths_of(network))
        groups.setdefault(key, []).append((int(position), network))
    out = []
    for index, ((kind, dtype, widths), members) in enumerate(groups.items()):
        for field in ("coefs_", "intercepts_"):
            arrays = zip(*(getattr(network, field) for _, network in members), strict=True)
            for layer, layer_arrays in enumerate(arrays):
                value = torch.from_numpy(np.stack(layer_arrays))
                tensors[f"estimator.{index}.{field}.{layer}"] = value
        out.append(
            {
                "class": kind,
                "dtype": dtype,
                "widths": list(widths),
                "positions": [position for position, _ in members],
                "states": [_estimator_files.describe(network) for _, network in members],
            }
        )
    return out


# -- reading ---------------------------------------------------------------------------------


def load(
    path: str | Path,
) -> tuple[list[Record], list[adapters.Source | adapters.Trained | None], pd.DataFrame]:
    """Read a file that :func:`save` wrote.

    Parameters
    ----------
    path : str or Path
        The file may come from anybody.

    Returns
    -------
    records : list of Record
        Weights of all networks.
    sources : list of Source or None
        What scikit-learn estimators were taken apart into, names of columns for modules with
        such, None for others.
    metadata : DataFrame
        One row per network.

    Raises
    ------
    FileError
        If the file is damaged, or not from :func:`save`.
    FileNotFoundError
        If there is none.
    """
    with refusing(path, "a population file"):
        return rebuild(*read_file(path))


def rebuild(
    header: Any, tensors: Mapping[str, Tensor]
) -> tuple[list[Record], list[adapters.Source | adapters.Trained | None], pd.DataFrame]:
    """Return what :func:`load` does, of what :func:`describe` returned or anybody claims."""
    kind = header.get("format") if isinstance(header, dict) else None
    expect(kind == FORMAT, _FORMATS.get(str(kind), "its format is unknown"))
    _, version, n, stacks, estimators, specs, columns, names = fields_of(
        header,
        "the header",
        format=str,
        version=int,
        n=int,
        stacks=list,
        estimators=list,
        architectures=list,
        metadata=list,
        names=list,
    )
    expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
    architectures = [_filecheck.architecture(spec) for spec in specs]
    positions = _check_positions(stacks, estimators, n, len(architectures))
    members = [[architectures[i] for i in stack["architectures"]] for stack in stacks]
    _check_tensors(tensors, _expected_tensors(members, estimators, columns, n))

    records: list[Any] = [None] * n
    sources: list[Any] = [None] * n
    groups = iter(positions)
    for index, (stack, specs_) in enumerate(zip(stacks, members, strict=True)):
        found = _read_stack(tensors, index, specs_, stack["not_finite"])
        for position, record in zip(next(groups), found, strict=True):
            records[position] = record
    for index, group in enumerate(estimators):
        for position, estimator in zip(
            next(groups), _read_estimators(tensors, index, group), strict=True
        ):
            records[position], sources[position] = take_apart(estimator, position)
    _name(names, records, sources)
    table = {i: tensors[f"metadata.{i}"] for i in _table_files.expected(columns)}
    return records, sources, _table_files.rebuild(columns, table, n)


def _name(groups: list, records: list[Record], sources: list[Any]) -> None:
    """Give networks that were saved as modules the columns and labels that they know."""
    for group in groups:
        columns, labels, positions = fields_of(
            group,
            "a group of names",
            columns=(list, type(None)),
            labels=(dict, type(None)),
            positions=list,
        )
        strings = columns is None or all(isinstance(name, str) for name in columns)
        expect(strings, "names of columns are no strings")
        classes = None if labels is None else _estimator_files.labels_of(labels)
        for position in integers(positions, "positions", low=0, high=len(sources)):
            spec = records[position].architecture
            good = sources[position] is None
            good = good and (columns is None or len(columns) == spec.n_inputs)
            good = good and (classes is None or len(classes) == spec.n_outputs)
            expect(good, "the names of columns or labels do not fit the weights")
            sources[position] = adapters.trained_on(columns, classes)


def _check_positions(stacks: list, estimators: list, n: int, n_specs: int) -> list[list[int]]:
    positions = []
    for stack in stacks:
        fields_of(stack, "a stack", positions=list, architectures=list, not_finite=list)
        positions.append(integers(stack["positions"], "positions", low=0, high=n))
        numbers = integers(stack["architectures"], "architectures", low=0, high=n_specs)
        expect(len(numbers) == len(positions[-1]) > 0, "a stack has no networks")
        integers(stack["not_finite"], "not_finite", low=0, high=len(numbers))
    for group in estimators:
        fields_of(
            group,
            "a group of estimators",
            **{"class": str, "dtype": str, "widths": list, "positions": list, "states": list},
        )
        positions.append(integers(group["positions"], "positions", low=0, high=n))
        expect(len(group["states"]) == len(positions[-1]) > 0, "a group has no estimators")
        expect(group["class"] in _estimator_files.REGISTRY, "an estimator's class is unknown")
        expect(group["dtype"] in _estimator_files.DTYPES, "an estimator's dtype is unknown")
        expect(len(integers(group["widths"], "widths", low=1)) > 1, "an estimator has no layers")
    flat = [position for group in positions for position in group]
    expect(n == len(flat) == len(set(flat)), "the number of networks disagrees")
    return positions


def _expected_tensors(
    members: list[list[Architecture]], estimators: list, columns: list, n: int
) -> dict[str, tuple[torch.dtype, list[int]]]:
    """Return the names, dtypes and shapes that the file must have, no more and no less."""
    expected: dict[str, tuple[torch.dtype, list[int]]] = {}
    for index, specs in enumerate(members):
        widths, geometry = specs[0].widths, specs[0].geometry
        distinct = {id(s): s for s in specs}.values()
        alike = all(s.widths == widths and s.geometry == geometry for s in distinct)
        expect(alike, "networks of a stack differ in widths or convolutions")
        for field in _fields(distinct):
            for number, spec in enumerate(specs[0].layers):
                shape = [len(specs), spec.width]
                shape += [widths[number], *spec.kernel_shape] if field == "weight" else []
                expected[f"stack.{index}.{field}.{number}"] = torch.float32, shape
    for index, group in enumerate(estimators):
        dtype, widths = _estimator_files.DTYPES[group["dtype"]], group["widths"]
        for layer, (fan_in, width) in enumerate(zip(widths, widths[1:], strict=False)):
            rows = [len(group["positions"])]
            expected[f"estimator.{index}.coefs_.{layer}"] = dtype, [*rows, fan_in, width]
            expected[f"estimator.{index}.intercepts_.{layer}"] = dtype, [*rows, width]
    for index, dtype in _table_files.expected(columns).items():
        expected[f"metadata.{index}"] = dtype, [n]
    return expected


def _check_tensors(
    tensors: Mapping[str, Tensor], expected: dict[str, tuple[torch.dtype, list[int]]]
) -> None:
    expect(set(tensors) == set(expected), "tensors are missing or too many")
    for name, (dtype, shape) in expected.items():
        good = tensors[name].dtype == dtype and list(tensors[name].shape) == shape
        expect(good, f"the tensor '{name}' has the wrong dtype or shape")


def _read_stack(
    tensors: Mapping[str, Tensor], index: int, specs: list[Architecture], not_finite: list[int]
) -> list[Record]:
    n, depth, widths = len(specs), specs[0].depth, specs[0].widths
    neutral = {"bias": 0.0, "scale": 1.0, "shift": 0.0, "mean": 0.0, "var": 1.0}
    values: dict[str, tuple[Tensor, ...]] = {
        field: tuple(torch.full((n, width), value, dtype=torch.float32) for width in widths[1:])
        for field, value in neutral.items()
    }
    for field in _fields(specs):
        values[field] = tuple(tensors[f"stack.{index}.{field}.{layer}"] for layer in range(depth))
    for layer in range(depth):
        layers = [spec.layers[layer] for spec in specs]
        for field, present in (
            ("bias", [x.bias for x in layers]),
            ("scale", [x.norm != "none" and x.affine for x in layers]),
            ("shift", [x.norm != "none" and x.affine for x in layers]),
            ("mean", [x.norm == "batch" for x in layers]),
            ("var", [x.norm == "batch" for x in layers]),
        ):
            absent = values[field][layer][~torch.tensor(present)]
            expect(bool((absent == neutral[field]).all()), f"a {field} should not be there")
    buffers = Buffers(values.pop("mean"), values.pop("var"))
    stack = Stack(tuple(specs), Parameters(**values), buffers)
    marked = torch.ones(n, dtype=torch.bool)
    marked[not_finite] = False
    expect(torch.equal(_finite(stack), marked), "a weight is NaN or infinite")
    expect(not any((var < 0).any() for var in buffers.var), "a variance is negative")
    return list(stack.records())


def _read_estimators(tensors: Mapping[str, Tensor], index: int, group: dict[str, Any]) -> list[Any]:
    depth = len(group["widths"]) - 1
    coefs, intercepts = (
        [tensors[f"estimator.{index}.{field}.{layer}"] for layer in range(depth)]
        for field in ("coefs_", "intercepts_")
    )
    return [
        _estimator_files.rebuild(
            group["class"],
            state,
            group["widths"],
            [coef[row] for coef in coefs],
            [intercept[row] for intercept in intercepts],
        )
        for row, state in enumerate(group["states"])
    ]
