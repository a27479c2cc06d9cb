"""Curvature in the eigenbasis of its Kronecker factors: :class:`KroneckerEigenbasis`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skmeta.gradients.natural import DAMPING


@dataclass(frozen=True, eq=False)
class KroneckerEigenbasis:
    """The Fisher information of a matrix of weights, diagonal in the basis of K-FAC [1]_.

    Its Kronecker factors are the second moments of what enters and of the gradients behind it.
    In the basis of their eigenvectors the second moments of gradients are measured, not taken
    for products: of all matrices that are diagonal in this basis it is the closest one.

    Attributes
    ----------
    inputs : Tensor of shape (n, n_inner, n_inputs)
        Orthonormal rows; no more than there are samples.
    outputs : Tensor of shape (n, n_outer, n_outputs)
        Likewise.
    moments : Tensor of shape (n, n_outer, n_inner)
        Second moments along their products; along all else they are zero.

    References
    ----------
    .. [1] George, Laurent, Bouthillier, Ballas and Vincent (2018), "Fast approximate natural
       gradient descent in a Kronecker factored eigenbasis".
    """

    inputs: Tensor
    outputs: Tensor
    moments: Tensor

    @classmethod
    def of(cls, h: Tensor, deltas: Tensor, weights: Tensor) -> KroneckerEigenbasis:
        """Measure it on some rows.

        Parameters
        ----------
        h : Tensor of shape (n, n_samples, n_inputs)
            What enters.
        deltas : Tensor of shape (n, n_vectors, n_samples, n_outputs)
            Gradients of each vector at the outputs.
        weights : Tensor of shape (n, n_samples)
            Of the rows, not negative.

        Returns
        -------
        KroneckerEigenbasis
        """
        root = weights.sqrt()[..., None]
        inner = torch.linalg.svd(h * root, full_matrices=False).Vh
        every = (deltas * root[:, None]).flatten(1, 2)
        outer = torch.linalg.svd(every, full_matrices=False).Vh
        along = (deltas @ outer[:, None].mT).square().sum(1) * weights[..., None]
        return cls(inner, outer, along.mT @ (h @ inner.mT).square())

    def diagonal(self) -> Tensor:
        """Return the second moments along single weights, ``(n, n_outputs, n_inputs)``."""
        return self._back(self.moments)

    def conditional(self, n_weights: Tensor) -> Tensor:
        """Return what is left of the curvature along a weight if all others follow.

        That is the inverse of the diagonal of the inverse, which optimal brain surgery asks for.
        A matrix from few rows has none, so that a share of the mean second moment is added to all
        of them, and taken off again at the end as far as nothing falls below zero.

        Parameters
        ----------
        n_weights : Tensor of shape (n,)
            How many weights there truly are.

        Returns
        -------
        Tensor of shape (n, n_outputs, n_inputs)
            Between zero and :meth:`diagonal`.
        """
        mean = self.moments.sum((1, 2)) / n_weights
        added = DAMPING * mean.clamp_min(torch.finfo(mean.dtype).tiny ** 0.5)[:, None, None]
        # Of a weight, the share that lies in the basis; the rest meets the damping alone.
        inverse = 1 / added - self._back(1 / added - 1 / (self.moments + added))
        # Where moments differ by orders of magnitude, rounding would take it out of its bounds.
        return (1 / inverse - added).clamp_min(0).minimum(self.diagonal())

    def _back(self, moments: Tensor) -> Tensor:
        return self.outputs.square().mT @ moments @ self.inputs.square()
