"""Building, training and running metanetworks that read networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta._random import local_draws
from skmeta.learning.nets import train
from skmeta.learning.on_positions import OnPositions
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import TRUNKS, Metanet, Quasi
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.population.blocks import Block

# Numbers of a metanetwork's state for the networks that it reads at once, 64 MB as float32.
_CHUNK_NUMBERS = 2**24
_CALIBRATION_NETWORKS = 512

AUGMENTATIONS = ("none", "permute", "rescale")


def build_reader(
    estimator: Any, population: Population, n_outputs: int, seed: int = 0
) -> nn.Module:
    """Build a metanetwork that maps stacks of networks like the given ones to ``(n, n_outputs)``.

    It sees all kinds of networks, but not more of each depth than it needs to standardise.
    """
    owner = type(estimator).__name__
    check_option("metanet", estimator.metanet, list(TRUNKS), owner=owner)
    stacks = []
    for _, stack in population.depth_blocks():
        kinds = {template(a): row for row, a in enumerate(stack.architectures)}
        some = np.linspace(0, len(stack) - 1, _CALIBRATION_NETWORKS).astype(int)
        stacks.append(stack.select(sorted({*kinds.values(), *some.tolist()})))
    with local_draws(seed):
        metanet = Metanet.reader(
            estimator.metanet,
            stacks,
            n_outputs,
            hidden_channels=estimator.hidden_channels,
            n_layers=estimator.n_layers,
        )
        return Quasi(metanet, stacks) if estimator.quasi else metanet


def template(architecture: Architecture) -> Architecture:
    """Return what decides how a metanetwork is built: all but hidden widths, skips and dropout."""
    *hidden, last = (replace(x, skips=(), dropout=0.0) for x in architecture.layers)
    layers = [*(replace(layer, width=1) for layer in hidden), last]
    return replace(architecture, layers=tuple(layers))


class Reading(OnPositions):
    """Maps positions of training networks to what the metanetwork says about them.

    Parameters
    ----------
    metanet : Module
        Maps what its ``inputs`` returns for a stack to ``(n, n_outputs)``.
    population : Population
        Training networks.
    augment : {"none", "permute", "rescale"}
        How :meth:`refresh` changes them.
    seed : int
        Draws the changes.
    """

    def __init__(self, metanet: Any, population: Population, augment: str, seed: int) -> None:
        super().__init__(metanet, [])
        self.augment = augment
        self.data = (population, np.random.default_rng(seed))
        self.inputs: list[Any] = []
        self._take(population)

    def _take(self, population: Population) -> None:
        blocks = population.depth_blocks()
        self.place([positions for positions, _ in blocks])
        self.inputs = [self.metanet.inputs(stack) for _, stack in blocks]

    def refresh(self) -> None:
        """Replace the training networks by functionally equal ones."""
        assert self.data is not None
        population, rng = self.data
        change = population.permuted if self.augment == "permute" else population.rescaled
        self._take(change(rng))

    def forget(self) -> None:
        """Drop the training networks."""
        super().forget()
        self.inputs = []

    def forward(self, positions: Tensor) -> Tensor:
        """Return the outputs for networks of one depth, ``(n, n_outputs)``."""
        number, members = self.locate(positions)
        return self.metanet(self.inputs[number].select(members))


class Refresh(Callback):
    """Begins every epoch with other networks that compute the same."""

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Draw them."""
        net.module_.refresh()


