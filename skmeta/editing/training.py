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
from skmeta.datasets import Cells, Task
from skmeta.editing.editor import Editor
from skmeta.editing.features import FeatureBuilder
from skmeta.editing.masks import random_kept
from skmeta.editing.problem import EditProblem
from skmeta.editing.reference import rows_per_cell
from skmeta.learning.nets import train
from skmeta.learning.on_positions import OnPositions
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import EDITING_TRUNKS, Metanet, Trunk, WeightGraph
from skmeta.population import Population, Stack, forward
from skmeta.population.mapping import at_once
from skmeta.requirements.resolve import Plan
from skmeta.training import StratifiedRows

_TRAINING_ROWS_PER_CELL = 192


def train_metanet(
    editor: Editor,
    population: Population,
    task: Task,
    *,
    metanet: str | type[Trunk],
    hidden_channels: int,
    n_layers: int,
    settings: TrainingSettings,
    seeds: Sequence[int],
) -> tuple[NeuralNet, Metanet]:
    """Train the metanetwork of an editor.

    Parameters
    ----------
    editor : Editor
        Without a metanetwork yet.
    population : Population
        Training networks as float32 on the editor's device.
    task : Task
        Rows to train on.
    metanet : str or Trunk class
        What is trained.
    hidden_channels, n_layers : int
        Its sizes.
    settings : TrainingSettings
        How.
    seeds : sequence of int
        Three seeds: of the metanetwork, of rows and lam (and budgets), of the batches.

    Returns
    -------
    tuple of (NeuralNet, Metanet)
        The skorch net and its metanetwork.
    """
    builder = editor.builder_for(task, editor.taught)
    generator = torch.Generator().manual_seed(seeds[1])
    problems = [
        (positions, _problems(stack, builder, generator))
        for positions, stack in population.depth_blocks()
    ]
    built = build_metanet(
        metanet,
        [problem.graph for _, problem in problems],
        seed=seeds[0],
        hidden_channels=hidden_channels,
        n_layers=n_layers,
    )
    cells, requirement = task.cells(), builder.plan.requirement
    n_rows = _TRAINING_ROWS_PER_CELL * len(np.unique(cells))
    X, _, _ = task.tensors(editor.device)
    module = EditingLoss(
        built.to(editor.device),
        problems,
        builder.plan,
        X,
        Cells.of(task, editor.device),
        StratifiedRows(cells, rows_per_cell(task, requirement, n_rows), 1),
        editor.lam_range,
        generator,
        editor.taught,
    )
    # A metanetwork of the user's may have dropout; those of skmeta draw nothing in training.
    foreign = isinstance(metanet, type)
    with local_draws(seeds[0]) if foreign else nullcontext():
        net = train(settings, module, seed=seeds[2])
    return net, built


def _scale(plan: Plan) -> tuple[float, float]:
    """Return slope and floor along lam of how large losses are beside the divergence."""
    if plan.mask is None:
        return 1.0, 0.03
    return (0.0 if plan.requirement is None else 0.1), 1e-4


def _problems(stack: Stack, builder: FeatureBuilder, generator: torch.Generator) -> EditProblem:
    """Pose the edits of a stack; behind a mask each network gets a budget of its own."""
    mask, n_kept = builder.plan.mask, None
    if mask is not None:
        n_kept = random_kept(mask, stack, generator)
    parts = []
    for rows in torch.arange(len(stack)).split(at_once(builder.numbers(stack), stack.device)):
        part = stack if len(rows) == len(stack) else stack.select(rows)
        parts.append(builder.build(part, None if n_kept is None else n_kept[rows]))
    return EditProblem.merge(parts)


def build_metanet(
    metanet: Any,
    graphs: Sequence[WeightGraph],
    *,
    seed: int,
    hidden_channels: int,
    n_layers: int,
) -> Metanet:
    """Build a metanetwork for graphs like the given ones, one per depth."""
    if not isinstance(metanet, type):
        check_option("metanet", metanet, EDITING_TRUNKS, owner="ComplianceEditor")
    elif not issubclass(metanet, Trunk):
        raise TypeError(
            "The 'metanet' parameter of ComplianceEditor must be a name or a subclass of "
            f"skmeta.metanets.Trunk. Got {metanet!r} instead."
        )
    with local_draws(seed):
        return Metanet.editor(metanet, graphs, hidden_channels=hidden_channels, n_layers=n_layers)


class EditingLoss(OnPositions):
    """Maps positions of networks to their losses after an edit; the criterion averages them.

    Parameters
    ----------
    metanet : Metanet
        Called with a weight graph and lam, returns an edit.
    problems : sequence of (positions, EditProblem)
        All training networks, by depth.
    plan : Plan
        What the edits are for.
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
    taught : Tensor of shape (n_samples, n_classes), optional
        What outputs should be close to; those of the original networks by default.
    """

    def __init__(
        self,
        metanet: nn.Module,
        problems: Sequence[tuple[np.ndarray, EditProblem]],
        plan: Plan,
        X: Tensor,
        cells: Cells,
        sampler: StratifiedRows,
        lam_range: tuple[float, float],
        generator: torch.Generator,
        taught: Tensor | None = None,
    ) -> None:
        super().__init__(metanet, problems)
        self.lam_range, self.scale, self.generator = lam_range, _scale(plan), generator
        self.data = (X, cells, sampler, None if taught is None else taught.to(X))

    def forward(self, positions: Tensor) -> Tensor:
        """Return one loss per network, ``(n,)``; the networks must be of one depth."""
        assert self.data is not None
        X, cells, sampler, taught = self.data
        rows = next(iter(sampler.epoch([self.generator])))[0].to(X.device)
        taught = None if taught is None else taught[rows]
        cells = cells.take(rows, stratified=True)
        return self._losses(self.select(positions), X[rows], cells, taught)

    def _losses(
        self, problem: EditProblem, X: Tensor, cells: Cells, taught: Tensor | None
    ) -> Tensor:
        low, high = np.log(self.lam_range)
        uniform = torch.rand(len(problem), generator=self.generator).to(X)
        lam = (low + (high - low) * uniform).exp()
        edited = problem.start.weights + self.metanet(problem.graph, lam)
        outputs = forward(problem.start, X, edited)
        with torch.no_grad():
            target = forward(problem.original, X) if taught is None else taught.expand_as(outputs)
        loss = problem.objective.loss(target, outputs, cells, lam)
        # Without the division the networks with the largest losses would dominate.
        slope, floor = self.scale
        return loss / (problem.divergence + slope * lam + floor)
