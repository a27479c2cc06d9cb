"""What skorch trains: a metanetwork together with the networks it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class OnPositions(nn.Module):
    """A metanetwork and the networks that it is trained on, called with their positions.

    skorch sees positions only, so that a plain ``NeuralNet`` with any of its callbacks
    trains a metanetwork. The networks, and what else a subclass keeps in ``data``, belong to
    ``fit`` and are dropped by :meth:`forget`.

    Parameters
    ----------
    metanet : Module
        What is trained.
    groups : sequence of (ndarray of int, object)
        Positions of the networks of each depth, and what is learned from them: something with
        ``select(rows)``.
    """

    def __init__(self, metanet: nn.Module, groups: Sequence[tuple[np.ndarray, Any]]) -> None:
        super().__init__()
        self.metanet = metanet
        self.data: tuple | None = None
        self.place(groups)

    def place(self, groups: Sequence[tuple[np.ndarray, Any]]) -> None:
        """Take networks, in place of others.

        Parameters
        ----------
        groups : sequence of (ndarray of int, object)
            As of the class.
        """
        self.inputs = [inputs for _, inputs in groups]
        self.where = torch.empty(sum(len(positions) for positions, _ in groups), 2).long()
        for number, (positions, _) in enumerate(groups):
            index = torch.as_tensor(positions)
            self.where[index, 0] = number
            self.where[index, 1] = torch.arange(len(index))

    def forget(self) -> None:
        """Drop the networks and the data."""
        self.inputs, self.data = [], None

    def by_depth(self) -> list[Tensor]:
        """Return the positions of the networks of each depth.

        Returns
        -------
        list of Tensor of int
            Ascending.
        """
        return [(self.where[:, 0] == n).nonzero()[:, 0] for n in self.where[:, 0].unique()]

    def select(self, positions: Tensor) -> Any:
        """Return what is learned from some networks of one depth.

        Parameters
        ----------
        positions : Tensor of int of shape (n,)
            Where they stand.

        Returns
        -------
        object
            As it was given.
        """
        number, rows = self.where[positions.cpu()].T
        return self.inputs[int(number[0])].select(rows)


class MeanCriterion(nn.Module):
    """The mean of what the module returned."""

    def forward(self, losses: Tensor, target: Tensor) -> Tensor:
        """Average the losses; skorch's target is unused."""
        return losses.mean()
