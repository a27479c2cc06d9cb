"""Training a metanetwork that edits: :func:`train_metanet`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta._random import local_draws
from skmeta.editing.masked_graphs import MaskedGraphBuilder, with_mask
from skmeta.editing.reference import rows_per_cell
from skmeta.learning.nets import train
from skmeta.learning.on_positions import OnPositions
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import EDITING_TRUNKS, Metanet, Trunk, WeightGraph
from skmeta.population import Population, forward
from skmeta.requirements import Cells, Objective
from skmeta.training import StratifiedRows

_TRAINING_ROWS_PER_CELL = 192


def train_metanet(
    estimator: Any, population: Population, seeds: Sequence[int]
) -> tuple[NeuralNet, nn.Module]:
    """Train the metanetwork of an editor whose builders are ready.

    Parameters
    ----------
    estimator : ComplianceEditor
        With ``builder_``, ``plan_``, ``task_``, ``lam_range_`` and ``device_``.
    population : Population
        Training networks as float32 on the device.
    seeds : sequence of int
        Three seeds: of the metanetwork, of rows and lam (and budgets), of the batches.

    Returns
    -------
    tuple of (NeuralNet, Module)
        The skorch net and its metanetwork.
    """
    task, builder = estimator.task_, estimator.builder_
    masked = with_mask(builder, estimator.plan_)
    generator = torch.Generator().manual_seed(seeds[1])
    graphs = [
        (
            positions,
            masked.build_random(stack, generator)
            if isinstance(masked, MaskedGraphBuilder)
            else masked.build(stack),
        )
        for positions, stack in population.depth_blocks()
    ]
    metanet = build_metanet(
        estimator.metanet,
        graphs[0][1],
        seed=seeds[0],
        n_inputs=task.n_features,
        n_outputs=task.n_classes,
        hidden_channels=estimator.hidden_channels,
        n_layers=estimator.n_layers,
    )
    cells, requirement = task.cells(), builder.objective.requirement
    n_rows = _TRAINING_ROWS_PER_CELL * len(np.unique(cells))
    X, _, _ = task.tensors(estimator.device_)
    module = EditingLoss(
        metanet.to(estimator.device_),
        graphs,
        builder.objective,
        X,
        Cells.of(task, estimator.device_),
        StratifiedRows(cells, rows_per_cell(task, requirement, n_rows), 1),
        estimator.lam_range_,
        generator,
    )
    # A metanetwork of the user's may have dropout; those of skmeta draw nothing in training.
    foreign = isinstance(estimator.metanet, type)
    with local_draws(seeds[0]) if foreign else nullcontext():
        net = train(TrainingSettings.of(estimator), module, seed=seeds[2])
    return net, metanet


def build_metanet(
    metanet: Any,
    graph: WeightGraph,
    *,
    seed: int,
    n_inputs: int,
    n_outputs: int,
    hidden_channels: int,
    n_layers: int,
) -> nn.Module:
    """Build a metanetwork for graphs like the given one."""
    kind: Any
    if isinstance(metanet, type) and issubclass(metanet, Trunk):
        kind = metanet
    else:
        if isinstance(metanet, type):
            raise TypeError(
                "The 'metanet' parameter of ComplianceEditor must be a name or a subclass of "
                f"skmeta.metanets.EditingMetanet. Got {metanet!r} instead."
            )
        check_option("metanet", metanet, list(EDITING_TRUNKS), owner="ComplianceEditor")
        kind = metanet
    with local_draws(seed):
        return kind(
            n_inputs,
            n_outputs,
            graph.nodes[0].shape[-1],
            graph.context.shape[-1],
            len(graph.steps),
            hidden_channels=hidden_channels,
            n_layers=n_layers,
        )


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