class RankingLoss(nn.Module):
    """Mean over all pairs of a batch of ``softplus(-(s_i - s_j))``, where ``y_i > y_j``.

    References
    ----------
    .. [1] Burges et al., "Learning to rank using gradient descent", 2005.
    """

    def forward(self, scores: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compare scores with targets, both ``(n, 1)``; a batch without a pair has loss 0.

        With weights ``(n,)`` a pair counts as often as the product of both.
        """
        ordered = targets > targets.T
        losses = nn.functional.softplus(scores.T - scores).where(ordered, 0.0)
        if weights is None:
            return losses.sum() / ordered.sum().clamp_min(1)
        pairs = torch.outer(weights, weights) * ordered
        return (losses * pairs).sum() / pairs.sum().clamp_min(1e-12)


class Weighted(nn.Module):
    """A loss in which every network counts as often as it weighs.

    Over all batches that is the loss of a population with repeated networks.

    Parameters
    ----------
    criterion : Module class
        Of the loss.
    """

    def __init__(self, criterion: type[nn.Module]) -> None:
        super().__init__()
        of_pairs = criterion is RankingLoss
        self.criterion = criterion() if of_pairs else criterion(reduction="none")

    def forward(self, outputs: Tensor, weighted: Sequence[Tensor]) -> Tensor:
        """Compare outputs with targets, which come with weights ``(n,)`` of mean 1."""
        targets, weights = weighted
        if isinstance(self.criterion, RankingLoss):
            return self.criterion(outputs, targets, weights)
        return (self.criterion(outputs, targets).flatten() * weights).mean()


def train_reader(
    estimator: Any,
    population: Population,
    targets: np.ndarray,
    n_outputs: int,
    criterion: type[nn.Module],
    seeds: Sequence[int],
    weights: np.ndarray | None = None,
) -> tuple[NeuralNet, nn.Module]:
    """Train a metanetwork.

    Parameters
    ----------
    estimator : WeightSpaceRegressor or WeightSpaceClassifier
        With its parameters and ``device_``.
    population : Population
        Training networks as float32.
    targets : ndarray
        What ``criterion`` compares the outputs ``(n, n_outputs)`` with.
    n_outputs : int
        Numbers per network.
    criterion : Module class
        The loss.
    seeds : sequence of int
        Three seeds: of the metanetwork, of augmentation, of the batches.
    weights : ndarray of shape (n,), optional
        Weights of the networks in the loss; their mean is 1.

    Returns
    -------
    tuple of (NeuralNet, Module)
        The skorch net and its metanetwork.
    """
    metanet = build_reader(estimator, population, n_outputs, seeds[0]).to(estimator.device_)
    population = population.to(estimator.device_)
    y = targets if weights is None else (targets, weights.astype(np.float32))
    module = Reading(metanet, population, estimator.augment, seeds[1])
    callbacks = [] if estimator.augment == "none" else [("refresh", Refresh())]
    loss: Any = criterion if weights is None else partial(Weighted, criterion)
    settings = TrainingSettings.of(estimator)
    net = train(settings, module, y, seed=seeds[2], criterion=loss, callbacks=callbacks)
    return net, metanet


def read_population(metanet: nn.Module, population: Population, channels: int) -> np.ndarray:
    """Return the outputs of a metanetwork for each network, ``(n, n_outputs)`` as float64.

    Parameters
    ----------
    metanet : Metanet or Quasi
        Trained.
    population : Population
        Any number of networks on the metanetwork's device; the result is computed in their
        floating type.
    channels : int
        Numbers that the metanetwork computes for every weight; bounds the memory.
    """
    order, parts = [], []
    if population.dtype != torch.float32:
        metanet = deepcopy(metanet).to(population.dtype)
    with torch.no_grad():
        for positions, stack in depth_chunks(population, channels):
            order.append(positions)
            parts.append(metanet(metanet.inputs(stack)).double().cpu().numpy())
    return np.concatenate(parts)[np.argsort(np.concatenate(order))]


def check_finite_outputs(outputs: np.ndarray) -> None:
    """Refuse readings, ``(n, n_outputs)``, that are not numbers."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(1))
    if len(bad):
        raise ValueError(
            f"The reading of network {bad[0]} (and of {len(bad) - 1} more) is not finite, probably "
            "because its weights are far larger than those of the networks in fit. Leave it out."
        )


def depth_chunks(population: Population, channels: int = 1) -> Iterator[Block]:
    """Cut a population of any size into stacks of one depth that fit into memory.

    Parameters
    ----------
    population : Population
        Networks.
    channels : int, default=1
        How many numbers are computed for every weight.

    Yields
    ------
    tuple of (positions, Stack)
        Some networks and where they stand.
    """
    depths, sizes = np.empty((2, len(population)), dtype=np.int64)
    for positions, stack in population.blocks:
        depths[positions] = stack.depth
        sizes[positions] = sum(t[0].numel() for t in stack.params.tensors())
    order = np.lexsort((sizes, depths))
    at_once = max(_CHUNK_NUMBERS // int(channels * sizes.max()), 1)
    for start in range(0, len(order), at_once):
        chunk = order[start : start + at_once]
        for positions, stack in population[chunk].depth_blocks():
            yield chunk[positions], stack
