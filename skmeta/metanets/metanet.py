"""A metanetwork is a trunk and a head: :class:`Metanet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta.metanets.edit import Edit
from skmeta.metanets.graph import GraphTrunk
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.neuron import NeuronTrunk
from skmeta.metanets.nfn import NFN
from skmeta.metanets.read import Read
from skmeta.metanets.statistics import StatNN
from skmeta.metanets.trunk import Trunk
from skmeta.population import Stack, Weights
from skmeta.population.mapping import at_once, n_numbers

TRUNKS: dict[str, tuple[type[Trunk], dict[str, Any]]] = {
    "nfn-hnp": (NFN, {"symmetry": "hnp"}),
    "nfn-np": (NFN, {"symmetry": "np"}),
    "nfn-pointwise": (NFN, {"symmetry": "pointwise"}),
    "monomial": (NFN, {"symmetry": "monomial"}),
    "graph": (GraphTrunk, {}),
    "neuron": (NeuronTrunk, {}),
    "statistics": (StatNN, {}),
}
"""Trunks by name: the class, and what it is built with. All of them read; all with states of
neurons edit."""

EDITING_TRUNKS = tuple(name for name, (kind, _) in TRUNKS.items() if kind.has_neurons)
"""Names of the trunks that edit, too."""


class Metanet(nn.Module):
    """A neural network whose data are networks: a trunk that looks, a head that reads or edits.

    Parameters
    ----------
    trunk : Trunk
        One of those in ``TRUNKS``, or another.
    head : Read or Edit
        Built for the trunk.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import Metanet
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> reader = Metanet.reader("nfn-hnp", stacks, n_outputs=2)
    >>> reader(reader.inputs(stacks[0])).shape
    torch.Size([4, 2])
    """

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    @classmethod
    def reader(
        cls,
        trunk: str | type[Trunk],
        stacks: Sequence[Stack],
        n_outputs: int = 1,
        *,
        head_channels: int = 128,
        **options: Any,
    ) -> Metanet:
        """Build a metanetwork with the head :class:`Read`.

        Parameters
        ----------
        trunk : str or Trunk class
            One of ``TRUNKS``.
        stacks : sequence of Stack
            Training networks, one stack per depth as from ``Population.depth_blocks()``; they
            tell the architectures to expect. What is learned from their weights (means and
            deviations) is kept in buffers.
        n_outputs : int, default=1
            Numbers per network.
        head_channels : int, default=128
            Width of the head.
        **options
            Of the trunk: ``hidden_channels``, ``n_layers`` and others.

        Returns
        -------
        Metanet
            Maps what ``inputs`` returns for a stack to ``(n, n_outputs)``.
        """
        kind, fixed = _find(trunk)
        check_stacks(stacks, kind.__name__)
        built = kind([kind.inputs(stack) for stack in stacks], **fixed, **options)
        return cls(built, Read(built, n_outputs, head_channels=head_channels))

    @classmethod
    def editor(
        cls,
        trunk: str | type[Trunk],
        graphs: Sequence[WeightGraph],
        *,
        n_edits: int = 1,
        **options: Any,
    ) -> Metanet:
        """Build a metanetwork with the head :class:`Edit`.

        Parameters
        ----------
        trunk : str or Trunk class
            One of ``TRUNKS`` with states of neurons.
        graphs : sequence of WeightGraph
            Training networks, one graph per depth, all with the same features.
        n_edits : int, default=1
            Of the head: the edit is the mean of so many.
        **options
            Of the trunk: ``hidden_channels``, ``n_layers`` and others.

        Returns
        -------
        Metanet
            Maps a graph and lam, ``(n,)``, to an edit.
        """
        kind, fixed = _find(trunk)
        if not kind.has_neurons:
            raise ValueError(
                f"Networks are edited by a trunk with states of neurons. {kind.__name__} has none. "
                f"Use one of {', '.join(EDITING_TRUNKS)}."
            )
        built = kind(graphs, n_given=Edit.n_given(graphs[0]), **fixed, **options)
        return cls(built, Edit(built, len(graphs[0].steps), n_edits=n_edits))

    def inputs(self, stack: Stack) -> Any:
        """Return what a reading takes, computed once for many readings.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        inputs
            With a length and ``select(rows)``.
        """
        return self.trunk.inputs(stack)

    def numbers(self, stack: Stack) -> int:
        """Return how many numbers are held of each network, for ``Population.map``.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        int
            States of the weights, or of the neurons.
        """
        # A third of the weights' states is the fastest: a layer and its gradients.
        states = n_numbers(stack) // 3 if self.trunk.has_edges else sum(stack.widths)
        return self.trunk.channels * states

    def forward(self, inputs: Any, *given: Tensor) -> Any:
        """Read or edit networks.

        Parameters
        ----------
        inputs : WeightGraph
            Networks of one depth, or what else ``inputs`` returns.
        *given : Tensor
            What the head takes beside: lam for an edit, nothing to read.

        Returns
        -------
        Tensor or Weights
            What the head returns.
        """
        if not self.trunk.has_edges:
            return self.head(self.trunk, inputs, *given)
        # Larger tensors of edge states would go back to the system when they are freed.
        size = at_once(self.numbers(inputs.stack), inputs.stack.device)
        first, *others = (
            self.head(self.trunk, inputs.select(rows), *(x[rows] for x in given))
            if size < len(inputs)
            else self.head(self.trunk, inputs, *given)
            for rows in torch.arange(len(inputs), device=inputs.stack.device).split(size)
        )
        if not others:
            return first
        if isinstance(first, Tensor):
            return torch.cat([first, *others])
        return Weights.cat([first, *others])


def _find(trunk: str | type[Trunk]) -> tuple[Any, dict[str, Any]]:
    if isinstance(trunk, type):
        return trunk, {}
    check_option("trunk", trunk, list(TRUNKS), owner="Metanet")
    return TRUNKS[trunk]


def check_stacks(stacks: Sequence[Stack], owner: str) -> None:
    """Refuse all but one or more stacks."""
    several = isinstance(stacks, Sequence) and len(stacks)
    if not several or not all(isinstance(stack, Stack) for stack in stacks):
        raise TypeError(
            f"The 'stacks' of {owner} must be one stack of networks per depth. Got "
            f"{stacks!r:.200}. Pass [stack for _, stack in population.depth_blocks()]."
        )
