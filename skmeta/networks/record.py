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
