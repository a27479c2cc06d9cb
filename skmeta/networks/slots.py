"""The tensors of a network and the neurons along their axes: :class:`Slot`."""

from __future__ import annotations

from typing import NamedTuple


class Slot(NamedTuple):
    """One tensor of a network.

    Whoever asks which tensors a network has, of which shape, and what happens to them when
    neurons are padded, permuted, scaled or cut away, reads it off slots.

    Attributes
    ----------
    name : str
        Number of the stage from 0, a dot, and the field: ``0.weight``.
    axes : tuple of int or None
        For each axis the state whose neurons it runs over (0 is the input, ``k`` the output of
        stage ``k - 1``); None for an axis of other things, such as filter positions.
    shape : tuple of int
        Of the tensor.
    trained : bool, default=True
        Whether gradients reach it; running statistics are not trained.
    neutral : float, default=0.0
        What stands in a stack at padding, and where a network lacks the tensor.
    """

    name: str
    axes: tuple[int | None, ...]
    shape: tuple[int, ...]
    trained: bool = True
    neutral: float = 0.0

    @property
    def stage(self) -> int:
        """Number of the stage, from 0."""
        return int(self.name.split(".")[0])

    @property
    def field(self) -> str:
        """The name within its stage."""
        return self.name.split(".", 1)[1]
