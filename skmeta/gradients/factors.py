"""Gradients of all weights of a stack, kept as factors: :class:`Factors`.

The gradient of a linear map on a batch is ``delta.T @ h``, with ``h`` its inputs and ``delta`` the
gradient at its outputs. Keeping the two costs O(neurons) per row, and per-sample gradients,
their squares and Kronecker factors follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from skmeta.population import Layout, Stack, Weights
from skmeta.population.columns import Rows
from skmeta.population.mapping import at_once


class Outer(NamedTuple):
    """Factors of the gradient of a mix.

    Attributes
    ----------
    h : Tensor of shape (n, rows, width_in)
        States that enter.
    delta : Tensor of shape (n, rows, width)
        Gradient at the outputs.
    """

    h: Tensor
    delta: Tensor


class Affine(NamedTuple):
    """Factors of the gradient of the scale and shift of a normalisation.

    Attributes
    ----------
    stage : int
        Where.
    rows : slice
        Which networks.
    normal, delta : Tensor of shape (n_networks, rows, width)
        What the scale multiplies, and the gradient behind it.
    """

    stage: int
    rows: Rows
    normal: Tensor
    delta: Tensor


@dataclass
class Factors:
    """The gradient of each row's loss with respect to all weights, as products.

    Attributes
    ----------
    stack : Stack
        The networks.
    layout : Layout
        Of the weights.
    outer : dict of int to Outer
        By stage; positions of images are rows.
    affine : list of Affine
        Of normalisations.
    """

    stack: Stack
    layout: Layout
    outer: dict[int, Outer] = field(default_factory=dict)
    affine: list[Affine] = field(default_factory=list)

    def gradient(self) -> Weights:
        """Return the gradient summed over the rows.

        Returns
        -------
        Weights
            Of shape ``(n, size)``; zero at padding and absent parameters.
        """

        def outer(stage: int, h: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
            plan = self.stack.plan[stage]
            return plan.mix.gradient(h, delta, plan.size), delta.sum(1)

        return self._put(outer, lambda product, _: product.sum(1), ())

    def per_sample(self) -> Weights:
        """Return the gradient of each row's loss.

        Returns
        -------
        Weights
            Of shape ``(n, n_samples, size)``.
        """

        def outer(stage: int, h: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
            inputs, delta = self._by_sample(stage, h, delta)
            matrix = torch.einsum("nspo,nspi->nsoi", delta, inputs)
            return self.stack.plan[stage].mix.as_weight(matrix), delta.sum(2)

        def affine(product: Tensor, _: Rows) -> Tensor:
            return self._samples(product).sum(2)

        return self._put(outer, affine, (self.n_samples,))

    def fisher_diagonal(self, weights: Tensor | None = None) -> Weights:
        """Return the squared gradients of single rows, summed over the rows.

        Parameters
        ----------
        weights : Tensor of shape (n, n_samples), optional
            Of the rows in the sum; ones by default.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.
        """

        def weighted(squares: Tensor, start: int = 0, networks: Rows = slice(None)) -> Tensor:
            if weights is None:
                return squares
            part = weights[networks, start : start + squares.shape[1]]
            return squares * part.view(*part.shape, *[1] * (squares.ndim - 2))

        def outer(stage: int, h: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
            mix = self.stack.plan[stage].mix
            inputs, delta = self._by_sample(stage, h, delta)
            if delta.shape[2] == 1:
                d, x = weighted(delta[:, :, 0].square()), inputs[:, :, 0].square()
                return mix.as_weight(torch.bmm(d.transpose(1, 2), x)), d.sum(1)
            pieces = at_once(len(delta) * delta.shape[3] * inputs.shape[3], delta.device)
            total = inputs.new_zeros(len(h), delta.shape[3], inputs.shape[3])
            start = 0
            for d, x in zip(delta.split(pieces, 1), inputs.split(pieces, 1), strict=True):
                part = torch.einsum("nspo,nspi->nsoi", d, x).square()
                total = total + weighted(part, start).sum(1)
                start += d.shape[1]
            return mix.as_weight(total), weighted(delta.sum(2).square()).sum(1)

        def affine(product: Tensor, networks: Rows) -> Tensor:
            return weighted(self._samples(product).sum(2).square(), 0, networks).sum(1)

        return self._put(outer, affine, ())

    def kfac(self, weights: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """Return the Kronecker factors of the Fisher information of each stage.

        Parameters
        ----------
        weights : Tensor of shape (n_samples,), optional
            Of the rows in the moments of the inputs; ones by default. The gradients have theirs.

        Returns
        -------
        list of (Tensor, Tensor)
            Second moments, summed over rows and positions: of the inputs of the mix with a one
            for the bias, ``(n, fan_in + 1, fan_in + 1)``, and of the gradients at its outputs,
            ``(n, width, width)``.
        """
        pairs = []
        for stage, (h, delta) in sorted(self.outer.items()):
            plan = self.stack.plan[stage]
            x = plan.mix.inputs(h, plan.size)
            x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
            if weights is not None:
                x = x * weights.sqrt().repeat_interleave(plan.n_positions)[:, None]
            pairs.append((x.transpose(1, 2) @ x, delta.transpose(1, 2) @ delta))
        return pairs

    def thinned(self, every: int) -> Factors:
        """Return the factors of every k-th row.

        Parameters
        ----------
        every : int
            That k.

        Returns
        -------
        Factors
            Of rows 0, k, 2 k and so on.
        """
        return self.rows(slice(None, None, every))

    def rows(self, part: slice) -> Factors:
        """Return the factors of some rows.

        Parameters
        ----------
        part : slice
            Which.

        Returns
        -------
        Factors
        """
        few = Factors(self.stack, self.layout)
        for stage, pair in self.outer.items():
            few.outer[stage] = Outer(*(self._samples(x)[:, part].flatten(1, 2) for x in pair))
        for stage, rows, normal, delta in self.affine:
            some = (self._samples(x)[:, part].flatten(1, 2) for x in (normal, delta))
            few.affine.append(Affine(stage, rows, *some))
        return few

    @staticmethod
    def combined(parts: Sequence[Factors], coefficients: Sequence[Tensor]) -> Factors:
        """Return the factors of a linear combination, with a coefficient for each row.

        Parameters
        ----------
        parts : sequence of Factors
            Of gradients at the same weights and rows.
        coefficients : sequence of Tensor of shape (n, n_samples)
            One for each part.

        Returns
        -------
        Factors
            Which share the states.
        """
        first = parts[0]
        whole = Factors(first.stack, first.layout)

        def mixed(deltas: Sequence[Tensor], rows: Rows) -> Tensor:
            n = deltas[0].shape[1] // first.n_samples
            terms = [
                delta * c[rows].repeat_interleave(n, 1)[..., None]
                for delta, c in zip(deltas, coefficients, strict=True)
            ]
            return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)

        for stage, (h, _) in first.outer.items():
            deltas = [part.outer[stage].delta for part in parts]
            whole.outer[stage] = Outer(h, mixed(deltas, slice(None)))
        for same in zip(*(part.affine for part in parts), strict=True):
            stage, rows, normal, _ = same[0]
            delta = mixed([one.delta for one in same], rows)
            whole.affine.append(Affine(stage, rows, normal, delta))
        return whole

    @property
    def n_samples(self) -> int:
        """Number of rows of the batch."""
        last = self.stack.depth - 1
        return self.outer[last].delta.shape[1] // self.stack.plan[last].n_positions

    def _samples(self, values: Tensor) -> Tensor:
        """Return rows as samples and positions, ``(n, n_samples, n_positions, width)``."""
        return values.unflatten(1, (self.n_samples, -1))

    def _by_sample(self, stage: int, h: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs of the mix and deltas, ``(n, n_samples, n_positions, ...)``."""
        plan = self.stack.plan[stage]
        return self._samples(plan.mix.inputs(h, plan.size)), self._samples(delta)

    def _put(
        self,
        outer: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]],
        reduce: Callable[[Tensor, Rows], Tensor],
        batch: tuple[int, ...],
    ) -> Weights:
        """Put what functions make of the factors where the weights are."""
        tensors: dict[str, Tensor] = {}
        for stage, (h, delta) in self.outer.items():
            weight, bias = outer(stage, h, delta)
            tensors[f"{stage}.weight"] = weight
            if f"{stage}.bias" in self.layout.places:
                tensors[f"{stage}.bias"] = bias
        for stage, rows, normal, delta in self.affine:
            if f"{stage}.scale" not in self.layout.places:
                continue
            for name, product in (("scale", normal * delta), ("shift", delta)):
                value = reduce(product, rows)
                if f"{stage}.{name}" not in tensors:
                    shape = (len(self.stack), *value.shape[1:])
                    tensors[f"{stage}.{name}"] = value.new_zeros(shape)
                tensors[f"{stage}.{name}"][rows] = value
        present = self.stack.present().flat.view(len(self.stack), *[1] * len(batch), -1)
        return Weights.of(self.layout, tensors).map(lambda flat: flat * present)
