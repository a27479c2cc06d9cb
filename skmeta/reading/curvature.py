"""Curvature of networks from a few gradients: :class:`CurvatureReader`."""

from __future__ import annotations

import copy
import warnings
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
from skmeta.metanets import GradientWeights, SampleWeights
from skmeta.metanets.gradient_weights import SET_TRUNKS
from skmeta.population import Population, Stack, Weights
from skmeta.population.mapping import at_once
from skmeta.reading.gradient_sets import N_RELATIVE, weighed
from skmeta.reading.sample_states import N_AMOUNTS, N_FEATURES, amounts_of, describe

CLOSED_FORMS = ("standard", "shrunk", "kfac", "ekfac")
LEARNED = ("sample-weights", *SET_TRUNKS)
METHODS = (*LEARNED, *CLOSED_FORMS)
_N_CHECKED = 64
_SMALL = 1e-3
"""An error that nobody minds."""


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
        return _drawn(X, len(positions), self.reader.n_gradients, self.generator)


def _drawn(X: Tensor, n_networks: int, n_rows: int, generator: torch.Generator) -> Tensor:
    """Draw rows for each network, none twice."""
    order = torch.rand(n_networks, len(X), generator=generator)
    return X[order.topk(n_rows, 1).indices.to(X.device)]


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
    net = train(settings, CurvatureLoss(reader, problems, X, generator), seed=seeds[2])
    _warn_if_worse(reader, [problem for _, problem in problems], X, generator)
    return net


def _warn_if_worse(
    reader: CurvatureReader,
    problems: Sequence[CurvatureProblem],
    X: Tensor,
    generator: torch.Generator,
) -> None:
    """Say so if the mean over rows is closer, on networks of training and fresh rows."""
    readers = reader, CurvatureReader("standard", reader.n_gradients)
    errors = []
    for problem in problems:
        part = problem.select(torch.arange(min(len(problem.stack), _N_CHECKED)))
        rows = _drawn(X, len(part.stack), reader.n_gradients, generator)
        with torch.no_grad():
            found = [relative_error(one.read(part.stack, rows), part.target) for one in readers]
        errors.append(torch.stack(found))
    learned, plain = torch.cat(errors, 1).mean(1).tolist()
    if not learned <= max(plain, _SMALL):
        warnings.warn(
            f"CurvatureRegressor(method={reader.method!r}) has learned nothing: on its training "
            f"networks its error is {learned:.3g}, that of method='standard' {plain:.3g}. Lower "
            "'lr', train longer or on more networks, or use 'standard' or 'shrunk'.",
            UserWarning,
            stacklevel=2,
        )
