"""What follows from the architectures of a stack: padding masks, runs, skip connections."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from skmeta.networks.architecture import Architecture
from skmeta.networks.convolution import ConvolutionPlan
from skmeta.population.runs import Run, runs_of
from skmeta.population.tensors import Parameters


class Structure:
    """The part of a :class:`Stack` that looks at shapes and architectures, not at numbers."""

    architectures: tuple[Architecture, ...]
    params: Parameters
    _cache: dict

    def __len__(self) -> int:
        return len(self.architectures)

    @property
    def depth(self) -> int:
        """Number of linear layers and convolutions."""
        return len(self.params.weight)

    @property
    def geometry(self) -> tuple:
        """Images and convolutions that all networks share."""
        return self.architectures[0].geometry

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.params.weight[0].device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self.params.weight[0].dtype

    @property
    def widths(self) -> tuple[int, ...]:
        """Padded sizes of all states, from the input to the output."""
        weight = self.params.weight
        return (weight[0].shape[2], *(w.shape[1] for w in weight))

    def convolution(self, index: int) -> ConvolutionPlan | None:
        """How a layer moves over images.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.

        Returns
        -------
        ConvolutionPlan or None
            None if the layer is linear.
        """
        if "convolutions" not in self._cache:
            sizes = iter(self.architectures[0].image_sizes)
            steps = [layer.convolution for layer in self.architectures[0].layers]
            self._cache["convolutions"] = [
                None if step is None else ConvolutionPlan(step, next(sizes)) for step in steps
            ]
        return self._cache["convolutions"][index]

    @cached_property
    def _true_widths(self) -> Tensor:
        return torch.tensor([a.widths for a in self.architectures], device="cpu")

    def state_mask(self, index: int) -> Tensor | None:
        """Ones at the true neurons of a state, zeros at the padding.

        Parameters
        ----------
        index : int
            Number of the state; 0 is the input.

        Returns
        -------
        Tensor of shape (n, width) or None
            None if no network is padded there.
        """
        key = ("mask", index, self.device, self.dtype)
        if key not in self._cache:
            true, width = self._true_widths[:, index], self.widths[index]
            mask = None
            if bool((true < width).any()):
                places = torch.arange(width, device=self.device)
                mask = (places < true.to(self.device)[:, None]).to(self.dtype)
            self._cache[key] = mask
        return self._cache[key]

    def trainable(self) -> Parameters:
        """Ones where an entry is a true parameter, zeros at padding and absent parameters.

        Returns
        -------
        masks : Parameters
            Its tensors broadcast against :attr:`params`.
        """
        key = ("trainable", self.device, self.dtype)
        if key in self._cache:
            return self._cache[key]
        rows: list[list[Tensor]] = [[], [], [], []]
        for index in range(self.depth):
            layers = [a.layers[index] for a in self.architectures]
            source, target = (self._ones_mask(i) for i in (index, index + 1))
            bias, affine = (
                torch.tensor(flags, dtype=self.dtype, device=self.device)[:, None]
                for flags in (
                    [x.bias for x in layers],
                    [x.affine and x.norm != "none" for x in layers],
                )
            )
            weight = target[:, :, None] * source[:, None]
            shape = self.params.weight[index].shape
            weight = weight.reshape(*weight.shape, *[1] * (len(shape) - 3)).expand(shape)
            for row, mask in zip(rows, (weight, target * bias, target * affine), strict=False):
                row.append(mask)
        rows[3] = rows[2]
        self._cache[key] = Parameters(*(tuple(row) for row in rows))
        return self._cache[key]

    def _ones_mask(self, index: int) -> Tensor:
        mask = self.state_mask(index)
        shape = (len(self), self.widths[index])
        return torch.ones(shape, dtype=self.dtype, device=self.device) if mask is None else mask

    def layer_runs(self, index: int) -> tuple[Run, ...]:
        """Runs of networks with the same normalisation and activation in a layer.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.

        Returns
        -------
        tuple of Run
            Each ``(start, stop, (norm, norm_after, activation, eps))``.
        """
        key = ("runs", index)
        if key not in self._cache:
            layers = [a.layers[index] for a in self.architectures]
            self._cache[key] = runs_of(
                [(x.norm, x.norm_after, x.activation, x.eps) for x in layers]
            )
        return self._cache[key]

    def skips(self, index: int, *, before: bool) -> list[tuple[int, Tensor | None]]:
        """Skip connections into a layer.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.
        before : bool
            Those that are added before the activation, or those added behind it.

        Returns
        -------
        list of (int, Tensor or None)
            The state a connection starts from and the rows of the networks that have it; None
            where all networks of the stack do.
        """
        key = ("skips", index, before, self.device)
        if key not in self._cache:
            pairs: list[tuple[int, Tensor | None]] = []
            for source in range(index + 1):
                rows = [
                    i
                    for i, a in enumerate(self.architectures)
                    if source in a.layers[index].skips and a.layers[index].skip_before == before
                ]
                if rows:
                    full = len(rows) == len(self)
                    pairs.append((source, None if full else torch.tensor(rows, device=self.device)))
            self._cache[key] = pairs
        return self._cache[key]

    @property
    def skip_sources(self) -> frozenset[int]:
        """States that skip connections start from."""
        if "sources" not in self._cache:
            layers = (layer for a in self.architectures for layer in a.layers)
            self._cache["sources"] = frozenset(s for layer in layers for s in layer.skips)
        return self._cache["sources"]
