"""Numbers of many networks in one buffer: :class:`Weights` and their :class:`Layout`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from skmeta.networks.slots import Slot


def are_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Return which networks have finite numbers only.

    Parameters
    ----------
    tensors : iterable of Tensor
        One or more, of shape ``(n, ...)``.

    Returns
    -------
    Tensor of bool of shape (n,)
        True where all numbers of a network are finite.
    """
    return torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in tensors]).all(0)


@dataclass(frozen=True)
class Layout:
    """Where the tensors of networks stand in a buffer.

    Parameters
    ----------
    slots : tuple of Slot
        In the order of the buffer.
    """

    slots: tuple[Slot, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """Number of each slot by its name."""
        return {slot.name: i for i, slot in enumerate(self.slots)}

    @cached_property
    def counts(self) -> list[int]:
        """How many numbers each slot has."""
        return [prod(slot.shape) for slot in self.slots]

    @cached_property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(self.counts)


class Weights:
    """The tensors of many networks as one buffer with named views.

    Parameters, running statistics, gradients, directions, edits and masks are of this type: to
    add, to compare or to train them is an operation on the buffer.

    Parameters
    ----------
    layout : Layout
        Names and shapes.
    flat : Tensor of shape (..., size)
        The numbers; usually ``(n, size)``, with the rows of a batch ``(n, rows, size)``.

    Examples
    --------
    >>> from skmeta.population import Population
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((3, 8, 2)), 5, random_state=0)
    >>> ((_, stack),) = population.blocks
    >>> weights = stack.weights
    >>> weights.flat.shape, weights["0.weight"].shape
    (torch.Size([5, 50]), torch.Size([5, 8, 3]))
    >>> (weights + 0.5 * weights).dot(weights).shape
    torch.Size([5])
    """

    __slots__ = ("_views", "flat", "layout")

    def __init__(self, layout: Layout, flat: Tensor) -> None:
        self.layout, self.flat = layout, flat
        self._views: list[Tensor] | None = None

    @classmethod
    def full(cls, layout: Layout, n: int, like: Tensor) -> Weights:
        """Return the neutral numbers of networks without weights.

        Parameters
        ----------
        layout : Layout
            Names and shapes.
        n : int
            Number of networks.
        like : Tensor
            Gives device and type.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.
        """
        neutral = [
            torch.full((count,), slot.neutral, dtype=like.dtype, device=like.device)
            for slot, count in zip(layout.slots, layout.counts, strict=True)
        ]
        row = torch.cat(neutral) if neutral else like.new_zeros(0)
        return cls(layout, row.repeat(n, 1))

    @classmethod
    def of(cls, layout: Layout, tensors: Mapping[str, Tensor]) -> Weights:
        """Put tensors together; slots that are missing are zero.

        Parameters
        ----------
        layout : Layout
            Names and shapes.
        tensors : mapping of str to Tensor
            ``(..., *shape)`` by name.

        Returns
        -------
        Weights
            Differentiable in the tensors.
        """
        some = next(iter(tensors.values()))
        ndim = some.ndim - len(layout.slots[layout.places[next(iter(tensors))]].shape)
        batch, parts = some.shape[:ndim], []
        for slot, count in zip(layout.slots, layout.counts, strict=True):
            part = tensors.get(slot.name)
            parts.append(some.new_zeros(*batch, count) if part is None else part.flatten(ndim))
        return cls(layout, torch.cat(parts, -1))

    def __len__(self) -> int:
        return len(self.flat)

    def __reduce__(self) -> tuple[Any, ...]:
        return Weights, (self.layout, self.flat)  # copied views would be numbers of their own

    def __contains__(self, name: str) -> bool:
        return name in self.layout.places

    def __getitem__(self, name: str) -> Tensor:
        return self.views[self.layout.places[name]]

    def get(self, name: str) -> Tensor | None:
        """Return the tensor of a slot.

        Parameters
        ----------
        name : str
            As ``weights[name]``.

        Returns
        -------
        Tensor or None
            None if there is no such slot.
        """
        return self[name] if name in self.layout.places else None

    @property
    def views(self) -> list[Tensor]:
        """The tensors in the order of the slots; they share the buffer's memory."""
        if self._views is None:
            # One split has one backward; a slice per slot would cost one of full size each.
            parts = self.flat.split(self.layout.counts, -1)
            self._views = [
                part.unflatten(-1, slot.shape) if len(slot.shape) != 1 else part
                for part, slot in zip(parts, self.layout.slots, strict=True)
            ]
        return self._views

    def items(self) -> Iterable[tuple[str, Tensor]]:
        """Return names and tensors.

        Returns
        -------
        iterable of (str, Tensor)
            In the order of the slots.
        """
        return zip(self.layout.places, self.views, strict=True)

    def of_field(self, field: str) -> list[Tensor]:
        """Return the tensors of a field, stage by stage.

        Parameters
        ----------
        field : str
            What they are, such as "weight" or "bias".

        Returns
        -------
        list of Tensor
            Of the stages that have it.
        """
        slots = enumerate(self.layout.slots)
        return [self.views[i] for i, slot in slots if slot.field == field]

    def with_flat(self, flat: Tensor) -> Weights:
        """Return other numbers in the same places.

        Parameters
        ----------
        flat : Tensor of shape (..., size)
            The numbers.

        Returns
        -------
        Weights
            Of the same layout.
        """
        return Weights(self.layout, flat)

    def replaced(self, **fields: Sequence[Tensor]) -> Weights:
        """Return weights with other tensors of some fields.

        Parameters
        ----------
        **fields : sequence of Tensor
            By field; of the stages that have it, as :meth:`of_field` returns them.

        Returns
        -------
        Weights
            Of the same layout, in memory of its own.
        """
        tensors = dict(self.items())
        for field, values in fields.items():
            names = [slot.name for slot in self.layout.slots if slot.field == field]
            tensors.update(zip(names, values, strict=True))
        return Weights.of(self.layout, tensors)

    def map(self, function: Callable[[Tensor], Tensor]) -> Weights:
        """Apply a function to the buffer.

        Parameters
        ----------
        function : callable
            Tensor to a tensor of its shape.

        Returns
        -------
        Weights
            Of the same layout.
        """
        return Weights(self.layout, function(self.flat))

    def moved(self, layout: Layout, *, absent: bool = True) -> Weights:
        """Return the numbers in another layout, cut or padded.

        Parameters
        ----------
        layout : Layout
            Of slots with the same meaning, of any widths.
        absent : bool, default=True
            Fill what is not there with neutral numbers; with zeros otherwise, as directions want.

        Returns
        -------
        Weights
            Itself if nothing changes.
        """
        if layout == self.layout:
            return self
        moved = Weights.full(layout, len(self), self.flat)
        if not absent:
            moved.flat.zero_()
        for slot in layout.slots:
            old = self.get(slot.name)
            if old is not None:
                shared = [slice(min(a, b)) for a, b in zip(old.shape[1:], slot.shape, strict=True)]
                where = (slice(None), *shared)
                moved[slot.name][where] = old[where]
        return moved

    def select(self, rows: Tensor) -> Weights:
        """Return copies of some networks.

        Parameters
        ----------
        rows : Tensor of int or bool
            Which.

        Returns
        -------
        Weights
            Of the same layout.
        """
        return Weights(self.layout, self.flat[rows])

    def to(self, device: torch.device | str | None, dtype: torch.dtype | None) -> Weights:
        """Return the weights on another device or in another floating type.

        Parameters
        ----------
        device : torch.device, str or None
            None leaves them where they are.
        dtype : torch.dtype or None
            None leaves them as they are.

        Returns
        -------
        Weights
            With the same memory if nothing changes.
        """
        return Weights(self.layout, self.flat.to(device, dtype))

    def __add__(self, other: Weights) -> Weights:
        return Weights(self.layout, self.flat + other.flat)

    def __sub__(self, other: Weights) -> Weights:
        return Weights(self.layout, self.flat - other.flat)

    def __mul__(self, other: Weights | Tensor | float) -> Weights:
        if isinstance(other, Weights):
            return Weights(self.layout, self.flat * other.flat)
        if isinstance(other, Tensor) and other.ndim:
            other = other.unsqueeze(-1)
        return Weights(self.layout, self.flat * other)

    __rmul__ = __mul__

    def dot(self, other: Weights) -> Tensor:
        """Return inner products.

        Parameters
        ----------
        other : Weights
            Of the same layout.

        Returns
        -------
        Tensor of shape (n,)
            One number per network.
        """
        return (self.flat * other.flat).sum(-1)

    @staticmethod
    def cat(parts: Sequence[Weights]) -> Weights:
        """Join the weights of consecutive networks.

        Parameters
        ----------
        parts : sequence of Weights
            Of one layout; one or more.

        Returns
        -------
        Weights
            All networks, in order.
        """
        return Weights(parts[0].layout, torch.cat([part.flat for part in parts]))
