"""A set of trained networks that behaves like scikit-learn data: :class:`Population`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta._checks import check_device, check_in_range, shown
from skmeta._plain import as_array
from skmeta.networks import adapters
from skmeta.networks.architecture import Architecture
from skmeta.networks.initialization import initial_records
from skmeta.networks.record import Record
from skmeta.population import saving
from skmeta.population.blocks import (
    Block,
    blocks_from_records,
    exact_blocks,
    join_blocks,
    records_of,
)
from skmeta.population.forward import forward
from skmeta.population.running import (
    accuracies,
    check_classifiers,
    check_one_label,
    check_rows,
    run_stack,
)
from skmeta.population.sequence import NetworkSequence
from skmeta.population.taking import take_all_apart


class Population(NetworkSequence):
    """Immutable sequence of trained networks, held as stacked float32 tensors.

    It can be sliced, split by cross-validation, pickled and handed to joblib like an
    array of samples; a sample is a network. What came in is copied: training a network
    further changes no population that it is in.

    Parameters
    ----------
    networks : sequence
        Fitted ``MLPClassifier`` or ``MLPRegressor``, also behind scalers in a Pipeline,
        ``torch.nn.Module``, fitted skorch nets, or another Population. Architectures may be
        mixed.
    metadata : DataFrame, optional
        One row per network, for instance ``run``, ``epoch`` and hyper-parameters. Split
        by ``run``: checkpoints of one run leak between folds otherwise.
    input_shape : (int, int, int), optional
        Channels, height and width of the images that convolutional modules take; not
        needed behind an ``nn.Unflatten(1, shape)``.

    Attributes
    ----------
    shape : tuple
        ``(n_networks,)``.
    architectures : tuple of Architecture
        The spec of each network.
    metadata : DataFrame
        Aligned with the networks; without columns when none was given.

    Notes
    -----
    Networks are built when they are asked for, new ones each time: ``population[0] is
    population[0]`` does not hold, and nor does ``population[0] in population``, as networks
    are equal to themselves only.

    Examples
    --------
    >>> from torch import nn
    >>> from skmeta import Population
    >>> population = Population([nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))] * 4)
    >>> population
    Population of 4 networks, 3 inputs, 2 outputs, 50 parameters each
    >>> import numpy as np
    >>> population[:2].predict_proba(np.zeros((5, 3))).shape
    (2, 5, 2)
    """

    def __init__(
        self,
        networks: Sequence[Any],
        *,
        metadata: pd.DataFrame | None = None,
        input_shape: tuple[int, int, int] | None = None,
    ) -> None:
        if isinstance(networks, Population):
            metadata = networks.metadata if metadata is None else metadata
            self._assign(networks._blocks, networks._sources, networks._originals, metadata)
            return
        networks = adapters.as_network_list(networks)
        input_shape = adapters.check_input_shape(input_shape)
        records, sources = take_all_apart(networks, input_shape)
        blocks = blocks_from_records(records)
        self._assign(blocks, tuple(sources), blocks, metadata)

    @classmethod
    def from_records(
        cls,
        records: Sequence[Record],
        *,
        sources: Sequence[adapters.Source | adapters.Trained | None] | None = None,
        metadata: pd.DataFrame | None = None,
    ) -> Population:
        """Build a population from records, the form that adapters and files read.

        Parameters
        ----------
        records : sequence of Record
            One per network.
        sources : sequence of Source or None, optional
            What :meth:`to_networks` makes of the records, one per network; without a source a
            ``torch.nn.Module``.
        metadata : DataFrame, optional
            One row per network.

        Returns
        -------
        Population
            In the order of ``records``.
        """
        blocks = blocks_from_records(records)
        sources = tuple(sources) if sources is not None else (None,) * len(records)
        return cls._new(blocks, sources, blocks, metadata)

    @classmethod
    def from_blocks(
        cls,
        blocks: Sequence[Block],
        *,
        metadata: pd.DataFrame | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> Population:
        """Build a population from stacks, padded or not.

        Parameters
        ----------
        blocks : sequence of (positions, Stack)
            The networks, and where each stands in the population.
        metadata : DataFrame, optional
            One row per network.
        feature_names : sequence of str, optional
            The columns that all of them were trained on.

        Returns
        -------
        Population
            Of networks without sources.
        """
        exact = tuple(exact_blocks(blocks))
        n = sum(len(positions) for positions, _ in exact)
        source = adapters.trained_on(feature_names)
        return cls._new(exact, (source,) * n, exact, metadata)

    @classmethod
    def concatenate(cls, populations: Sequence[Population]) -> Population:
        """Join populations, one behind the other.

        Parameters
        ----------
        populations : sequence of Population
            One or more; architectures may be mixed.

        Returns
        -------
        Population
            All networks, with their sources and metadata.
        """
        kinds = {type(p).__name__ for p in populations if not isinstance(p, Population)}
        if kinds or not len(populations):
            raise TypeError(
                "Population.concatenate needs a sequence of one or more Populations. Got "
                f"{', '.join(sorted(kinds)) or 'none'}. Make one of networks with "
                "Population(networks)."
            )
        starts = np.cumsum([0, *(len(p) for p in populations)])

        def joined(name: str) -> tuple[Block, ...]:
            shifted = [
                (positions + start, stack)
                for start, population in zip(starts, populations, strict=False)
                for positions, stack in getattr(population, name)
            ]
            return join_blocks(shifted)

        blocks = originals = joined("_blocks")
        if any(p._blocks is not p._originals for p in populations):
            originals = joined("_originals")
        sources = tuple(source for p in populations for source in p._sources)
        metadata = pd.concat([p._metadata for p in populations], ignore_index=True)
        return cls._new(blocks, sources, originals, metadata)

    @classmethod
    def initialize(
        cls, architecture: Architecture | Sequence[Architecture], n: int = 1, *, random_state=None
    ) -> Population:
        """Return freshly initialised networks (uniform in +-1/sqrt(fan_in), as torch does).

        Parameters
        ----------
        architecture : Architecture or sequence of Architecture
            One architecture for all networks, or one per network (``n`` is then ignored).
        n : int, default=1
            Number of networks.
        random_state : int, Generator or None
            Seed; network ``i`` does not depend on ``n``.

        Returns
        -------
        Population
            Untrained networks.
        """
        check_in_range("n", n, owner="Population.initialize", low=0, kind="int")
        if isinstance(architecture, Architecture):
            architecture = [architecture] * n
        elif not isinstance(architecture, Sequence) or not all(
            isinstance(a, Architecture) for a in architecture
        ):
            raise TypeError(
                "The 'architecture' parameter of Population.initialize must be an Architecture "
                f"or a sequence of them. Got {architecture!r}. Widths make one: "
                "Architecture.mlp((3, 4, 2))."
            )
        return cls.from_records(initial_records(architecture, random_state))

    # -- what the networks are and compute -----------------------------------------------

    @property
    def classes(self) -> list[np.ndarray | None]:
        """Class labels of each network, in the order of its outputs; None where unknown."""
        return [adapters.classes_of(source) for source in self._sources]

    @property
    def feature_names(self) -> list[list[str] | None]:
        """Names of the columns that each network was trained on, in order; None where unknown."""
        return [adapters.feature_names_of(source) for source in self._sources]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self._blocks[0][1].device if self._blocks else torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the tensors."""
        return self._blocks[0][1].dtype if self._blocks else torch.float32

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Population:
        """Return the population with its tensors elsewhere or in another float type.

        Parameters
        ----------
        device : str or torch.device, optional
            Where the tensors go; by default they stay.
        dtype : torch.dtype, optional
            Their floating type; by default it stays.

        Returns
        -------
        Population
            With the same sources.
        """
        floating = isinstance(dtype, torch.dtype) and dtype.is_floating_point
        if dtype is not None and not floating:
            raise ValueError(
                "The 'dtype' parameter of Population.to must be a floating type, for instance "
                f"torch.float32. Got {shown(dtype)}."
            )
        device = None if device is None else check_device(device, "Population.to")
        blocks = tuple((p, s.to(device, dtype)) for p, s in self._blocks)
        if self._blocks is self._originals:
            return self._new(blocks, self._sources, blocks, self._metadata)
        originals = tuple((p, s.to(device, dtype)) for p, s in self._originals)
        return self._new(blocks, self._sources, originals, self._metadata)

    def forward(self, X: Any) -> Tensor:
        """Run every network on the same rows, without gradients in pieces to bound the memory.

        Parameters
        ----------
        X : Tensor or array-like of shape (n_samples, n_inputs)
            Rows, or images ``(n_samples, channels, height, width)``; gradients flow to them if
            they require it. A frame must have the columns that the networks were trained on.

        Returns
        -------
        Tensor of shape (n_networks, n_samples, n_outputs)
            Logits of classifiers, values of regressors.
        """
        like = torch.empty(0, device=self.device, dtype=self.dtype)
        X = check_rows(X, self.architectures, self.feature_names, like)
        grad = torch.is_grad_enabled()
        run, empty = forward if grad else run_stack, X.new_zeros(0, len(X), 0)
        # What a stack computes once and keeps may be differentiated through later.
        with torch.inference_mode(False), torch.set_grad_enabled(grad):
            return self.map(lambda stack: run(stack, X), exact=True, empty=empty)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities.

        Parameters
        ----------
        X : Tensor or array-like of shape (n_samples, n_inputs)
            Rows, or images, as for :meth:`forward`.

        Returns
        -------
        ndarray of shape (n_networks, n_samples, n_classes)
            They sum to 1 over the classes; independent ones of multilabel networks do not.
        """
        multilabel = check_classifiers(self.architectures, "predict_proba")
        with torch.no_grad():
            outputs = self.forward(X)
        return as_array(outputs.sigmoid() if multilabel else outputs.softmax(-1))

    def score(self, X: Any, y: Any) -> np.ndarray:
        """Return the accuracy of each network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_inputs)
            Rows.
        y : array-like of shape (n_samples,)
            The labels that the networks were fitted on. Where these are not known (of
            modules) or are texts, ``y`` may be class codes, 0 to n_classes - 1.

        Returns
        -------
        ndarray of shape (n_networks,)
            Share of correctly classified rows. A network whose outputs on a row are not
            finite, one that diverged in training, has that row wrong.
        """
        check_one_label(self.architectures, "score")
        with torch.no_grad():
            return accuracies(self.forward(X), y, self.classes)

    # -- edits ---------------------------------------------------------------------------

    def to_networks(self) -> list[Any]:
        """Return the networks as the kinds that came in.

        Sources are deep-copied and changed by the difference between the present weights
        and those that were read, in the source's own dtype: without an edit they are
        bit-identical. Networks without a source become ``torch.nn.Module``.

        Returns
        -------
        list of networks
            One per network.
        """
        before = after = records_of(self._originals, len(self))
        if self._blocks is not self._originals:
            after = records_of(self._blocks, len(self))
        return [
            adapters.write(source, old, new)
            for source, old, new in zip(self._sources, before, after, strict=True)
        ]

    # -- files ---------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the population to one safetensors file with a JSON header.

        Parameters
        ----------
        path : str or Path
            The file; one that is there already is replaced.
        """
        saving.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Population:
        """Read a population that :meth:`save` wrote; never runs code from the file.

        Parameters
        ----------
        path : str or Path
            May come from anybody.

        Returns
        -------
        Population
            As it was saved.
        """
        records, sources, metadata = saving.load(path)
        return cls.from_records(records, sources=sources, metadata=metadata)
