"""Tensors of many networks, :class:`Parameters` and :class:`Buffers`; of one, :class:`Record`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta.population.architecture import Architecture


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


@dataclass(frozen=True, eq=False)
class Record:
    """One network as an architecture and its tensors; what adapters read and write.

    Attributes
    ----------
    architecture : Architecture
        The spec.
    tensors : dict of str to list of Tensor
        ``weight``, ``bias``, ``scale``, ``shift``, ``mean`` and ``var`` with one tensor per
        layer. Absent parameters hold their neutral value (bias 0, scale 1, shift 0, mean 0,
        var 1).
    """

    architecture: Architecture
    tensors: dict[str, list[Tensor]]

    @classmethod
    def blank(cls, architecture: Architecture, dtype: torch.dtype = torch.float32) -> Record:
        """Return a record with zero weights and neutral normalisation.

        Parameters
        ----------
        architecture : Architecture
            The spec.
        dtype : torch.dtype, default=torch.float32
            Floating type of the tensors.

        Returns
        -------
        Record
            With tensors of its own.
        """
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
