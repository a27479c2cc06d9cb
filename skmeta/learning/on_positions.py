"""What skorch trains: a metanetwork together with the networks it learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class OnPositions(nn.Module):
    """A metanetwork and the networks that it is trained on, called with their positions.

    skorch sees positions only, so that a plain ``NeuralNet`` with any of its callbacks
    trains a metanetwork. The networks are in the plain attribute ``data``: they belong to
    ``fit`` and are dropped by :meth:`forget`.

    Parameters
    ----------
    metanet : Module
        What is trained.
    groups : sequence of ndarray of int
        Positions of the networks of each depth.
    """

    def __init__(self, metanet: nn.Module, groups: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.metanet = metanet
        self.data: tuple | None = None
        self.place(groups)

    def place(self, groups: Sequence[np.ndarray]) -> None:
        """Remember where the network of each position stands.

        Parameters
        ----------
        groups : sequence of ndarray of int
            Positions of the networks of each depth.
        """
        self.where = torch.empty(sum(map(len, groups)), 2, dtype=torch.long)
        for number, positions in enumerate(groups):
            index = torch.as_tensor(positions)
            self.where[index, 0] = number
            self.where[index, 1] = torch.arange(len(index))

    def forget(self) -> None:
        """Drop the training networks and rows."""
        self.data = None

    def by_depth(self) -> list[Tensor]:
        """Return the positions of the networks of each depth.

        Returns
        -------
        list of Tensor of int
            Ascending.
        """
        return [(self.where[:, 0] == n).nonzero()[:, 0] for n in self.where[:, 0].unique()]

    def locate(self, positions: Tensor) -> tuple[int, Tensor]:
        """Return the group of networks of one depth, and where they stand in it.

        Parameters
        ----------
        positions : Tensor of int of shape (n,)
            All of one depth.

        Returns
        -------
        tuple of (int, Tensor of int)
            The number of the group, and ``(n,)`` numbers within it.
        """
        number, members = self.where[positions.cpu()].T
        return int(number[0]), members


class MeanCriterion(nn.Module):
    """The mean of what the module returned."""

    def forward(self, losses: Tensor, target: Tensor) -> Tensor:
        """Average the losses; skorch's target is unused."""
        return losses.mean()
