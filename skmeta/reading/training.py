"""Training a metanetwork that reads: :func:`train_reader`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from skmeta.learning import OnPositions, TrainingSettings, train
from skmeta.metanets import Metanet, Quasi
from skmeta.population import Population
from skmeta.reading.losses import Weighted
from skmeta.reading.reader import Reader

AUGMENTATIONS = ("none", "permute", "rescale")


class Reading(OnPositions):
    """Maps positions of training networks to what the metanetwork says about them.

    Parameters
    ----------
    metanet : Metanet or Quasi
        Maps what its ``inputs`` returns for a stack to ``(n, n_outputs)``.
    population : Population
        Training networks.
    augment : {"none", "permute", "rescale"}
        How :meth:`refresh` changes them.
    seed : int
        Draws the changes.
    """

    def __init__(
        self, metanet: Metanet | Quasi, population: Population, augment: str, seed: int
    ) -> None:
        super().__init__(metanet, [])
        self.augment = augment
        self.data = (population, np.random.default_rng(seed))
        self._take(population)

    def _take(self, population: Population) -> None:
        assert isinstance(self.metanet, Metanet | Quasi)
        read = self.metanet.inputs
        self.place([(positions, read(stack)) for positions, stack in population.depth_blocks()])

    def refresh(self) -> None:
        """Replace the training networks by functionally equal ones."""
        assert self.data is not None
        population, rng = self.data
        change = population.permuted if self.augment == "permute" else population.rescaled
        self._take(change(rng))

    def forward(self, positions: Tensor) -> Tensor:
        """Return the outputs for networks of one depth, ``(n, n_outputs)``."""
        return self.metanet(self.select(positions))


class Refresh(Callback):
    """Begins every epoch with other networks that compute the same."""

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Draw them."""
        net.module_.refresh()


def train_reader(
    reader: Reader,
    population: Population,
    targets: np.ndarray,
    settings: TrainingSettings,
    *,
    criterion: type[nn.Module],
    augment: str = "none",
    seeds: Sequence[int] = (0, 0),
    weights: np.ndarray | None = None,
) -> NeuralNet:
    """Train the metanetwork of a reader.

    Parameters
    ----------
    reader : Reader
        Its metanetwork is trained in place, and goes where the settings say.
    population : Population
        Training networks as float32.
    targets : ndarray
        What ``criterion`` compares the outputs ``(n, n_outputs)`` with.
    settings : TrainingSettings
        How.
    criterion : Module class
        The loss.
    augment : {"none", "permute", "rescale"}, default="none"
        With which functionally equal networks every epoch begins.
    seeds : (int, int), default=(0, 0)
        Of augmentation and of the batches.
    weights : ndarray of shape (n,), optional
        Weights of the networks in the loss; their mean is 1.

    Returns
    -------
    NeuralNet
        With the losses in its ``history``.
    """
    metanet = reader.metanet.to(settings.device)
    module = Reading(metanet, population.to(settings.device), augment, seeds[0])
    y = targets if weights is None else (targets, weights.astype(np.float32))
    loss = criterion if weights is None else partial(Weighted, criterion)
    callbacks = [] if augment == "none" else [("refresh", Refresh())]
    return train(settings, module, y, seed=seeds[1], criterion=loss, callbacks=callbacks)
