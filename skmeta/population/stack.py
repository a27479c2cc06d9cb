"""Networks of one depth as stacked tensors: :class:`Stack`.

A stack is what all computation runs on. Networks of different widths share a stack by
padding with zeros; what a network computes does not depend on the padding. Convolutional
networks of a stack also share the shape of their images and their convolutions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skmeta._plain import from_plain, to_plain
from skmeta.networks.architecture import Architecture
from skmeta.networks.record import Record
from skmeta.population.structure import Structure, layouts_of
from skmeta.population.weights import Layout, Weights


@dataclass(frozen=True, eq=False)
class Stack(Structure):
    """Networks of one depth, stacked and zero-padded to common widths.

    Attributes
    ----------
    architectures : tuple of Architecture
        One per network, all of the same depth and geometry.
    widths : tuple of int
        Padded sizes of all states, from the input to the output.
    weights : Weights
        What is trained: weights, biases, scales and shifts.
    statistics : Weights
        Running statistics of batch normalisation.
    """

    architectures: tuple[Architecture, ...]
    widths: tuple[int, ...]
    weights: Weights
    statistics: Weights
    _cache: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Own no tensors of ``torch.inference_mode``, which could never be differentiated."""
        for name in ("weights", "statistics"):
            kind = getattr(self, name)
            if kind.flat.is_inference():
                with torch.inference_mode(False):
                    object.__setattr__(self, name, kind.map(torch.clone))

    def __getstate__(self) -> dict:
        # Equal stacks pickle to equal bytes, and a slice of a large stack to its own rows only.
        distinct = {spec: number for number, spec in enumerate(dict.fromkeys(self.architectures))}
        return {
            "specs": json.dumps([spec.to_dict() for spec in distinct]),
            "members": [distinct[spec] for spec in self.architectures],
            "widths": self.widths,
            "weights": to_plain(self.weights.flat),
            "statistics": to_plain(self.statistics.flat),
        }

    def __setstate__(self, state: dict) -> None:
        specs = [Architecture.from_dict(spec) for spec in json.loads(state["specs"])]
        architectures = tuple(specs[number] for number in state["members"])
        layouts = layouts_of(architectures, state["widths"])
        fields = {"architectures": architectures, "widths": state["widths"], "_cache": {}}
        for name, layout in zip(("weights", "statistics"), layouts, strict=True):
            fields[name] = Weights(layout, from_plain(state[name]))
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def with_weights(self, weights: Weights, statistics: Weights | None = None) -> Stack:
        """Return the same networks with other weights; masks and plans are shared.

        Parameters
        ----------
        weights : Weights
            In the layout of :attr:`weights`.
        statistics : Weights, optional
            Those of this stack by default.

        Returns
        -------
        Stack
        """
        statistics = self.statistics if statistics is None else statistics
        return Stack(self.architectures, self.widths, weights, statistics, self._cache)

    def holding(self, numbers: Weights) -> Stack:
        """Return networks with one number in the place of each weight, and no running statistics.

        Parameters
        ----------
        numbers : Weights
            In the layout of :attr:`weights`: curvatures, for instance.

        Returns
        -------
        Stack
            It keeps what is neutral where a network has no parameter.
        """
        held = []
        for kind, given in ((self.weights, numbers.flat), (self.statistics, None)):
            there = self._present(kind.layout).flat > 0
            given = torch.zeros_like(kind.flat) if given is None else given
            held.append(kind.with_flat(torch.where(there, given, kind.flat)))
        return self.with_weights(*held)

    def to(self, device=None, dtype: torch.dtype | None = None) -> Stack:
        """Return a stack on another device or in another floating type.

        Parameters
        ----------
        device : str or torch.device, optional
            Where the tensors go; by default they stay.
        dtype : torch.dtype, optional
            Their floating type; by default it stays.

        Returns
        -------
        Stack
        """
        weights, statistics = (k.to(device, dtype) for k in (self.weights, self.statistics))
        return Stack(self.architectures, self.widths, weights, statistics, self._cache)

    def select(self, rows: Sequence[int] | Tensor) -> Stack:
        """Return the networks at the given rows, in that order.

        Parameters
        ----------
        rows : sequence of int or Tensor of int
            Positions in the stack, each 0 or more.

        Returns
        -------
        Stack
            Copies of these networks, padded as they were.
        """
        numbers = torch.as_tensor(rows, dtype=torch.long, device="cpu").tolist()
        architectures = tuple(self.architectures[i] for i in numbers)
        index = torch.tensor(numbers, dtype=torch.long, device=self.device)
        cache = self._cache if numbers == list(range(len(self))) else {}
        weights, statistics = (k.select(index) for k in (self.weights, self.statistics))
        return Stack(architectures, self.widths, weights, statistics, cache)

    def padded(self, widths: Sequence[int]) -> Stack:
        """Return the networks padded to other widths, without slots that none of them has.

        Parameters
        ----------
        widths : sequence of int
            Sizes of all states, from the input to the output; at least those of each network.

        Returns
        -------
        Stack
            Itself if nothing changes.
        """
        layouts = layouts_of(self.architectures, widths)
        if layouts == (self.weights.layout, self.statistics.layout):
            return self
        weights, statistics = self.weights.moved(layouts[0]), self.statistics.moved(layouts[1])
        return Stack(self.architectures, tuple(widths), weights, statistics)

    def laid_out_like(self, other: Stack) -> Stack:
        """Return the networks with the widths and slots of another stack of the same ones.

        Parameters
        ----------
        other : Stack
            Of the same architectures.

        Returns
        -------
        Stack
            Whose numbers can be added to those of the other.
        """
        weights = self.weights.moved(other.weights.layout)
        statistics = self.statistics.moved(other.statistics.layout)
        return Stack(self.architectures, other.widths, weights, statistics)

    @staticmethod
    def merge(stacks: Sequence[Stack]) -> Stack:
        """Stack stacks of one depth and geometry on top of each other, padded to the widest.

        Parameters
        ----------
        stacks : sequence of Stack
            One or more.

        Returns
        -------
        Stack
        """
        if len(stacks) == 1:
            return stacks[0]
        widths = tuple(max(w) for w in zip(*(s.widths for s in stacks), strict=True))
        architectures = tuple(a for s in stacks for a in s.architectures)
        trained, others = layouts_of(architectures, widths)
        weights = Weights.cat([stack.weights.moved(trained) for stack in stacks])
        statistics = Weights.cat([stack.statistics.moved(others) for stack in stacks])
        return Stack(architectures, widths, weights, statistics)

    @staticmethod
    def from_records(records: Sequence[Record]) -> Stack:
        """Stack networks of identical widths.

        Parameters
        ----------
        records : sequence of Record
            One or more.

        Returns
        -------
        Stack
        """
        architectures = tuple(record.architecture for record in records)
        widths, some = architectures[0].widths, records[0].tensors["0.weight"]

        def stacked(layout: Layout) -> Weights:
            columns = [some.new_zeros(len(records), 0)]
            for slot in layout.slots:
                neutral = some.new_full(slot.shape, slot.neutral)
                tensors = [record.tensors.get(slot.name, neutral) for record in records]
                columns.append(torch.stack(tensors).flatten(1))
            return Weights(layout, torch.cat(columns, 1))

        weights, statistics = map(stacked, layouts_of(architectures, widths))
        return Stack(architectures, widths, weights, statistics)

    def records(self) -> Iterator[Record]:
        """Iterate over the networks.

        Yields
        ------
        Record
            Of each network, with its true widths and no padding. The tensors are views.
        """
        numbers = dict(self.weights.items()) | dict(self.statistics.items())
        for row, architecture in enumerate(self.architectures):
            tensors = {}
            for slot in architecture.slots:
                own = tuple(slice(size) for size in slot.shape)
                tensors[slot.name] = numbers[slot.name][row][own]
            yield Record(architecture, tensors)
