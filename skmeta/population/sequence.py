"""Networks as a sequence of positions in stacks: :class:`NetworkSequence`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from skmeta._plain import frame_from_plain, frame_to_plain, plain_array
from skmeta.networks import adapters
from skmeta.networks.architecture import Architecture, summarise
from skmeta.networks.record import Record
from skmeta.population import symmetries
from skmeta.population._namespace import NAMESPACE
from skmeta.population.blocks import (
    Block,
    blocks_from_records,
    exact_blocks,
    join_blocks,
    records_of,
    take_blocks,
    where_of,
)
from skmeta.population.mapping import Numbers, map_population, stacks

_ONE_AXIS = "A Population has one axis: index it as population[key]."


def _check_metadata(metadata: pd.DataFrame | None, n: int) -> pd.DataFrame:
    """Return a table with one row per network, numbered from 0; one without columns for None."""
    if metadata is None:
        metadata = pd.DataFrame(index=range(n))
    if not isinstance(metadata, pd.DataFrame):
        raise TypeError(
            "The 'metadata' of a Population must be a DataFrame. Got "
            f"{type(metadata).__name__}. Pass pd.DataFrame(metadata)."
        )
    if len(metadata) != n:
        raise ValueError(
            "The 'metadata' of a Population must have one row per network. Got "
            f"{len(metadata)} rows for {n} networks."
        )
    return metadata.reset_index(drop=True)


class NetworkSequence(Sequence):
    """The part of a :class:`Population` that moves networks about: it computes no outputs.

    It is a sequence in the way in which scikit-learn and joblib use one.
    """

    def _assign(
        self,
        blocks: tuple[Block, ...],
        sources: tuple[adapters.Source | adapters.Trained | None, ...],
        originals: tuple[Block, ...],
        metadata: pd.DataFrame | None,
    ) -> None:
        self._blocks = blocks
        self._sources = sources
        # The stacks before any edit: an edit is applied to a source as a difference to them.
        self._originals = originals
        self._where = where_of(blocks, len(sources))
        self._metadata = _check_metadata(metadata, len(sources))

    @classmethod
    def _new(cls, *fields: Any) -> Self:
        population = cls.__new__(cls)
        population._assign(*fields)
        return population

    @abstractmethod
    def to_networks(self) -> list[Any]:
        """Return the networks one by one."""

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def shape(self) -> tuple[int]:
        """``(n_networks,)``."""
        return (len(self),)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            if len(key) != 2 or key[1] is not Ellipsis:
                raise IndexError(_ONE_AXIS)
            key = key[0]
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):
                raise IndexError(f"Network {key} of a population of {len(self)} does not exist.")
            return self._take([int(key) % len(self)]).to_networks()[0]
        positions = np.arange(len(self))[key]
        if positions.ndim != 1:
            raise IndexError(_ONE_AXIS)
        return self._take(positions)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_networks())

    def _take(self, positions: Sequence[int] | np.ndarray) -> Self:
        positions = np.asarray(positions, dtype=np.int64)
        blocks = originals = take_blocks(self._blocks, self._where, positions)
        if self._blocks is not self._originals:  # an edit may have grouped them in another way
            where = where_of(self._originals, len(self))
            originals = take_blocks(self._originals, where, positions)
        sources = tuple(self._sources[i] for i in positions)
        return self._new(blocks, sources, originals, self._metadata.iloc[positions])

    def __getstate__(self) -> dict[str, Any]:
        # Equal populations pickle to equal bytes, whatever they were put together from.
        blocks = originals = self._plain_blocks(self._blocks)
        if self._blocks is not self._originals:
            originals = self._plain_blocks(self._originals)
        return {
            "blocks": blocks,
            "originals": originals,
            "sources": self._sources,
            "metadata": frame_to_plain(self._metadata),
        }

    @staticmethod
    def _plain_blocks(blocks: Sequence[Block]) -> tuple[Block, ...]:
        return tuple((plain_array(positions), stack) for positions, stack in join_blocks(blocks))

    def __setstate__(self, state: dict[str, Any]) -> None:
        metadata = frame_from_plain(state["metadata"], len(state["sources"]))
        self._assign(state["blocks"], state["sources"], state["originals"], metadata)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return NAMESPACE

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = np.empty(len(self), dtype=object)
        for i, network in enumerate(self.to_networks()):
            array[i] = network  # array[:] = [...] would look into a Sequential
        return array

    def __repr__(self) -> str:
        n = len(self)
        if not n:
            return "Population of 0 networks"
        return f"Population of {n} network{'s' * (n != 1)}, {summarise(self.architectures)}"

    @property
    def metadata(self) -> pd.DataFrame:
        """One row per network, a copy: ``Population(population, metadata=table)`` sets another."""
        return self._metadata.copy()

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """The spec of each network, in order."""
        stacks = [stack for _, stack in self._blocks]
        return tuple(stacks[b].architectures[r] for b, r in self._where)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Positions and stacks of networks with identical widths."""
        return self._blocks

    def depth_blocks(self) -> list[Block]:
        """Stack networks of the same depth.

        Convolutional networks share a stack if their images and convolutions agree.

        Returns
        -------
        list of (positions, Stack)
            Padded to the widest, from the least depth to the largest.
        """
        return list(stacks(self))

    def map(
        self,
        function: Callable[..., Any],
        *others: Any,
        numbers: Numbers | None = None,
        exact: bool = False,
        empty: Any = None,
    ) -> Any:
        """Do something for every network: in stacks, in pieces that fit, back in order.

        Parameters
        ----------
        function : callable
            ``function(stack, *parts)``, with the parts of ``others`` that belong to the stack.
            What it gives for a network must not depend on the other networks of the stack.
        *others : Population, Tensor, ndarray or sequence
            One entry for each network, for instance seeds; ``np.arange(len(population))`` says
            where the networks stand. The part of a Population is a Stack.
        numbers : int or callable, optional
            How many numbers the function holds for a network, for instance the states on all
            rows, or ``numbers(stack)``, how many for each of a stack: it is then called with as
            many networks as fit. By default it is called once for each depth.
        exact : bool, default=False
            Stack networks of identical widths only. By default networks of one depth (and of
            the same images and convolutions) are padded to common widths.
        empty : object, optional
            What to return if there are no networks.

        Returns
        -------
        Tensor, ndarray, list, Population, tuple, dict or None
            What the function returned, joined in the order of the networks: tensors and arrays
            of shape ``(n, ...)``, lists of n values; stacks become a Population with the sources
            and metadata of this one. Tuples and dicts of these are joined one by one.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from skmeta import Population
        >>> from skmeta.networks import Architecture
        >>> specs = [Architecture.mlp((3, width, 2)) for width in (4, 8)]
        >>> population = Population.initialize(specs, random_state=0)
        >>> population.map(lambda stack, lam: lam * stack.depth, np.array([0.1, 0.2]))
        array([0.2, 0.4])
        >>> population.map(lambda stack: stack.with_params(stack.params.map(torch.zeros_like)))
        Population of 2 networks, 3 inputs, 2 outputs, 26 to 50 parameters
        """
        if not len(self):
            return empty
        return map_population(function, self, others, numbers, exact)

    def with_blocks(self, blocks: Sequence[Block]) -> Self:
        """Return the same networks with other weights, for instance edited ones.

        Parameters
        ----------
        blocks : sequence of (positions, Stack)
            New weights of every network, in stacks of any grouping, padded or not.

        Returns
        -------
        Population
            With the same sources and metadata.
        """
        joined = originals = join_blocks(list(exact_blocks(blocks)))
        # Networks without a source are all that their stacks hold.
        if any(isinstance(source, adapters.Source) for source in self._sources):
            originals = self._originals
        return self._new(joined, self._sources, originals, self._metadata)

    def records(self) -> list[Record]:
        """Return each network as an architecture and its unpadded tensors.

        Returns
        -------
        list of Record
            One per network.
        """
        return records_of(self._blocks, len(self))

    def permuted(self, random_state: Any = None) -> Self:
        """Return functionally equal networks with randomly permuted hidden neurons.

        Parameters
        ----------
        random_state : int, Generator or None
            Seed.

        Returns
        -------
        Population
            Of the same architectures.
        """
        return self._from_transformed(symmetries.permute(self.records(), random_state))

    def rescaled(self, random_state: Any = None, *, max_scale: float = 2.0) -> Self:
        """Return functionally equal networks with rescaled hidden neurons.

        Neurons are multiplied by positive factors where the activation is positively
        homogeneous (relu, leaky_relu, identity), by signs where it is odd (tanh, identity).

        Parameters
        ----------
        random_state : int, Generator or None
            Seed.
        max_scale : float, default=2.0
            Factors are log-uniform from ``1 / max_scale`` to ``max_scale``; at least 1.

        Returns
        -------
        Population
            Of the same architectures.
        """
        records = symmetries.rescale(self.records(), random_state, max_scale=max_scale)
        return self._from_transformed(records)

    def _from_transformed(self, records: list[Record]) -> Self:
        return self.with_blocks(blocks_from_records(records))
