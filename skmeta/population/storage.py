"""Populations as files: :func:`save` and :func:`load`.

One safetensors file. The header holds a JSON description under the key ``skmeta``; networks
of equal widths share tensors. Networks from scikit-learn keep their weights in their own
dtype and come back as estimators; all others come back as modules. Nothing in a file is
ever run, and a file is believed only after its claims were checked against each other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import safetensors
import torch
from torch import Tensor

from skmeta.population import _estimator_files, _filecheck, _table_files, adapters
from skmeta.population._filecheck import PopulationFileError, expect, fields_of, integers
from skmeta.population._writing import write_tensors
from skmeta.population.architecture import Architecture
from skmeta.population.stack import Stack
from skmeta.population.tensors import Buffers, Parameters, Record

if TYPE_CHECKING:
    from skmeta.population.population import Population

FORMAT = "skmeta population"
VERSION = 1

# -- writing ---------------------------------------------------------------------------------


def save(population: Population, path: str | Path) -> None:
    """Write a population; the file appears complete or not at all.

    Parameters
    ----------
    population : Population
        Edited networks are saved as edited. Networks from torch and skorch are saved as
        architecture and float32 weights, without their Python class.
    path : str or Path
        An existing file is replaced.
    """
    header, tensors = _describe(population)
    write_tensors(path, header, tensors, "A population")


def _describe(population: Population) -> tuple[dict[str, Any], dict[str, Tensor]]:
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
        "architectures": [spec.to_dict() for spec in specs],
        "metadata": columns,
    }
    return header, tensors


def _describe_stacks(
    population: Population,
    wanted: np.ndarray,
    specs: dict[Architecture, int],
    tensors: dict[str, Tensor],
) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for positions, stack in population.blocks:
        rows = np.flatnonzero(wanted[positions])
        if not len(rows):
            continue
        stack = stack.select(torch.from_numpy(rows)).to("cpu", torch.float32)
        for field in _fields(stack.architectures):
            values = getattr(stack.params, field, None) or getattr(stack.buffers, field)
            for layer, value in enumerate(values):
                tensors[f"stack.{len(out)}.{field}.{layer}"] = value
        numbers = [specs.setdefault(spec, len(specs)) for spec in stack.architectures]
        out.append(
            {
                "positions": np.asarray(positions)[rows].tolist(),
                "architectures": numbers,
                # Diverged networks of a zoo are kept, and known to be meant.
                "not_finite": np.flatnonzero(~_finite(stack).numpy()).tolist(),
            }
        )
    return out


def _fields(architectures: Sequence[Architecture]) -> list[str]:
    """Return which fields the networks of a stack have; the others are neutral."""
    norms = {layer.norm for spec in architectures for layer in spec.layers}
    fields = ["weight", "bias"]
    fields += ["scale", "shift"] if norms != {"none"} else []
    return fields + (["mean", "var"] if "batch" in norms else [])


def _finite(stack: Stack) -> Tensor:
    tensors = [*stack.params.tensors(), *stack.buffers.mean, *stack.buffers.var]
    return torch.stack([t.isfinite().flatten(1).all(1) for t in tensors]).all(0)


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


def load(path: str | Path) -> tuple[list[Record], list[adapters.Source | None], pd.DataFrame]:
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
        What scikit-learn estimators were taken apart into, None for networks that are modules.
    metadata : DataFrame
        One row per network.

    Raises
    ------
    PopulationFileError
        If the file is damaged, or not from :func:`save`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return _read(file)
    except Exception as error:
        # Whatever a hostile file makes fail, it fails with one error.
        what = str(error) if isinstance(error, PopulationFileError) else repr(error)
        raise PopulationFileError(f"{path} is not a population file: {what[:500]}.") from error


def _read(file: Any) -> tuple[list[Record], list[adapters.Source | None], pd.DataFrame]:
    text = (file.metadata() or {}).get("skmeta")
    expect(text is not None, "it has no description of a population")
    _, version, n, stacks, estimators, specs, columns = fields_of(
        header := json.loads(str(text)),
        "the header",
        format=str,
        version=int,
        n=int,
        stacks=list,
        estimators=list,
        architectures=list,
        metadata=list,
    )
    expect(header["format"] == FORMAT, "its format is unknown")
    expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
    architectures = [_filecheck.architecture(spec) for spec in specs]
    positions = _check_positions(stacks, estimators, n, len(architectures))
    members = [[architectures[i] for i in stack["architectures"]] for stack in stacks]
    expected = _expected_tensors(members, estimators, columns, n)
    _check_tensors(file, expected)

    records: list[Any] = [None] * n
    sources: list[Any] = [None] * n
    groups = iter(positions)
    for index, (stack, specs_) in enumerate(zip(stacks, members, strict=True)):
        found = _read_stack(file, index, specs_, stack["not_finite"])
        for position, record in zip(next(groups), found, strict=True):
            records[position] = record
    for index, group in enumerate(estimators):
        for position, estimator in zip(
            next(groups), _read_estimators(file, index, group), strict=True
        ):
            records[position], sources[position] = adapters.take_apart(estimator, position)
    table = {i: file.get_tensor(f"metadata.{i}") for i in _table_files.expected(columns)}
    return records, sources, _table_files.rebuild(columns, table, n)


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
        alike = all(s.widths == widths and s.geometry == geometry for s in specs)
        expect(alike, "networks of a stack differ in widths or convolutions")
        for field in _fields(specs):
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


_CODES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    **{getattr(torch, f"int{bits}"): f"I{bits}" for bits in (8, 16, 32, 64)},
    **{getattr(torch, f"float{bits}"): f"F{bits}" for bits in (32, 64)},
}


def _check_tensors(file: Any, expected: dict[str, tuple[torch.dtype, list[int]]]) -> None:
    expect(set(file.keys()) == set(expected), "tensors are missing or too many")
    for name, (dtype, shape) in expected.items():
        view = file.get_slice(name)
        good = view.get_dtype() == _CODES[dtype] and list(view.get_shape()) == shape
        expect(good, f"the tensor '{name}' has the wrong dtype or shape")


def _read_stack(
    file: Any, index: int, specs: list[Architecture], not_finite: list[int]
) -> list[Record]:
    n, depth, widths = len(specs), specs[0].depth, specs[0].widths
    neutral = {"bias": 0.0, "scale": 1.0, "shift": 0.0, "mean": 0.0, "var": 1.0}
    values: dict[str, tuple[Tensor, ...]] = {
        field: tuple(torch.full((n, width), value) for width in widths[1:])
        for field, value in neutral.items()
    }
    for field in _fields(specs):
        values[field] = tuple(
            file.get_tensor(f"stack.{index}.{field}.{layer}") for layer in range(depth)
        )
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


def _read_estimators(file: Any, index: int, group: dict[str, Any]) -> list[Any]:
    depth = len(group["widths"]) - 1
    coefs, intercepts = (
        [file.get_tensor(f"estimator.{index}.{field}.{layer}") for layer in range(depth)]
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
