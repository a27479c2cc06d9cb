"""Directions in the space of a stack's weights: :class:`Direction`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta.population.tensors import Parameters


class Direction(NamedTuple):
    """A direction in the space of weights ``(n, out, in)`` and biases ``(n, out)``, by layer.

    Scales and shifts of normalisations are not part of it.
    """

    weight: tuple[Tensor, ...]
    bias: tuple[Tensor, ...]

    def map(self, function: Callable[[Tensor], Tensor]) -> Direction:
        """Apply a function tensor by tensor."""
        return Direction(tuple(map(function, self.weight)), tuple(map(function, self.bias)))

    def dot(self, other: Direction) -> Tensor:
        """Inner product of each network's entries, ``(n,)``."""
        pairs = zip((*self.weight, *self.bias), (*other.weight, *other.bias), strict=True)
        return torch.stack([(a * b).flatten(1).sum(1) for a, b in pairs]).sum(0)

    def added_to(self, params: Parameters, factor: float) -> Parameters:
        """Return parameters moved by a multiple of the direction."""
        weight, bias = (
            tuple(torch.add(p, d, alpha=factor) for p, d in zip(old, move, strict=True))
            for old, move in ((params.weight, self.weight), (params.bias, self.bias))
        )
        return params._replace(weight=weight, bias=bias)

    @staticmethod
    def concatenate(parts: Sequence[Direction]) -> Direction:
        """Join directions of consecutive networks."""
        weight, bias = (
            tuple(torch.cat(tensors) for tensors in zip(*fields, strict=True))
            for fields in zip(*parts, strict=True)
        )
        return Direction(weight, bias)
