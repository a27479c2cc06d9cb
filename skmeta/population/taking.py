"""Networks of users as records, checked against what they say: :func:`take_all_apart`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skmeta.networks.adapters import (
    Source,
    UnsupportedNetworkError,
    adapter_of,
    name_of,
    naming,
    sklearn_mlp,
    sklearn_pipeline,
    torch_modules,
)
from skmeta.networks.adapters._hollow import Known
from skmeta.networks.architecture import Architecture
from skmeta.networks.record import Record
from skmeta.population import checking
from skmeta.population.blocks import blocks_from_records
from skmeta.population.mapping import pieces


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
        with naming(network, position):
            adapter = adapter_of(network)
            tabular = adapter in (sklearn_mlp, sklearn_pipeline)
            skeleton, weights = adapter.take_apart(
                network, *() if tabular else (input_shape, known)
            )
            record = skeleton.record(weights)
        source = Source.of(skeleton, weights, record)
        records.append(record)
        sources.append(None if torch_modules.is_own(network, source) else source)
        parts.append((network, skeleton, weights, record.architecture))
    said = _ask(parts, start)
    blocks = blocks_from_records(records)
    for index, where in checking.not_finite(blocks).items():
        raise ValueError(
            f"{name_of(networks[index], index + start)} has NaN or infinite numbers (as float32) "
            f"in {where}. Leave this network out."
        )
    for index, difference in checking.differences(blocks, said).items():
        with naming(networks[index], index + start):
            raise UnsupportedNetworkError(difference)
    return records, sources


def _ask(
    parts: Sequence[tuple[Any, Any, Any, Architecture]], start: int
) -> list[checking.Said | None]:
    """Return what each network says on a few rows; None where another answers for it."""
    said: list[checking.Said | None] = [None] * len(parts)
    groups: dict[Any, list[int]] = {}
    for index, (network, skeleton, _, _) in enumerate(parts):
        groups.setdefault(adapter_of(network).routine(network, skeleton), []).append(index)
    twins: dict[int, Any] = {}
    for routine, group in groups.items():
        if routine is not None and adapter_of(parts[group[0]][0]) is sklearn_mlp:
            group = group[:1]  # the same lines of scikit-learn run for all
        # Their weights are held twice meanwhile.
        for piece in pieces(len(group), 2 * parts[group[0]][3].n_parameters):
            members = group[piece]
            _, skeleton, _, architecture = parts[members[0]]
            rows = checking.rows_for(architecture.n_inputs, skeleton.scaling)
            outputs = None
            if routine is not None and len(members) > 1:
                outputs = torch_modules.say_together(skeleton, [parts[i][2] for i in members], rows)
            if outputs is not None:
                answers = torch_modules.answers(*parts[members[0]][:3], twins)
                for index, output in zip(members, outputs.cpu().double(), strict=True):
                    said[index] = checking.Said(answers, rows, [output])
                continue
            for index in members:
                network, skeleton, weights, architecture = parts[index]
                with naming(network, index + start):
                    answers = adapter_of(network).answers(network, skeleton, weights, twins)
                    rows = checking.rows_for(architecture.n_inputs, skeleton.scaling)
                    said[index] = checking.Said.asked(answers, rows)
    return said
