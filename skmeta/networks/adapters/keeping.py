"""What a population keeps of the networks that came in: :class:`Source`.

A network is taken apart into its numbers and a skeleton: all of it but its weights. The
skeleton is private, so that nothing that happens to the network later is seen, and shared
between networks that differ in their weights only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from skmeta._plain import from_plain, to_plain
from skmeta.networks.adapters._common import InputScaling, moved
from skmeta.networks.modules import to_module
from skmeta.networks.record import Record

Weights = dict[str, Tensor]
"""The numbers of one network by their own names, in their own dtype and place."""


class Skeleton(ABC):
    """All of a network but its weights."""

    places: dict[str, tuple[torch.device, torch.dtype]]
    """Where each of the weights is, and its type."""

    scaling: InputScaling | None = None
    """What the network does to its inputs before its first layer; the record has it folded in."""

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the columns that the network was fitted on; None if it saw none."""
        return None

    @property
    @abstractmethod
    def kind(self) -> type:
        """The class of the network."""

    @property
    @abstractmethod
    def classes(self) -> np.ndarray | None:
        """Class labels in the order of the outputs; None where they are unknown."""

    @abstractmethod
    def record(self, weights: Weights) -> Record:
        """Return the network as an architecture and float32 tensors, copied."""

    @abstractmethod
    def values(self, record: Record) -> Weights:
        """Return what a record says of the weights, by their own names, in any float type."""

    def known(self, record: Record) -> Weights:
        """Return what a record says of the weights, in the dtype and place of each.

        Parameters
        ----------
        record : Record
            The network.

        Returns
        -------
        dict of str to Tensor
            Perhaps views of the record.
        """
        return {name: t.to(*self.places[name]) for name, t in self.values(record).items()}

    def moved(self, weights: Weights, old: Record, new: Record) -> Weights:
        """Return weights changed by ``new - old`` in their own dtype.

        Parameters
        ----------
        weights : dict of str to Tensor
            The weights as they were read.
        old, new : Record
            The network as it was read and as it is now.

        Returns
        -------
        dict of str to Tensor
            New weights; what a record does not know of stays.
        """
        before, after = self.values(old), self.values(new)
        return {
            name: moved(value, before[name], after[name]) if name in before else value
            for name, value in weights.items()
        }

    @abstractmethod
    def check_edit(self, old: Record, new: Record) -> None:
        """Refuse an edit of parameters that the network does not have."""

    @abstractmethod
    def network(self, weights: Weights) -> Any:
        """Return a network of the kind that came in, which owns the weights that are passed."""


@dataclass(frozen=True)
class Source:
    """A network that came in, without the numbers that its float32 record has already.

    Attributes
    ----------
    skeleton : Skeleton
        All but the weights.
    own : dict of str to Tensor
        Weights that the record does not give back bit by bit, those in float64 for instance.
    """

    skeleton: Skeleton
    own: Weights

    @classmethod
    def of(cls, skeleton: Skeleton, weights: Weights, record: Record) -> Source:
        """Keep of the weights what the record does not hold.

        Parameters
        ----------
        skeleton : Skeleton
            The network without its weights.
        weights : dict of str to Tensor
            Its weights, in its own types.
        record : Record
            The same weights in float32.

        Returns
        -------
        Source
            What gives the network back, together with the record.
        """
        known = skeleton.known(record)
        return cls(
            skeleton,
            {
                name: value.clone()
                for name, value in weights.items()
                if name not in known or not _same_bits(value, known[name])
            },
        )

    def network(self, old: Record, new: Record) -> Any:
        """Return a network whose weights are those that were read, changed by ``new - old``.

        Parameters
        ----------
        old, new : Record
            The network as it was read and as it is now; one object says that nothing changed.

        Returns
        -------
        network
            Of the kind that came in; it owns its weights.
        """
        weights = self.skeleton.known(old) | self.own
        weights = {name: value.clone() for name, value in weights.items()}
        if new is not old:
            self.skeleton.check_edit(old, new)
            weights = self.skeleton.moved(weights, old, new)
        return self.skeleton.network(weights)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "skeleton": self.skeleton,
            "own": {name: to_plain(value) for name, value in self.own.items()},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = {name: from_plain(value) for name, value in state["own"].items()}
        for name, value in {**state, "own": own}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Trained:
    """The source of a network whose record is all of it, but for names: trained here, or a file's.

    Attributes
    ----------
    feature_names : tuple of str or None
        The columns that it was trained on.
    labels : tuple or None
        Type of the class labels for numpy, and the labels in the order of the outputs.
    """

    feature_names: tuple[str, ...] | None
    labels: tuple[str, tuple[Any, ...]] | None
    kind = nn.Module

    @property
    def skeleton(self) -> Trained:
        """Itself: there is nothing else to know."""
        return self

    @property
    def classes(self) -> np.ndarray | None:
        """The class labels, None where they are unknown."""
        return None if self.labels is None else np.array(self.labels[1], dtype=self.labels[0])

    def network(self, old: Record, new: Record) -> nn.Module:
        """Return a module with the weights of ``new``.

        Parameters
        ----------
        old, new : Record
            The network as it was trained and as it is now.

        Returns
        -------
        MLP or CNN
            In evaluation mode.
        """
        return to_module(new)

    def __reduce__(self) -> tuple[Any, ...]:
        return _the_one, (self.feature_names, self.labels)


def trained_on(
    feature_names: Sequence[str] | None, classes: np.ndarray | None = None
) -> Trained | None:
    """Return the source of a network of which these names are known, None if none is.

    Parameters
    ----------
    feature_names : sequence of str, optional
        The columns, in order.
    classes : ndarray of shape (n_classes,), optional
        The labels, in the order of the outputs.

    Returns
    -------
    Trained or None
        The same object for the same names: of equal ones pickle would write each.
    """
    if feature_names is None and classes is None:
        return None
    labels = None if classes is None else (classes.dtype.str, tuple(classes.tolist()))
    return _the_one(None if feature_names is None else tuple(feature_names), labels)


# Only as long as a population holds them: names may come from files of anybody, and be long.
_ALIVE: WeakValueDictionary[tuple, Trained] = WeakValueDictionary()


def _the_one(
    feature_names: tuple[str, ...] | None, labels: tuple[str, tuple[Any, ...]] | None
) -> Trained:
    return _ALIVE.setdefault((feature_names, labels), Trained(feature_names, labels))


def places_of(weights: Weights) -> dict[str, tuple[torch.device, torch.dtype]]:
    """Return where weights are, and their types.

    Parameters
    ----------
    weights : dict of str to Tensor
        Weights of a network.

    Returns
    -------
    dict of str to (device, dtype)
        By the same names.
    """
    return {name: (weight.device, weight.dtype) for name, weight in weights.items()}


def _same_bits(value: Tensor, other: Tensor) -> bool:
    # Zeros are equal whatever their sign.
    return torch.equal(value, other) and torch.equal(value.signbit(), other.signbit())
