"""Networks of one depth as stacked tensors: :class:`Stack`.

A stack is what all computation runs on. Networks of different widths share a stack by
padding with zeros; what a network computes does not depend on the padding. Convolutional
networks of a stack also share the shape of their images and their convolutions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta._plain import from_plain, to_plain
from skmeta.population.architecture import Architecture
from skmeta.population.convolution import ConvolutionPlan


class Parameters(NamedTuple):
    """Trainable tensors of a stack; each field holds one tensor per layer.

    ``weight[l]`` is ``(n, width_out, width_in)``, of a convolution ``(n, channels_out,
    channels_in, height, width)``; the others are ``(n, width_out)``.
    ``scale`` and ``shift`` belong to the normalisation.
    """

    weight: tuple[Tensor, ...]
    bias: tuple[Tensor, ...]
    scale: tuple[Tensor, ...]
    shift: tuple[Tensor, ...]

    def tensors(self) -> list[Tensor]:
        """All tensors in a fixed order."""
        return [tensor for field in self for tensor in field]

    def replace_tensors(self, tensors: Sequence[Tensor]) -> Parameters:
        """Return parameters with the given tensors in the order of :meth:`tensors`."""
        it = iter(tensors)
        return Parameters(*(tuple(next(it) for _ in field) for field in self))

    def map(self, function: Callable[..., Tensor], *others: Parameters) -> Parameters:
        """Apply a function tensor by tensor, over several parameters at once."""
        lists = [self.tensors(), *(other.tensors() for other in others)]
        return self.replace_tensors([function(*row) for row in zip(*lists, strict=True)])


class Buffers(NamedTuple):
    """Running mean and variance of batch normalisation, ``(n, width_out)`` per layer."""

    mean: tuple[Tensor, ...]
    var: tuple[Tensor, ...]


Run = tuple[int, int, tuple]
"""Consecutive networks ``start:stop`` of a stack that share a key."""


def runs_of(keys: Sequence[tuple]) -> tuple[Run, ...]:
    """Split a sequence of keys into runs of equal neighbours."""
    runs, start = [], 0
    for key, group in groupby(keys):
        stop = start + sum(1 for _ in group)
        runs.append((start, stop, key))
        start = stop
    return tuple(runs)


@dataclass(frozen=True, eq=False)
class Stack:
    """Networks of one depth, stacked and zero-padded to common widths.

    Attributes
    ----------
    architectures : tuple of Architecture
        One per network, all of the same depth and geometry.
    params : Parameters
        Weights, biases, scales and shifts.
    buffers : Buffers
        Running statistics of batch normalisation.
    """

    architectures: tuple[Architecture, ...]
    params: Parameters
    buffers: Buffers
    _cache: dict = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.architectures)

    def __getstate__(self) -> dict:
        # Equal stacks pickle to equal bytes, and a slice of a large stack to its own rows only.
        distinct = {spec: number for number, spec in enumerate(dict.fromkeys(self.architectures))}
        return {
            "specs": json.dumps([spec.to_dict() for spec in distinct]),
            "members": [distinct[spec] for spec in self.architectures],
            "params": tuple(tuple(map(to_plain, field)) for field in self.params),
            "buffers": tuple(tuple(map(to_plain, field)) for field in self.buffers),
        }

    def __setstate__(self, state: dict) -> None:
        specs = [Architecture.from_dict(spec) for spec in json.loads(state["specs"])]
        fields = {
            "architectures": tuple(specs[number] for number in state["members"]),
            "params": Parameters(*(tuple(map(from_plain, f)) for f in state["params"])),
            "buffers": Buffers(*(tuple(map(from_plain, f)) for f in state["buffers"])),
            "_cache": {},
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def depth(self) -> int:
        """Number of linear layers and convolutions."""
        return len(self.params.weight)

    @property
    def geometry(self) -> tuple:
        """Images and convolutions that all networks share."""
        return self.architectures[0].geometry

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.params.weight[0].device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self.params.weight[0].dtype

    @property
    def widths(self) -> tuple[int, ...]:
        """Padded sizes of all states, from the input to the output."""
        weight = self.params.weight
        return (weight[0].shape[2], *(w.shape[1] for w in weight))

    def convolution(self, index: int) -> ConvolutionPlan | None:
        """How layer ``index`` moves over images; None if it is linear."""
        if "convolutions" not in self._cache:
            sizes = iter(self.architectures[0].image_sizes)
            steps = [layer.convolution for layer in self.architectures[0].layers]
            self._cache["convolutions"] = [
                None if step is None else ConvolutionPlan(step, next(sizes)) for step in steps
            ]
        return self._cache["convolutions"][index]

    @cached_property
    def _true_widths(self) -> Tensor:
        return torch.tensor([a.widths for a in self.architectures])

    def state_mask(self, index: int) -> Tensor | None:
        """``(n, width)`` of ones at the true neurons of state ``index``; None if not padded."""
        key = ("mask", index, self.device, self.dtype)
        if key not in self._cache:
            true, width = self._true_widths[:, index], self.widths[index]
            padded = bool((true < width).any())
            mask = (torch.arange(width) < true[:, None]).to(self.device, self.dtype)
            self._cache[key] = mask if padded else None
        return self._cache[key]

    def trainable(self) -> Parameters:
        """Ones where an entry is a true parameter, zeros at padding and absent parameters.

        The tensors broadcast against :attr:`params`.
        """
        key = ("trainable", self.device, self.dtype)
        if key in self._cache:
            return self._cache[key]
        rows: list[list[Tensor]] = [[], [], [], []]
        for index in range(self.depth):
            layers = [a.layers[index] for a in self.architectures]
            source, target = (self._ones_mask(i) for i in (index, index + 1))
            bias, affine = (
                torch.tensor(flags, dtype=self.dtype, device=self.device)[:, None]
                for flags in (
                    [x.bias for x in layers],
                    [x.affine and x.norm != "none" for x in layers],
                )
            )
            weight = target[:, :, None] * source[:, None]
            shape = self.params.weight[index].shape
            weight = weight.reshape(*weight.shape, *[1] * (len(shape) - 3)).expand(shape)
            for row, mask in zip(
                rows,
                (weight, target * bias, target * affine),
                strict=False,
            ):
                row.append(mask)
        rows[3] = rows[2]
        self._cache[key] = Parameters(*(tuple(row) for row in rows))
        return self._cache[key]

    def _ones_mask(self, index: int) -> Tensor:
        mask = self.state_mask(index)
        shape = (len(self), self.widths[index])
        return torch.ones(shape, dtype=self.dtype, device=self.device) if mask is None else mask

    def layer_runs(self, index: int) -> tuple[Run, ...]:
        """Runs of networks whose layer ``index`` has the same normalisation and activation."""
        key = ("runs", index)
        if key not in self._cache:
            layers = [a.layers[index] for a in self.architectures]
            self._cache[key] = runs_of(
                [(x.norm, x.norm_after, x.activation, x.eps) for x in layers]
            )
        return self._cache[key]

    def skips(self, index: int, *, before: bool) -> list[tuple[int, Tensor | None]]:
        """Skip connections into layer ``index``: pairs of a source state and network rows.

        Rows are None where all networks of the stack have the connection.
        """
        key = ("skips", index, before, self.device)
        if key not in self._cache:
            pairs: list[tuple[int, Tensor | None]] = []
            for source in range(index + 1):
                rows = [
                    i
                    for i, a in enumerate(self.architectures)
                    if source in a.layers[index].skips and a.layers[index].skip_before == before
                ]
                if rows:
                    full = len(rows) == len(self)
                    pairs.append((source, None if full else torch.tensor(rows, device=self.device)))
            self._cache[key] = pairs
        return self._cache[key]

    @property
    def skip_sources(self) -> frozenset[int]:
        """States that skip connections start from."""
        if "sources" not in self._cache:
            layers = (layer for a in self.architectures for layer in a.layers)
            self._cache["sources"] = frozenset(s for layer in layers for s in layer.skips)
        return self._cache["sources"]

    def with_params(self, params: Parameters, buffers: Buffers | None = None) -> Stack:
        """Return the same networks with other weights; masks and runs are shared."""
        return Stack(self.architectures, params, buffers or self.buffers, self._cache)

    def to(self, device=None, dtype: torch.dtype | None = None) -> Stack:
        """Return a stack on another device or in another floating type."""
        params = self.params.map(lambda t: t.to(device, dtype))
        buffers = Buffers(*(tuple(t.to(device, dtype) for t in field) for field in self.buffers))
        return Stack(self.architectures, params, buffers)

    def select(self, rows: Sequence[int] | Tensor) -> Stack:
        """Return the networks at the given rows, in that order."""
        index = torch.as_tensor(rows, dtype=torch.long)
        architectures = tuple(self.architectures[i] for i in index.tolist())
        index = index.to(self.device)
        params = self.params.map(lambda t: t.index_select(0, index))
        buffers = Buffers(*(tuple(t[index] for t in field) for field in self.buffers))
        return Stack(architectures, params, buffers)

    def padded(self, widths: Sequence[int]) -> Stack:
        """Return the stack with zeros appended up to the given state widths."""
        if tuple(widths) == self.widths:
            return self
        grow = [new - old for new, old in zip(widths, self.widths, strict=True)]
        pad = torch.nn.functional.pad
        weight = tuple(
            pad(w, (*[0, 0] * (w.ndim - 3), 0, grow[i], 0, grow[i + 1]))
            for i, w in enumerate(self.params.weight)
        )
        rest = (
            tuple(pad(t, (0, grow[i + 1])) for i, t in enumerate(field))
            for field in (*self.params[1:], *self.buffers)
        )
        bias, scale, shift, mean, var = rest
        return Stack(self.architectures, Parameters(weight, bias, scale, shift), Buffers(mean, var))

    def cropped(self, widths: Sequence[int]) -> Stack:
        """Return the stack without the padding beyond the given state widths."""
        if tuple(widths) == self.widths:
            return self
        weight = tuple(
            w[:, :out, :inp]
            for w, inp, out in zip(self.params.weight, widths, widths[1:], strict=False)
        )
        bias, scale, shift, mean, var = (
            tuple(t[:, :out] for t, out in zip(field, widths[1:], strict=True))
            for field in (*self.params[1:], *self.buffers)
        )
        return Stack(self.architectures, Parameters(weight, bias, scale, shift), Buffers(mean, var))

    @staticmethod
    def merge(stacks: Sequence[Stack]) -> Stack:
        """Stack stacks of one depth and geometry on top of each other, padded to the widest."""
        if len(stacks) == 1:
            return stacks[0]
        widths = [max(w) for w in zip(*(s.widths for s in stacks), strict=True)]
        parts = [s.padded(widths) for s in stacks]
        params = parts[0].params.map(lambda *ts: torch.cat(ts), *(p.params for p in parts[1:]))
        buffers = Buffers(
            *(
                tuple(torch.cat(ts) for ts in zip(*fields, strict=True))
                for fields in zip(*(p.buffers for p in parts), strict=True)
            )
        )
        return Stack(tuple(a for p in parts for a in p.architectures), params, buffers)

    @staticmethod
    def from_records(records: Sequence[Record]) -> Stack:
        """Stack networks of identical widths."""
        architectures = tuple(record.architecture for record in records)
        fields: dict[str, tuple[Tensor, ...]] = {}
        for name in (*Parameters._fields, *Buffers._fields):
            per_layer = zip(*(record.tensors[name] for record in records), strict=True)
            fields[name] = tuple(torch.stack(tensors) for tensors in per_layer)
        buffers = Buffers(fields.pop("mean"), fields.pop("var"))
        return Stack(architectures, Parameters(**fields), buffers)

    def records(self) -> Iterator[Record]:
        """Iterate over the networks, each with its true widths and no padding."""
        for row, architecture in enumerate(self.architectures):
            widths, tensors = architecture.widths, {}
            tensors["weight"] = [
                w[row, :out, :inp]
                for w, inp, out in zip(self.params.weight, widths, widths[1:], strict=False)
            ]
            for name, values in zip(
                ("bias", "scale", "shift", "mean", "var"),
                (*self.params[1:], *self.buffers),
                strict=True,
            ):
                tensors[name] = [t[row, :out] for t, out in zip(values, widths[1:], strict=True)]
            yield Record(architecture, tensors)


@dataclass(frozen=True, eq=False)
class Record:
    """One network as an architecture and its tensors; what adapters read and write.

    ``tensors`` maps ``weight``, ``bias``, ``scale``, ``shift``, ``mean`` and ``var`` to a
    list with one tensor per layer. Absent parameters hold their neutral value (bias 0,
    scale 1, shift 0, mean 0, var 1).
    """

    architecture: Architecture
    tensors: dict[str, list[Tensor]]

    @classmethod
    def blank(cls, architecture: Architecture, dtype: torch.dtype = torch.float32) -> Record:
        """Return a record with zero weights and neutral normalisation."""
        widths, layers = architecture.widths, architecture.layers
        zeros = [torch.zeros(layer.width, dtype=dtype) for layer in layers]
        ones = [torch.ones(layer.width, dtype=dtype) for layer in layers]
        return cls(
            architecture,
            {
                "weight": [
                    torch.zeros(layer.width, fan_in, *layer.kernel_shape, dtype=dtype)
                    for fan_in, layer in zip(widths, layers, strict=False)
                ],
                **{name: [z.clone() for z in zeros] for name in ("bias", "shift", "mean")},
                **{name: [o.clone() for o in ones] for name in ("scale", "var")},
            },
        )
