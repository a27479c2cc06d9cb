"""One network as an architecture and its tensors: :class:`Record`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skmeta.networks.architecture import Architecture


@dataclass(frozen=True, eq=False)
class Record:
    """One network as an architecture and its tensors; what adapters read and write.

    Attributes
    ----------
    architecture : Architecture
        The spec.
    tensors : dict of str to Tensor
        One for each of the architecture's slots, by name and in their order.
    """

    architecture: Architecture
    tensors: dict[str, Tensor]

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
        full = {s.name: torch.full(s.shape, s.neutral, dtype=dtype) for s in architecture.slots}
        return cls(architecture, full)
