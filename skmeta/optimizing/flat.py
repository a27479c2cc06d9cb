"""The parameters of a live module as one row of numbers: :class:`FlatParameters`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn

from skmeta.training import Matrix


class FlatParameters:
    """Parameters side by side, in float32, or in float64 if one is.

    Parameters
    ----------
    named : mapping of str to Parameter
        By name; on one device.
    """

    def __init__(self, named: Mapping[str, nn.Parameter]) -> None:
        self.names = tuple(named)
        self.parameters: list[Tensor] = list(named.values())
        sizes = [p.numel() for p in self.parameters]
        self.starts = dict(zip(self.names, accumulate(sizes, initial=0), strict=False))
        self._sizes = sizes
        double = any(p.dtype == torch.float64 for p in self.parameters)
        self.dtype = torch.float64 if double else torch.float32
        self.device = self.parameters[0].device
        self._written: Tensor | None = None

    def read(self) -> Tensor:
        """Return the parameters, ``(1, n_parameters)``, in memory of its own."""
        parts = [p.detach().flatten().to(self.dtype) for p in self.parameters]
        return torch.cat(parts)[None]

    def write(self, flat: Tensor) -> None:
        """Set the parameters.

        Parameters
        ----------
        flat : Tensor of shape (1, n_parameters)
            Their numbers.
        """
        parts = flat[0].split(self._sizes)
        shaped = [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, shaped)
        self._written = self.read()

    def changed(self) -> tuple[Tensor, Tensor] | None:
        """Return the parameters, and which of them somebody else has set since; None if nobody."""
        now = self.read()
        if self._written is None or torch.equal(now, self._written):
            return None
        return now, now != self._written

    def gradient(self, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return gradients, and which parameters have none.

        Parameters
        ----------
        like : Tensor of shape (1, n_parameters)
            Where gradients belong to.

        Returns
        -------
        gradient : Tensor of shape (1, n_parameters)
            Zeros where there is none.
        missing : Tensor of bool of shape (1, n_parameters) or None
            Where there is none; None if there are all.
        """
        gradient = torch.zeros_like(like)
        missing = None
        pieces = zip(self.names, self.parameters, gradient[0].split(self._sizes), strict=True)
        for name, parameter, piece in pieces:
            if parameter.grad is None:
                if missing is None:
                    missing = torch.zeros_like(gradient, dtype=torch.bool)
                start = self.starts[name]
                missing[:, start : start + parameter.numel()] = True
            elif parameter.grad.layout != torch.strided:
                raise ValueError(
                    f"LearnedOptimizer needs dense gradients. That of {name!r} is sparse: make its "
                    "layer with sparse=False, or give it an optimizer of its own."
                )
            else:
                piece.copy_(parameter.grad.flatten())
        return gradient, missing

    def matrix(self, number: int, weight: str, bias: str, *, hidden: bool) -> Matrix:
        """Return where a linear layer is.

        Parameters
        ----------
        number : int
            Of the layer.
        weight, bias : str
            Names of its parameters; one that is not there is left out.
        hidden : bool
            Whether it is not the last one.

        Returns
        -------
        Matrix
        """
        width_out, width_in = self.parameters[self.names.index(weight)].shape
        start, shape = self.starts[weight], (width_out, width_in)
        return Matrix(number, start, shape, self.starts.get(bias), hidden)
