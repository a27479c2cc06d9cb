"""A metanetwork that reads numbers off networks: :class:`Reader`."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from skmeta._random import local_draws
from skmeta.metanets import Metanet, Quasi
from skmeta.metanets.templates import template
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.population.mapping import n_numbers

_CALIBRATION_NETWORKS = 512


@dataclass
class Reader:
    """A metanetwork that maps networks to numbers, and what it was built as and for.

    Parameters
    ----------
    metanet : Metanet or Quasi
        Maps what its ``inputs`` returns for a stack to ``(n, n_outputs)``.
    name : str
        Its trunk, one of ``skmeta.metanets.TRUNKS``.
    n_outputs : int
        Numbers per network.
    hidden_channels : int
        Numbers that it computes for every weight or neuron; they bound the networks at once.
    n_layers : int
        Number of its layers.
    quasi : bool
        Whether a quasi-equivariant layer is in front.
    templates : tuple of Architecture
        The architectures that it reads, as of :func:`template`.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.networks import Architecture
    >>> from skmeta.reading import Reader
    >>> networks = Population.initialize(Architecture.mlp((3, 4, 2)), 5, random_state=0)
    >>> Reader.build(networks, "statistics", n_outputs=2).read(networks).shape
    (5, 2)
    """

    metanet: Metanet | Quasi
    name: str
    n_outputs: int
    hidden_channels: int
    n_layers: int
    quasi: bool
    templates: tuple[Architecture, ...]

    @classmethod
    def build(
        cls,
        population: Population,
        name: str,
        *,
        n_outputs: int = 1,
        hidden_channels: int = 16,
        n_layers: int = 3,
        quasi: bool = False,
        seed: int = 0,
    ) -> Reader:
        """Return a reader that is not trained yet.

        Parameters
        ----------
        population : Population
            The networks to read. The metanetwork sees all kinds of them, but not more of each
            depth than it needs to standardise.
        name : str
            One of ``skmeta.metanets.TRUNKS``.
        n_outputs : int, default=1
            Numbers per network.
        hidden_channels : int, default=16
            Numbers that the metanetwork computes for every weight or neuron.
        n_layers : int, default=3
            Number of its layers.
        quasi : bool, default=False
            Put a quasi-equivariant layer in front.
        seed : int, default=0
            Draws what the metanetwork starts with.

        Returns
        -------
        Reader
            On the CPU.
        """
        stacks = []
        for _, stack in population.depth_blocks():
            last = {spec: row for row, spec in enumerate(stack.architectures)}
            kinds = {template(spec): last[spec] for spec in sorted(last, key=last.__getitem__)}
            some = np.linspace(0, len(stack) - 1, _CALIBRATION_NETWORKS).astype(int)
            stacks.append(stack.select(sorted({*kinds.values(), *some.tolist()})))
        with local_draws(seed):
            metanet = Metanet.reader(
                name, stacks, n_outputs, hidden_channels=hidden_channels, n_layers=n_layers
            )
            built = Quasi(metanet, stacks) if quasi else metanet
        specs = dict.fromkeys(population.architectures)
        templates = tuple(dict.fromkeys(map(template, specs)))
        return cls(built, name, n_outputs, hidden_channels, n_layers, quasi, templates)

    def read(self, population: Population) -> np.ndarray:
        """Return the numbers of each network.

        Parameters
        ----------
        population : Population
            Any number of networks; the result is computed in their floating type, where the
            metanetwork is.

        Returns
        -------
        ndarray of shape (n, n_outputs)
            As float64.

        Raises
        ------
        ValueError
            If some are not finite.
        """
        like = next(self.metanet.parameters())
        population = population.to(like.device)
        metanet = self.metanet
        if population.dtype != like.dtype:
            metanet = deepcopy(metanet).to(population.dtype)
        with torch.no_grad():
            read = population.map(
                lambda stack: metanet(metanet.inputs(stack)),
                numbers=lambda x: self.hidden_channels * n_numbers(x),
            )
        outputs = read.double().cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(outputs).all(1))
        if len(bad):
            raise ValueError(
                f"The reading of network {bad[0]} (and of {len(bad) - 1} more) is not finite, "
                "probably because its weights are far larger than those of the networks in fit. "
                "Leave it out."
            )
        return outputs
