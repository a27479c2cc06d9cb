"""Tensors of many networks: :class:`Parameters` and :class:`Buffers`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


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


class Parameters(NamedTuple):
    """Trainable tensors of a stack; each field holds one tensor per layer.

    Attributes
    ----------
    weight : tuple of Tensor
        ``(n, width_out, width_in)``, of a convolution ``(n, channels_out, channels_in, height,
        width)``.
    bias : tuple of Tensor
        ``(n, width_out)``, like the next two.
    scale, shift : tuple of Tensor
        Of the normalisation.
    """

    weight: tuple[Tensor, ...]
    bias: tuple[Tensor, ...]
    scale: tuple[Tensor, ...]
    shift: tuple[Tensor, ...]

    def tensors(self) -> list[Tensor]:
        """All tensors in a fixed order.

        Returns
        -------
        list of Tensor
            Those of ``weight`` from the first layer to the last, then of the other fields.
        """
        return [tensor for field in self for tensor in field]

    def replace_tensors(self, tensors: Sequence[Tensor]) -> Parameters:
        """Return parameters with the given tensors in the order of :meth:`tensors`.

        Parameters
        ----------
        tensors : sequence of Tensor
            As many as :meth:`tensors` returns.

        Returns
        -------
        changed : Parameters
            The new ones.
        """
        it = iter(tensors)
        return Parameters(*(tuple(next(it) for _ in field) for field in self))

    def map(self, function: Callable[..., Tensor], *others: Parameters) -> Parameters:
        """Apply a function tensor by tensor, over several parameters at once.

        Parameters
        ----------
        function : callable
            Takes one tensor of these parameters and one of each of the others, returns one.
        *others : Parameters
            Of the same layers.

        Returns
        -------
        mapped : Parameters
            What the function returned.
        """
        lists = [self.tensors(), *(other.tensors() for other in others)]
        return self.replace_tensors([function(*row) for row in zip(*lists, strict=True)])


class Buffers(NamedTuple):
    """Running statistics of batch normalisation.

    Attributes
    ----------
    mean, var : tuple of Tensor
        ``(n, width_out)`` per layer; 0 and 1 where there is no batch normalisation.
    """

    mean: tuple[Tensor, ...]
    var: tuple[Tensor, ...]
