"""What the estimators that read a property off the weights share: :class:`WeightSpaceEstimator`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted, check_X_y
from torch import nn

from skmeta._checks import (
    check_in_range,
    check_option,
    check_rng,
    check_unchanged,
    check_weights,
    params_now,
)
from skmeta._columns import checked_column
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta.estimators.files import write_estimator
from skmeta.estimators.networks_or_rows import NetworksOrRows
from skmeta.files.checks import expect, fields_of
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import TRUNKS
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.reading import Reader, train_reader
from skmeta.reading.saving import contents, restored
from skmeta.reading.training import AUGMENTATIONS
from skmeta.zoo.checks import warn_of_few_networks

# Predictions go by them; the others hold for the next fit.
_PARAMS_OF_FIT = ("metanet", "quasi", "loss", "n_layers", "architecture")

# Set by rows alone.
_OPTIONAL = ("n_features_in_", "feature_names_in_")


class WeightSpaceEstimator(StablePickle, NetworksOrRows, ABC):
    """Trains a metanetwork to map networks to numbers; the parameters are in the subclasses."""

    __metadata_request__fit = {"task": True}
    # What a file keeps beside the reader.
    _saved: ClassVar[dict[str, Any]] = {
        "architecture_": Architecture | None,
        "n_features_in_": int | None,
        "feature_names_in_": np.ndarray | None,
    }

    def __init__(
        self,
        *,
        metanet: str = "nfn-hnp",
        quasi: bool = False,
        augment: str = "none",
        hidden_channels: int = 16,
        n_layers: int = 3,
        architecture: Architecture | None = None,
        net: Any = None,
        max_epochs: int = 60,
        lr: float = 1e-3,
        batch_size: int = 32,
        callbacks: list | None = None,
        device: str = "cpu",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.metanet = metanet
        self.quasi = quasi
        self.augment = augment
        self.hidden_channels = hidden_channels
        self.n_layers = n_layers
        self.architecture = architecture
        self.net = net
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @property
    def metanet_(self) -> nn.Module:
        """The trained metanetwork."""
        return self.reader_.metanet

    @property
    def templates_(self) -> tuple[Architecture, ...]:
        """What the metanetwork was built for."""
        return self.reader_.templates

    @property
    @abstractmethod
    def _n_outputs(self) -> int:
        """Numbers that the metanetwork returns per network."""

    def save(self, path: str | Path) -> None:
        """Write what was learned to a file for :func:`skmeta.load`; see :func:`skmeta.save`.

        Parameters
        ----------
        path : str or Path
            The file; one that is there already is replaced.
        """
        write_estimator(self, path)

    def _contents(self, *, include_task: bool) -> dict[str, Any]:
        """Return what a file keeps; rows are none of it."""
        fitted = {name: getattr(self, name, None) for name in self._saved}
        return {**fitted, "reader": contents(self.reader_)}

    def _restore(self, fitted: dict[str, Any]) -> None:
        """Take what a file claims to have kept."""
        *values, reader = fields_of(fitted, "what was learned", **self._saved, reader=dict)
        for name, value in zip(self._saved, values, strict=True):
            if value is not None or name not in _OPTIONAL:
                setattr(self, name, value)
        self._params_of_fit = params_now(self)
        self.reader_ = found = restored(reader)
        claimed = (found.name, found.n_outputs, found.hidden_channels, found.n_layers, found.quasi)
        wanted = (self.metanet, self._n_outputs, self.hidden_channels, self.n_layers, self.quasi)
        expect(claimed == wanted, "the parameters and the metanetwork disagree")

    def _check_params(self) -> None:
        owner = type(self).__name__
        for name in ("hidden_channels", "n_layers"):
            check_in_range(name, getattr(self, name), owner=owner, low=1, kind="int")
        TrainingSettings.of(self)
        check_option("metanet", self.metanet, TRUNKS, owner=owner)
        check_option("quasi", self.quasi, [False, True], owner=owner)
        check_option("augment", self.augment, AUGMENTATIONS, owner=owner)

    def _read(
        self, networks: Any, y: Any, sample_weight: Any, *, numeric: bool
    ) -> tuple[Population, np.ndarray, np.ndarray | None]:
        """Return training networks, their targets and weights, which have the mean 1."""
        self._check_params()
        owner, population = type(self).__name__, self._networks(networks, fitting=True)
        if isinstance(networks, Population):
            warn_of_few_networks(population, owner)
        if y is not None:  # of which scikit-learn complains
            y = checked_column("y", y, owner=f"{owner}.fit")
        positions = np.arange(len(population))[:, None]
        _, y = check_X_y(positions, y, y_numeric=numeric, estimator=owner)
        weights = check_weights(sample_weight, len(population), owner)
        if weights is not None:
            there = np.flatnonzero(weights)
            population, y, weights = population[there], y[there], weights[there]
            weights = weights / weights.mean()
        return population.to(dtype=torch.float32), y, weights

    def _train(
        self,
        population: Population,
        targets: np.ndarray,
        criterion: type[nn.Module],
        weights: np.ndarray | None,
    ) -> None:
        first, *seeds = check_rng(self.random_state).integers(2**62, size=3).tolist()
        self._params_of_fit = params_now(self)
        self.reader_ = Reader.build(
            population,
            self.metanet,
            n_outputs=self._n_outputs,
            hidden_channels=self.hidden_channels,
            n_layers=self.n_layers,
            quasi=self.quasi,
            seed=first,
        )
        self.net_ = train_reader(
            self.reader_,
            population,
            targets,
            TrainingSettings.of(self),
            criterion=criterion,
            augment=self.augment,
            seeds=seeds,
            weights=weights,
        )

    @in_own_modes
    def _outputs(self, networks: Any) -> np.ndarray:
        """Return what the metanetwork says, ``(n, n_outputs)``."""
        check_is_fitted(self)
        check_unchanged(self, "predict", _PARAMS_OF_FIT)
        return self.reader_.read(self._networks(networks, fitting=False))
