"""How the stages of many networks run side by side: :class:`StagePlan` and its columns.

Networks of a stack differ in what follows their mixes. Their tails are laid side by side so that
operations of one kind form a *column*; a column runs in as few steps as its kind allows, each on
the networks that share an operation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from skmeta.networks.architecture import Architecture
from skmeta.networks.ops import Dropout, Mix, Norm, RunOp, Skip, TailOp
from skmeta.networks.ops.base import Affine, Run, Size

Rows = slice | Tensor


@dataclass
class Pass:
    """What a pass over the stages of a stack carries along.

    Attributes
    ----------
    values : dict of str to Tensor
        Weights and running statistics.
    train : bool
        Whether dropout acts and batches are normalised by their own statistics.
    keep : bool
        Whether a backward pass by hand will follow.
    dropout : callable or None
        ``dropout(stage, h, rates)`` draws the factors of a state in training.
    states : dict of int to Tensor
        States that are still needed, or all of them with ``keep``.
    saved : list of list
        With ``keep``, for each stage what the backward pass of its columns needs.
    owned : bool
        Whether the present state may be overwritten.
    """

    values: dict[str, Tensor]
    train: bool = False
    keep: bool = False
    dropout: Callable[[int, Tensor, Tensor], Tensor] | None = None
    states: dict[int, Tensor] = field(default_factory=dict)
    saved: list[list[Any]] = field(default_factory=list)
    owned: bool = False


@dataclass
class Return:
    """What the way back carries along.

    Attributes
    ----------
    states : dict of int to Tensor
        Those of the pass.
    arrived : list of Tensor or None
        Gradients of states so far.
    affine : callable
        ``affine(stage, rows, normal, g)`` is told what a scale multiplied and the gradient behind
        it, which will be overwritten.
    """

    states: dict[int, Tensor]
    arrived: list[Tensor | None]
    affine: Callable[[int, Rows, Tensor, Tensor], None]


class Column(ABC):
    """Operations of one kind in a stage, for the networks that have one."""

    skips: Sequence[tuple[int, Tensor | None]] = ()
    """Sources of skip connections and the networks that have them."""

    def seen(self, saved: Any) -> list[tuple[slice, Tensor, Tensor]]:
        """Return networks, means and variances that batch normalisations have seen."""
        return []

    @abstractmethod
    def forward(self, x: Tensor, passing: Pass) -> tuple[Tensor, Any]:
        """Return new states and what :meth:`backward` needs."""

    @abstractmethod
    def backward(self, g: Tensor, saved: Any, back: Return) -> Tensor:
        """Return the gradient in front, given that behind, which is overwritten."""


class _Part(NamedTuple):
    """Networks that share an operation; ``names`` of its tensors by field."""

    rows: slice
    op: RunOp | None
    names: dict[str, str]


class RunsColumn(Column):
    """Networks that share an operation stand side by side: each run is one step."""

    def __init__(
        self, stage: int, ops: Sequence[TailOp | None], size: Size, mask: Tensor | None
    ) -> None:
        self.stage, self.size, self.mask = stage, size, mask
        self.parts: list[_Part] = []
        start = 0
        for op, members in groupby(ops):
            stop = start + sum(1 for _ in members)
            assert op is None or isinstance(op, RunOp)
            fields = () if op is None else [name for name in op.fields if op.has(name)]
            names = {name: f"{stage}.{name}" for name in fields}
            self.parts.append(_Part(slice(start, stop), op, names))
            start = stop
        self.sizes = [part.rows.stop - part.rows.start for part in self.parts]
        self.overwritable = all(part.op is None or part.op.overwritable for part in self.parts)
        self._runs: dict[tuple[bool, bool, bool], list[Run]] = {}

    def seen(self, saved: Any) -> list[tuple[slice, Tensor, Tensor]]:
        """Return what each run of batch normalisations has seen."""
        runs = zip(self.parts, saved, strict=True)
        return [
            (part.rows, *kept[2])
            for part, (kept, *_) in runs
            if isinstance(part.op, Norm) and kept[2] is not None
        ]

    def _runs_of(self, passing: Pass) -> list[Run]:
        key = passing.train, passing.keep, passing.owned
        if key not in self._runs:
            masks = [None if self.mask is None else self.mask[part.rows] for part in self.parts]
            self._runs[key] = [Run(mask, self.size, *key) for mask in masks]
        return self._runs[key]

    def forward(self, x: Tensor, passing: Pass) -> tuple[Tensor, Any]:
        """Run by run, in place where the state may be overwritten."""
        runs, values = self._runs_of(passing), passing.values
        parts = [x] if len(runs) == 1 else x.split(self.sizes)
        outputs, saved, in_place = [], [], passing.owned
        for part, run, (rows, op, names) in zip(parts, runs, self.parts, strict=True):
            y, kept, own = part, None, {}
            if op is not None:
                own = {name: values[slot][rows] for name, slot in names.items()}
                y, kept = op.apply(part, own, run)
            outputs.append(y)
            saved.append((kept, own, run))
            in_place = in_place and y is part
        if not torch.is_grad_enabled():
            passing.owned = self.overwritable or not passing.keep
        if len(outputs) == 1:
            return outputs[0], saved
        return x if in_place else torch.cat(outputs), saved

    def backward(self, g: Tensor, saved: Any, back: Return) -> Tensor:
        """Run by run."""
        parts = [g] if len(saved) == 1 else g.split(self.sizes)
        outputs = []
        for part, (kept, own, run), (rows, op, names) in zip(parts, saved, self.parts, strict=True):
            if op is not None:
                tell: Affine = partial(back.affine, self.stage, rows) if names else _nothing
                part = op.pull(part, kept, own, run, tell)
            outputs.append(part)
        if len(outputs) == 1:
            return outputs[0]
        same = all(o is p for o, p in zip(outputs, parts, strict=True))
        return g if same else torch.cat(outputs)


def _nothing(normal: Tensor, g: Tensor) -> None:
    """Be told of a normalisation without a scale and a shift."""


class SkipColumn(Column):
    """Each source is one addition, to the networks that have it."""

    def __init__(self, ops: Sequence[TailOp | None], device: torch.device) -> None:
        members: dict[int, list[int]] = {}
        for row, op in enumerate(ops):
            if isinstance(op, Skip):
                members.setdefault(op.source, []).append(row)
        self.skips = [
            (source, None if len(rows) == len(ops) else torch.tensor(rows, device=device))
            for source, rows in sorted(members.items())
        ]

    def forward(self, x: Tensor, passing: Pass) -> tuple[Tensor, Any]:
        """Add the sources; in a padded stack one may be padded wider, the rest is zero."""
        by_hand = not torch.is_grad_enabled()
        if by_hand:
            x, passing.owned = (x if passing.owned else x.clone()), True
        for source, rows in self.skips:
            state = passing.states[source]
            if by_hand:
                _add(x, state, rows)
                continue
            state = state if rows is None else state.index_select(0, rows)
            state = F.pad(state, (0, x.shape[-1] - state.shape[-1]))
            x = x + state if rows is None else x.index_add(0, rows, state)
        return x, None

    def backward(self, g: Tensor, saved: Any, back: Return) -> Tensor:
        """Add the gradient to those of the sources; nobody asks for that of the data."""
        for source, rows in self.skips:
            if source:
                there = back.arrived[source]
                if there is None:
                    there = back.arrived[source] = torch.zeros_like(back.states[source])
                _add(there, g, rows)
        return g


def _add(to: Tensor, values: Tensor, rows: Tensor | None) -> None:
    """Add states of some networks, or of all, in place; the narrower state decides."""
    width = min(to.shape[2], values.shape[2])
    to, values = to[..., :width], values[..., :width]
    if rows is None:
        to.add_(values)
    else:
        to.index_add_(0, rows, values.index_select(0, rows))


class DropoutColumn(Column):
    """All networks at once, each with a rate of its own."""

    def __init__(self, stage: int, ops: Sequence[TailOp | None]) -> None:
        rates = [op.rate if isinstance(op, Dropout) else 0.0 for op in ops]
        self.stage, self.rates = stage, torch.tensor(rates, dtype=torch.float32)

    def forward(self, x: Tensor, passing: Pass) -> tuple[Tensor, Any]:
        """Drop in training; keep the factors."""
        if not passing.train or passing.dropout is None:
            return x, None
        mask = passing.dropout(self.stage, x, self.rates)
        if passing.owned:
            return x.mul_(mask), mask
        passing.owned = not torch.is_grad_enabled()
        return x * mask, mask

    def backward(self, g: Tensor, saved: Any, back: Return) -> Tensor:
        """Multiply by the factors."""
        return g if saved is None else g.mul_(saved)


@dataclass(frozen=True)
class StagePlan:
    """One stage of the networks of a stack.

    Attributes
    ----------
    mix : Mix
        That of the widest network; they differ in their widths only.
    size : (int, int) or None
        Height and width of the images that enter.
    n_positions : int
        How many rows of outputs of the mix belong to one sample.
    columns : list of Column
        What follows.
    """

    mix: Mix
    size: Size
    n_positions: int
    columns: list[Column]


def plan_stage(
    architectures: Sequence[Architecture], number: int, mask: Tensor | None, device: torch.device
) -> StagePlan:
    """Lay the tails of a stage side by side; ``mask`` has ones at the true neurons behind it."""
    stages = [a.stages[number] for a in architectures]
    tails = [stage.tail for stage in stages]
    kinds: list[type[TailOp]] = []
    places: dict[tuple[TailOp, ...], list[int]] = {}
    # The longest first: most others are a part of it.
    for tail in sorted(dict.fromkeys(tails), key=len, reverse=True):
        at, here = 0, []
        for op in tail:
            found = [i for i in range(at, len(kinds)) if kinds[i] is type(op)]
            if not found:
                kinds.insert(at, type(op))
                places = {t: [p + (p >= at) for p in ps] for t, ps in places.items()}
            place = found[0] if found else at
            here.append(place)
            at = place + 1
        places[tail] = here
    sizes, first = architectures[0].sizes[number], places[tails[0]]
    columns: list[Column] = []
    for place, kind in enumerate(kinds):
        ops = [tail[places[tail].index(place)] if place in places[tail] else None for tail in tails]
        if kind is Skip:
            columns.append(SkipColumn(ops, device))
        elif kind is Dropout:
            columns.append(DropoutColumn(number, ops))
        else:  # operations for which images matter are shared by all networks
            size = sizes[1 + first.index(place)] if place in first else None
            columns.append(RunsColumn(number, ops, size, mask))
    mix, size = stages[0].mix, sizes[0]
    after = mix.output_size(size)
    return StagePlan(mix, size, 1 if after is None else after[0] * after[1], columns)
