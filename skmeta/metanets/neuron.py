"""A trunk with states on neurons only: :class:`NeuronTrunk`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.messages import MessageTrunk, Round
from skmeta.metanets.neurons import Neurons

_MESSAGES = 32


class NeuronTrunk(MessageTrunk):
    """Trunk with states on neurons only.

    Messages travel in both directions through the weights (and through the steps, if there are
    any) as batched matrix products. It costs O(neurons) memory and learned faster per second
    than states on weights in first measurements.

    Parameters
    ----------
    graphs : sequence of WeightGraph
        Networks to expect, one graph per depth.
    n_given : int, default=0
        Numbers that go with each network.
    hidden_channels : int, default=16
        Width of the states.
    n_layers : int, default=3
        Rounds of messages.
    message_channels : int, optional
        Width of a message; by default that of the states, and 32 where numbers are given.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import NeuronTrunk
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> graphs = [NeuronTrunk.inputs(stack) for _, stack in population.depth_blocks()]
    >>> NeuronTrunk(graphs).pool(graphs[0]).shape
    torch.Size([4, 64])
    """

    def __init__(
        self,
        graphs: Sequence[WeightGraph],
        *,
        n_given: int = 0,
        hidden_channels: int = 16,
        n_layers: int = 3,
        message_channels: int | None = None,
    ) -> None:
        super().__init__(
            graphs, n_given=n_given, hidden_channels=hidden_channels, n_layers=n_layers
        )
        m = message_channels or (_MESSAGES if n_given else hidden_channels)
        self.rounds = nn.ModuleList(
            NeuronRound(hidden_channels, m, self.n_edges) for _ in range(n_layers)
        )

    def first_edges(self, edges: list[Tensor], neurons: Neurons) -> list[tuple[Tensor, Tensor]]:
        """Return what the messages in both directions are multiplied by."""
        # Sums over n incoming weights of unit size grow like the root of n (the true number).
        below, above = (
            [(e if up else e.transpose(1, 2)).flatten(2) for e in edges] for up in (True, False)
        )
        sizes = neurons.counts.rsqrt()[..., None, None].unbind(1)
        return [
            (up * size_in, down * size_out)
            for up, down, size_in, size_out in zip(below, above, sizes, sizes[1:], strict=False)
        ]


class NeuronRound(Round):
    """One round of messages in both directions.

    A layer with fewer than ``n_edges`` edge channels uses the first messages of a neuron.

    Parameters
    ----------
    channels, message_channels : int
        Widths of states and messages.
    n_edges : int
        Channels of the weights.
    """

    def __init__(self, channels: int, message_channels: int, n_edges: int) -> None:
        super().__init__(channels, message_channels)
        self.n_edges = n_edges
        self.up = nn.Linear(channels, n_edges * message_channels, bias=False)
        self.down = nn.Linear(channels, n_edges * message_channels, bias=False)

    def messages(
        self, neurons: Neurons, states: Tensor, edges: list[tuple[Tensor, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Multiply what the neurons send by the weights."""
        sent_up, sent_down = neurons.split(self.up(states)), neurons.split(self.down(states))
        below = [up @ self._sent(x, up) for x, (up, _) in zip(sent_up, edges, strict=False)]
        above = [
            down @ self._sent(x, down) for x, (_, down) in zip(sent_down[1:], edges, strict=True)
        ]
        return below, above, edges

    def _sent(self, messages: Tensor, edges: Tensor) -> Tensor:
        """``(n, width, n_edges * m) -> (n, width * channels, m)``, to match flattened edges."""
        n, width, size = messages.shape
        messages = messages.view(n, width, self.n_edges, size // self.n_edges)
        return messages[:, :, : edges.shape[2] // width].flatten(1, 2)
