"""What skorch trains to edit: a metanetwork together with the networks it learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from skmeta.metanets import WeightGraph
from skmeta.population import forward
from skmeta.requirements import Cells, Objective
from skmeta.training import StratifiedRows


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
        """Remember where the network of each position stands."""
        self.where = torch.empty(sum(map(len, groups)), 2, dtype=torch.long)
        for number, positions in enumerate(groups):
            index = torch.as_tensor(positions)
            self.where[index, 0] = number
            self.where[index, 1] = torch.arange(len(index))

    def forget(self) -> None:
        """Drop the training networks and rows."""
        self.data = None

    def by_depth(self) -> list[Tensor]:
        """Positions of the networks of each depth."""
        return [(self.where[:, 0] == n).nonzero()[:, 0] for n in self.where[:, 0].unique()]

    def locate(self, positions: Tensor) -> tuple[int, Tensor]:
        """Return the group of networks of one depth, and where they stand in it."""
        number, members = self.where[positions.cpu()].T
        return int(number[0]), members


class EditingLoss(OnPositions):
    """Maps positions of networks to their losses after an edit; the criterion averages them.

    Parameters
    ----------
    metanet : Module
        Called with a weight graph and lam, returns an edit.
    graphs : sequence of (positions, WeightGraph)
        All training networks, by depth.
    objective : Objective
        Divergence plus lam times violation (eq. 12 of the paper on learned editing).
    X : Tensor of shape (n_samples, n_inputs)
        Rows to compare original and edited networks on.
    cells : Cells
        Cells of these rows.
    sampler : StratifiedRows
        Draws the rows of each step.
    lam_range : (float, float)
        Each network of a batch gets a lam, log-uniform in this range.
    generator : torch.Generator
        Draws rows and lam.
    """

    def __init__(
        self,
        metanet: nn.Module,
        graphs: Sequence[tuple[np.ndarray, WeightGraph]],
        objective: Objective,
        X: Tensor,
        cells: Cells,
        sampler: StratifiedRows,
        lam_range: tuple[float, float],
        generator: torch.Generator,
    ) -> None:
        super().__init__(metanet, [positions for positions, _ in graphs])
        self.objective, self.lam_range, self.generator = objective, lam_range, generator
        self.data = (graphs, X, cells, sampler)

    def forward(self, positions: Tensor) -> Tensor:
        """Return one loss per network, ``(n,)``; the networks must be of one depth."""
        assert self.data is not None
        graphs, X, cells, sampler = self.data
        rows = next(iter(sampler.epoch([self.generator])))[0]
        rows = rows.to(X.device)
        number, members = self.locate(positions)
        graph = graphs[number][1].select(members)
        return self._losses(graph, X[rows], cells.take(rows))

    def _losses(self, graph: WeightGraph, X: Tensor, cells: Cells) -> Tensor:
        low, high = np.log(self.lam_range)
        uniform = torch.rand(len(graph), generator=self.generator).to(X)
        lam = (low + (high - low) * uniform).exp()
        edited = graph.stack.params.map(torch.add, self.metanet(graph, lam))
        with torch.no_grad():
            original = forward(graph.original, X)
        loss = self.objective.loss(original, forward(graph.stack, X, edited), cells, lam)
        # Without the division the networks with the largest losses would dominate.
        if graph.divergence is None:
            return loss / (lam + 0.03)
        violation = 0.0 if self.objective.requirement is None else 0.1 * lam
        return loss / (graph.divergence + violation + 1e-4)


class MeanCriterion(nn.Module):
    """The mean of what the module returned."""

    def forward(self, losses: Tensor, target: Tensor) -> Tensor:
        """Average the losses; skorch's target is unused."""
        return losses.mean()
