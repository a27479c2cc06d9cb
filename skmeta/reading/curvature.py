"""Curvature of networks from a few gradients: :class:`CurvatureReader`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor

from skmeta._random import local_draws
from skmeta.datasets import Task
from skmeta.gradients import FisherSamples
from skmeta.learning.nets import train
from skmeta.learning.on_positions import OnPositions
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import GradientWeights, SampleStates, SampleWeights
from skmeta.metanets.gradient_weights import SET_TRUNKS
from skmeta.metanets.sample_weights import N_RANKS
from skmeta.population import Population, Stack, Weights
from skmeta.population.mapping import at_once
from skmeta.reading.gradient_sets import N_RELATIVE, weighed

CLOSED_FORMS = ("standard", "shrunk", "kfac", "ekfac")
LEARNED = ("sample-weights", *SET_TRUNKS)
METHODS = (*LEARNED, *CLOSED_FORMS)
N_FEATURES = 2 * N_RANKS + 3
N_AMOUNTS = 2


@dataclass
class CurvatureReader:
    """Estimates the diagonal of the Fisher information of networks from a few rows.

    Parameters
    ----------
    method : str
        How; one of ``METHODS``.
    n_gradients : int
        Rows that it looks at.
    model : SampleWeights, GradientWeights or None
        Of the methods that learn.
    """

    method: str
    n_gradients: int
    model: SampleWeights | GradientWeights | None = None

    def read(self, stack: Stack, X: Tensor) -> Weights:
        """Estimate the curvature of the networks of a stack.

        Parameters
        ----------
        stack : Stack
            The networks.
        X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
            The few rows.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.
        """
        return self._of(FisherSamples.of(stack, X), X)

    def _of(self, samples: FisherSamples, X: Tensor) -> Weights:
        if self.method == "standard":
            return samples.diagonal()
        if self.method == "kfac":
            return samples.kfac_diagonal()
        if self.method == "ekfac":
            return samples.ekfac_diagonal()
        if self.method == "shrunk":
            return samples.blended(samples.shrinkage())
        if isinstance(self.model, GradientWeights):
            return weighed(samples, self.model, amounts_of(samples))
        assert self.model is not None
        weights, amounts = self.model(describe(samples, X))
        return samples.blended(amounts, weights)

    def saliency(self, stack: Stack, X: Tensor, kind: str) -> Weights:
        """Estimate what setting each weight to zero costs, in nats of divergence.

        Parameters
        ----------
        stack : Stack
            The networks.
        X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
            The few rows.
        kind : {"obd", "obs"}
            See :meth:`skmeta.CurvatureRegressor.saliency`.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.
        """
        samples = FisherSamples.of(stack, X)
        curvature = self._of(samples, X)
        if kind == "obs":
            whole, left = samples.ekfac_diagonal(), samples.conditional_diagonal()
            tiny = torch.finfo(whole.flat.dtype).tiny
            share = (left.flat / whole.flat.clamp_min(tiny)).clamp(0, 1)
            curvature = curvature.map(lambda flat: flat * share)
        return curvature.map(lambda flat: stack.weights.flat.square() * flat / 8)

    def to(self, device: torch.device, dtype: torch.dtype) -> CurvatureReader:
        """Return a copy that computes elsewhere.

        Parameters
        ----------
        device : torch.device
            Where.
        dtype : torch.dtype
            In which precision.

        Returns
        -------
        CurvatureReader
        """
        model = copy.deepcopy(self.model)
        return replace(self, model=None if model is None else model.to(device, dtype))

    def numbers(self, stack: Stack) -> int:
        """Return how many numbers are held of each network, for ``Population.map``.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        int
            States on the rows, and what is held of pairs of these.
        """
        n, channels = self.n_gradients, 6
        if isinstance(self.model, GradientWeights):
            channels = 8 * self.model.channels * stack.widths[-1]
        return max(channels * n * sum(stack.widths), 16 * n * n if self.model is not None else 0)


def describe(samples: FisherSamples, X: Tensor) -> SampleStates:
    """Say of each sample what no permutation of neurons changes.

    Parameters
    ----------
    samples : FisherSamples
        Gradients on the rows.
    X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
        The rows.

    Returns
    -------
    SampleStates
    """
    stack, n_samples = samples.stack, samples.n_samples
    squares, logs = samples.squares, []
    totals = stack.weights.flat.new_zeros(len(stack), n_samples)
    for stage, (h, delta, _) in squares.items():
        inputs, outputs = h.sum(-1), delta.sum(-1)
        totals = totals + (inputs + 1) * outputs
        sizes = [
            (x / stack.true_neurons(s).sum(1)[:, None]).clamp_min(1e-20).log() / 2
            for x, s in ((inputs, stage), (outputs, stage + 1))
        ]
        logs.append(torch.stack(sizes, -1))
    stages = torch.stack(logs, 2)
    last = samples.factors[0].outer[stack.depth - 1].h
    last = last.unflatten(1, (n_samples, -1)).mean(2)
    near, far = _distances(X.expand(len(stack), -1, -1)), _distances(last)
    parts = [_neighbours(near), _neighbours(far), stages[:, :, 0, :1], stages[:, :, -1, 1:]]
    tokens = torch.cat([*parts, totals.clamp_min(1e-20).log()[..., None] / 2], -1)
    return SampleStates(
        tokens - tokens.mean(1, keepdim=True),
        stages - stages.mean(1, keepdim=True),
        near,
        amounts_of(samples),
    )


def amounts_of(samples: FisherSamples) -> Tensor:
    """Return what says of each stage how far to shrink it, ``(n, depth, N_AMOUNTS)``.

    That is what a closed form finds, and the logarithm of the number of rows.
    """
    shrinkage = samples.shrinkage()
    count = torch.full_like(shrinkage, np.log(samples.n_samples) - 4)
    return torch.stack([shrinkage, count], -1)


def _distances(rows: Tensor) -> Tensor:
    """Return distances between rows of standardised columns, in units of their mean."""
    centred = rows - rows.mean(1, keepdim=True)
    centred = centred / centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    squares = centred.square().sum(-1)
    found = squares[:, :, None] + squares[:, None] - 2 * centred @ centred.mT
    found = found.clamp_min(0).sqrt()
    return found / found.mean((1, 2), keepdim=True).clamp_min(1e-12)


def _neighbours(distances: Tensor) -> Tensor:
    """Return logarithms of the distances to the nearest rows, ``(n, n_samples, N_RANKS)``."""
    last = distances.shape[1] - 1
    ranks = [min(2**k, last) for k in range(N_RANKS)]
    nearest = distances.topk(max(ranks) + 1, dim=-1, largest=False).values
    return (nearest[..., ranks] + 1e-3).log()


@dataclass(frozen=True, eq=False)
class CurvatureProblem:
    """Networks of one depth, and the curvature to find.

    Attributes
    ----------
    stack : Stack
        The networks.
    target : Weights
        Their diagonals on many rows.
    """

    stack: Stack
    target: Weights

    def select(self, rows: Tensor) -> CurvatureProblem:
        """Return the problem of some networks."""
        return CurvatureProblem(self.stack.select(rows), self.target.select(rows))


def relative_error(found: Weights, target: Weights) -> Tensor:
    """Return squared errors of diagonals over squares of the target, ``(n,)``."""
    wanted = target.flat.square().sum(1).clamp_min(1e-30)
    return (found.flat - target.flat).square().sum(1) / wanted


class CurvatureLoss(OnPositions):
    """Maps positions of networks to errors of the curvature that is read off fresh rows.

    Parameters
    ----------
    reader : CurvatureReader
        With a model.
    problems : sequence of (positions, CurvatureProblem)
        All training networks, by depth.
    X : Tensor of shape (n_samples, n_inputs)
        Rows to draw from.
    generator : torch.Generator
        Draws them, for each network its own.
    """

    def __init__(
        self,
        reader: CurvatureReader,
        problems: Sequence[tuple[np.ndarray, CurvatureProblem]],
        X: Tensor,
        generator: torch.Generator,
    ) -> None:
        assert reader.model is not None
        super().__init__(reader.model, problems)
        self.reader, self.generator, self.data = reader, generator, (X,)

    def forward(self, positions: Tensor) -> Tensor:
        """Return one error per network, ``(n,)``; the networks must be of one depth."""
        problem = self.select(positions)
        found = self.reader.read(problem.stack, self.draw(positions))
        return relative_error(found, problem.target)

    def draw(self, positions: Tensor) -> Tensor:
        """Draw rows for some networks.

        Parameters
        ----------
        positions : Tensor of int of shape (n,)
            Which networks.

        Returns
        -------
        Tensor of shape (n, n_gradients, n_inputs)
            Of each its own.
        """
        assert self.data is not None
        [X] = self.data
        order = torch.rand(len(positions), len(X), generator=self.generator)
        return X[order.topk(self.reader.n_gradients, 1).indices.to(X.device)]


def targets_of(stack: Stack, X: Tensor) -> Weights:
    """Return the diagonals of a stack on many rows, in pieces that fit."""
    step = at_once(3 * len(stack) * sum(stack.widths), stack.device)
    total: Weights | None = None
    for part in X.split(step):
        found = FisherSamples.of(stack, part).diagonal() * (len(part) / len(X))
        total = found if total is None else total + found
    assert total is not None
    return total


def model_for(method: str, hidden_channels: int, n_layers: int) -> SampleWeights | GradientWeights:
    """Return a new model for a method that learns."""
    sizes = {"hidden_channels": hidden_channels, "n_layers": n_layers}
    if method == "sample-weights":
        return SampleWeights(N_FEATURES, N_AMOUNTS, **sizes)
    return GradientWeights(method, N_RELATIVE, N_AMOUNTS, **sizes)


def train_curvature(
    reader: CurvatureReader,
    population: Population,
    task: Task,
    settings: TrainingSettings,
    *,
    n_target: int,
    seeds: Sequence[int],
    hidden_channels: int,
    n_layers: int,
) -> NeuralNet:
    """Train the model of a reader to find from a few rows what many rows say.

    Parameters
    ----------
    reader : CurvatureReader
        It gets the model.
    population : Population
        Training networks.
    task : Task
        Rows.
    settings : TrainingSettings
        How.
    n_target : int
        Rows that the curvature to find is measured on.
    seeds : sequence of int
        Three seeds: of the model, of rows, of the batches.
    hidden_channels, n_layers : int
        Sizes of the model.

    Returns
    -------
    NeuralNet
        The skorch net.
    """
    X, _, _ = task.tensors(settings.device, population.dtype)
    generator = torch.Generator().manual_seed(seeds[1])
    many = X[torch.randperm(len(X), generator=generator)[:n_target].to(X.device)]
    with local_draws(seeds[0]):
        model = model_for(reader.method, hidden_channels, n_layers)
    reader.model = model.to(settings.device, population.dtype)
    problems = [
        (positions, CurvatureProblem(stack, targets_of(stack, many)))
        for positions, stack in population.depth_blocks()
    ]
    return train(settings, CurvatureLoss(reader, problems, X, generator), seed=seeds[2])
