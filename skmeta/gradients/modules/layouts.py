"""Where the samples are in a tensor of a live module: :class:`SampleLayout`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SampleLayout:
    """How samples and positions share the leading axes of a tensor.

    Attributes
    ----------
    n_samples : int
        Size of the batch.
    kind : {"axis", "major", "minor"}
        Samples have an axis of their own, or the first axis is samples by positions, or positions
        by samples.
    axis : int
        Which axis, of the first kind.
    """

    n_samples: int
    kind: str = "axis"
    axis: int = 0

    def arranged(self, tensor: Tensor) -> Tensor:
        """Return a view with samples first; of rows that samples share, positions come next.

        Parameters
        ----------
        tensor : Tensor
            Of the shape that the layout was made for, feature axes aside.

        Returns
        -------
        Tensor of shape (n_samples, ...)
        """
        if self.kind == "axis":
            return tensor.movedim(self.axis, 0)
        if self.kind == "major":
            return tensor.unflatten(0, (self.n_samples, -1))
        return tensor.unflatten(0, (-1, self.n_samples)).transpose(0, 1)


def possible_layouts(
    shape: tuple[int, ...], n_samples: int, n_leading: int
) -> Iterator[SampleLayout]:
    """Yield how samples could lie in a tensor, the most usual first.

    Parameters
    ----------
    shape : tuple of int
        Of the tensor.
    n_samples : int
        Size of the batch.
    n_leading : int
        How many of the first axes are no features.
    """
    for axis in range(n_leading):
        if shape[axis] == n_samples:
            yield SampleLayout(n_samples, "axis", axis)
    if n_leading and shape[0] > n_samples and shape[0] % n_samples == 0:
        yield SampleLayout(n_samples, "major")
        yield SampleLayout(n_samples, "minor")


def belongs_to(tensor: Tensor, layout: SampleLayout, samples: Tensor) -> bool:
    """Tell whether nothing but some samples, ones in a mask, has numbers other than zero."""
    return not layout.arranged(tensor)[~samples.to(tensor.device)].any()


def groups_of(n_samples: int) -> Iterator[Tensor]:
    """Yield masks of samples such that any two are told apart both ways.

    These are the samples whose number has a bit, and those whose number has it not: what one sample
    gives to another shows in a group with the one and without the other.

    Parameters
    ----------
    n_samples : int
        Size of the batch.
    """
    numbers = torch.arange(n_samples)
    if n_samples == 1:
        yield numbers == 0
    for bit in range((n_samples - 1).bit_length()):
        has = (numbers >> bit) % 2 == 1
        yield has
        yield ~has
