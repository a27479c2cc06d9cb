"""Sets of gradients for every head and every weight trunk: :class:`GradientTrunk`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta.metanets.gradient_sets import GradientSet, GradMetaNet, GradMetaNetPlusPlus
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.neurons import Neurons
from skmeta.metanets.statistics import StatNN
from skmeta.metanets.trunk import Encoded, Trunk, mlp
from skmeta.population import Stack

_KINDS = {"gradmetanet": GradMetaNet, "gradmetanet++": GradMetaNetPlusPlus}
_ALONE = "any"


class GradientTrunk(Trunk):
    """Trunk that looks at sets of gradients [1]_, alone or on behalf of a trunk over weights.

    Samples are pooled; what is known of each neuron then is its state, for all heads. A trunk
    over weights gets these states as further features of its neurons (section 7.3 of the paper).

    Parameters
    ----------
    graphs : sequence of WeightGraph
        Networks to expect, one graph per depth, with gradients; see
        :func:`skmeta.reading.gradient_sets.gradient_graph`.
    n_given : int, default=0
        Numbers that go with each network.
    gradients : {"gradmetanet", "gradmetanet++"}, default="gradmetanet"
        What looks at them.
    weights : callable, optional
        Class of a trunk over weights with states of neurons, or one with some parameters fixed.
    hidden_channels : int, default=16
        Width of the states; a trunk over weights has its own.
    n_layers : int, default=2
        Layers over sets of gradients; a trunk over weights has its own number.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients".

    Examples
    --------
    >>> import torch
    >>> from skmeta import Population
    >>> from skmeta.gradients import FisherSamples
    >>> from skmeta.metanets import GradientTrunk, Metanet, NeuronTrunk, Read
    >>> from skmeta.networks import Architecture
    >>> from skmeta.reading.gradient_sets import gradient_graph
    >>> networks = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> [(_, stack)] = networks.blocks
    >>> graph = gradient_graph(FisherSamples.of(stack, torch.ones(16, 5)))
    >>> trunk = GradientTrunk([graph], weights=NeuronTrunk)
    >>> Metanet(trunk, Read(trunk, n_outputs=3))(graph).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        graphs: Sequence[WeightGraph],
        *,
        n_given: int = 0,
        gradients: str = "gradmetanet",
        weights: Callable[..., Trunk] | None = None,
        hidden_channels: int = 16,
        n_layers: int = 2,
    ) -> None:
        super().__init__(hidden_channels, n_layers)
        check_option("gradients", gradients, list(_KINDS), owner="GradientTrunk")
        if not (weights is None or callable(weights)) or weights is StatNN:
            raise TypeError(
                "The 'weights' parameter of GradientTrunk must be the class of a trunk with states "
                f"of neurons, such as GraphTrunk, or None. Got {weights!r}."
            )
        if not graphs:
            raise ValueError("The 'graphs' parameter of GradientTrunk must have at least one.")
        c, n_features = hidden_channels, _set_of(graphs[0]).features.shape[-1]
        name = "n_set_layers" if gradients == "gradmetanet" else "n_layers"
        self.sets = _KINDS[gradients](n_features, hidden_channels=c, **{name: n_layers})
        self.encode_context = mlp(n_given, c, c) if n_given else None
        self.behind: Trunk | None = None
        self.pooled = {_ALONE: 4 * c}
        if weights is not None:
            own, self.sets = self.sets, copy.deepcopy(self.sets).to(graphs[0].gradients)
            with torch.no_grad():
                seen = [self._with_states(graph) for graph in graphs]
            self.sets = own
            self.behind = weights(seen, n_given=n_given)
            self.channels, self.has_edges = self.behind.channels, self.behind.has_edges
            self.pooled = self.behind.pooled

    @staticmethod
    def inputs(stack: Stack) -> WeightGraph:
        """Return the graph of networks; their gradients are not known of weights alone."""
        return WeightGraph.of(stack)

    def kind(self, inputs: WeightGraph) -> str:
        """Return the one kind there is, or what the trunk over weights says."""
        return _ALONE if self.behind is None else self.behind.kind(inputs)

    def pool(self, inputs: WeightGraph) -> Tensor:
        """Return means of the states of inputs, hidden neurons and outputs, and of all."""
        if self.behind is not None:
            return self.behind.pool(self._with_states(inputs))
        encoded = self.encode(inputs, inputs.context)
        means = Neurons.of(inputs.stack).means(encoded.neurons)
        hidden = means[:, 1:-1] if means.shape[1] > 2 else means
        return torch.cat([means[:, 0], hidden.mean(1), means[:, -1], encoded.context], 1)

    def encode(self, graph: WeightGraph, given: Tensor) -> Encoded:
        """Return the states of neurons, or what the trunk over weights makes of them."""
        if self.behind is not None:
            return self.behind.encode(self._with_states(graph), given)
        states, neurons = self._states(graph), Neurons.of(graph.stack)
        context = neurons.means(states).mean(1)
        if self.encode_context is not None:
            context = context + self.encode_context(given)
            states = neurons.hide(nn.functional.silu(states + context[:, None]))
        return Encoded(states, context)

    def _states(self, graph: WeightGraph) -> Tensor:
        states = self.sets(_set_of(graph))
        return states.mean(1) if states.ndim == 4 else states

    def _with_states(self, graph: WeightGraph) -> WeightGraph:
        states = Neurons.of(graph.stack).split(self._states(graph))
        pairs = zip(graph.nodes, states, strict=True)
        nodes = tuple(torch.cat([own, more], -1) for own, more in pairs)
        return replace(graph, nodes=nodes)


def _set_of(graph: WeightGraph) -> GradientSet:
    if graph.gradients is None:
        raise ValueError(
            "GradientTrunk looks at gradients of samples. Got a graph without any. Make it with "
            "gradient_graph(FisherSamples.of(stack, X))."
        )
    return GradientSet(graph.stack, graph.gradients)
