"""What every trunk of a metanetwork can do: :class:`Trunk`; what it says: :class:`Encoded`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets.inputs import WeightGraph
from skmeta.population import Stack


def mlp(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """Two linear maps with a SiLU between them."""
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, n_out))


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a trunk makes of ``n`` networks of one depth, for heads that act on their parts.

    A hidden permutation permutes states of neurons and weights.

    Attributes
    ----------
    neurons : Tensor of shape (n, all neurons, c)
        States of the neurons, side by side from the inputs to the outputs.
    context : Tensor of shape (n, c)
        State of the network as a whole.
    edges : list of Tensor, optional
        States of the weights, ``(n, out, in, c)`` per layer; None where the trunk has none.
    units : list of (Tensor, Tensor), optional
        Per layer, what an edit of weights ``(n, out, in)`` and of biases ``(n, out)`` is counted
        in; by default the root mean square of the layer's weights. A trunk that is equivariant
        under scalings of neurons, with invariant states, gives units that scale.
    """

    neurons: Tensor
    context: Tensor
    edges: list[Tensor] | None = None
    units: list[tuple[Tensor, Tensor]] | None = None


class Trunk(nn.Module, ABC):
    """Base of the part of a metanetwork that looks at networks.

    A head asks it for invariant features (to read) or for states of neurons and weights that
    move with hidden permutations (to edit). Neither depends on padding nor on the other
    networks of a stack.

    Parameters
    ----------
    hidden_channels : int
        Width of the states.
    n_layers : int
        Layers, or rounds of messages.

    Attributes
    ----------
    channels : int
        Width of the states.
    pooled : dict of str to int
        Number of invariant features of each kind of networks that it has parameters for.
    has_edges : bool
        Whether weights have states of their own.
    has_neurons : bool
        Whether neurons have; without, networks can be read and not edited.
    """

    has_edges: bool = False
    has_neurons: ClassVar[bool] = True

    pooled: dict[str, int]

    def __init__(self, hidden_channels: int, n_layers: int) -> None:
        super().__init__()
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner=type(self).__name__, low=1, kind="int")
        self.channels = hidden_channels

    @staticmethod
    @abstractmethod
    def inputs(stack: Stack) -> Any:
        """Return what is read of networks, computed once for many readings.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        inputs
            With a length, ``select(rows)`` and ``activation_shares``.
        """

    @abstractmethod
    def kind(self, inputs: Any) -> str:
        """Return which kind of networks these are, one of ``pooled``; refuse others.

        Parameters
        ----------
        inputs : WeightGraph
            Or what else :meth:`inputs` returns.

        Returns
        -------
        str
            The kind.
        """

    @abstractmethod
    def pool(self, inputs: Any) -> Tensor:
        """Return invariant features.

        Parameters
        ----------
        inputs : WeightGraph
            Or what else :meth:`inputs` returns.

        Returns
        -------
        Tensor of shape (n, pooled[kind])
            Of each network.
        """

    @abstractmethod
    def encode(self, graph: WeightGraph, given: Tensor) -> Encoded:
        """Return states of neurons, weights and networks.

        Parameters
        ----------
        graph : WeightGraph
            ``n`` networks of one depth.
        given : Tensor of shape (n, n_given)
            Numbers that go with each network.

        Returns
        -------
        Encoded
            The states.
        """
