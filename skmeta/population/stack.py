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
from skmeta.population.structure import Structure
from skmeta.population.tensors import Buffers, Parameters


@dataclass(frozen=True, eq=False)
class Stack(Structure):
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

    def __post_init__(self) -> None:
        """Own no tensors of ``torch.inference_mode``, which could never be differentiated."""
        if any(t.is_inference() for t in (*self.params.tensors(), *self.buffers.mean)):
            with torch.inference_mode(False):
                for name in ("params", "buffers"):
                    kind = getattr(self, name)
                    copies = (tuple(t.clone() for t in tensors) for tensors in kind)
                    object.__setattr__(self, name, type(kind)(*copies))

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

    def with_params(self, params: Parameters, buffers: Buffers | None = None) -> Stack:
        """Return the same networks with other weights; masks and runs are shared.

        Parameters
        ----------
        params : Parameters
            In the shapes of :attr:`params`.
        buffers : Buffers, optional
            Those of this stack by default.

        Returns
        -------
        Stack
        """
        return Stack(self.architectures, params, buffers or self.buffers, self._cache)

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
        params = self.params.map(lambda t: t.to(device, dtype))
        buffers = Buffers(*(tuple(t.to(device, dtype) for t in field) for field in self.buffers))
        return Stack(self.architectures, params, buffers)

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
        params = self.params.map(lambda t: t.index_select(0, index))
        buffers = Buffers(*(tuple(t[index] for t in field) for field in self.buffers))
        return Stack(architectures, params, buffers)

    def padded(self, widths: Sequence[int]) -> Stack:
        """Return the stack with zeros appended up to the given state widths.

        Parameters
        ----------
        widths : sequence of int
            From the input to the output; none smaller than in :attr:`widths`.

        Returns
        -------
        Stack
            The same networks; this very stack if it has these widths.
        """
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
        """Return the stack without the padding beyond the given state widths.

        Parameters
        ----------
        widths : sequence of int
            From the input to the output; none smaller than a true width.

        Returns
        -------
        Stack
            The same networks; this very stack if it has these widths.
        """
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
        fields: dict[str, tuple[Tensor, ...]] = {}
        for name in (*Parameters._fields, *Buffers._fields):
            per_layer = zip(*(record.tensors[name] for record in records), strict=True)
            fields[name] = tuple(torch.stack(tensors) for tensors in per_layer)
        buffers = Buffers(fields.pop("mean"), fields.pop("var"))
        return Stack(architectures, Parameters(**fields), buffers)

    def records(self) -> Iterator[Record]:
        """Iterate over the networks.

        Yields
        ------
        Record
            Of each network, with its true widths and no padding. The tensors are views.
        """
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
