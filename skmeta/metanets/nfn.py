"""Neural functional networks: :class:`NFN`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta.metanets.codes import N_ACTIVATIONS
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.invariant import ENCODINGS, SYMMETRIES, IOEncoding, invariants, pool
from skmeta.metanets.layout import hide_padding, layout_of
from skmeta.metanets.monomial import GROUPS, MonomialMap, with_path_norms
from skmeta.metanets.neurons import Neurons
from skmeta.metanets.nf_layer import MAPS
from skmeta.metanets.stack_channels import (
    StackChannels,
    Standardize,
    by_key,
    is_normalised,
    kernels_of,
    key_among,
    masks_of,
    with_graph_channels,
)
from skmeta.metanets.trunk import Encoded, Trunk, mlp
from skmeta.population import Stack
from skmeta.population.symmetries import HOMOGENEOUS, ODD

_CALIBRATE = 256  # networks
_COMMUTING = {"scale": HOMOGENEOUS, "sign": ODD}


class NFN(Trunk):
    """Neural functional network: NF-layers and invariant pooling (paper 002 [1]_).

    Weights and biases go through equivariant layers with a ReLU behind each and an invariant
    pooling. They come divided by the root mean square of their layer, with its logarithm as a
    further channel of the biases, and standardised by what the training networks have. If any
    of these is normalised, the scale, shift, mean and log variance of each neuron are further
    channels of its bias. There are layers for each depth (and choice of filter shapes) of the
    training networks.

    Steps of a graph are further channels of weights and biases, features of neurons of the biases
    (those of inputs, of the first weights). Numbers that go with a network, and the share of
    its hidden layers with each activation, scale the channels behind every layer.

    Parameters
    ----------
    graphs : sequence of WeightGraph
        Training networks, one graph per depth.
    n_given : int, default=0
        Numbers that go with each network.
    symmetry : {"np", "hnp", "pointwise", "monomial"}, default="hnp"
        "np", "hnp", "pointwise": see :class:`NFLayer`. "monomial" is invariant under scalings
        of hidden neurons too: all activations must be positively homogeneous (relu,
        leaky_relu, identity), or all odd (tanh, identity), then under changes of sign. Under
        scalings, the path norms of the neurons are further channels, so that what remains
        when scales are divided out is not the sign alone.
    encoding : {"sinusoidal", "learned"}, default="sinusoidal"
        Codes that tell inputs and outputs apart, for "np" and "pointwise".
    hidden_channels : int, default=16
        Channels of the features.
    n_layers : int, default=3
        Equivariant layers.

    References
    ----------
    .. [1] Zhou et al., "Permutation equivariant neural functionals", 2023.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import NFN
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 8, 2)), 4, random_state=0)
    >>> graphs = [NFN.inputs(stack) for _, stack in population.depth_blocks()]
    >>> NFN(graphs, symmetry="np").pool(graphs[0]).shape
    torch.Size([4, 96])
    """

    has_edges: bool = True

    def __init__(
        self,
        graphs: Sequence[WeightGraph],
        *,
        n_given: int = 0,
        symmetry: str = "hnp",
        encoding: str = "sinusoidal",
        hidden_channels: int = 16,
        n_layers: int = 3,
    ) -> None:
        super().__init__(hidden_channels, n_layers)
        check_option("symmetry", symmetry, SYMMETRIES, owner="NFN")
        check_option("encoding", encoding, ENCODINGS, owner="NFN")
        stacks = [graph.stack for graph in graphs]
        self.normalised = is_normalised(stacks)
        self.group = _group(stacks) if symmetry == "monomial" else "none"
        c = hidden_channels
        if n_given:
            self.encode_context = mlp(n_given + N_ACTIVATIONS, c, c)
        self.parts, self.pooled = nn.ModuleDict(), {}
        for key, numbers in by_key(stacks).items():
            alike = [graphs[number] for number in numbers]
            part = _Part(
                alike, symmetry, self.group, encoding, self.normalised, bool(n_given), c, n_layers
            )
            self.parts[key], self.pooled[key] = part, part.n_pooled

    @staticmethod
    def inputs(stack: Stack) -> WeightGraph:
        """Return the graph of networks."""
        return WeightGraph.bare(stack)

    def kind(self, inputs: WeightGraph) -> str:
        """Return the name of depth and filter shapes."""
        if self.group != "none":
            _group([inputs.stack], [self.group])
        elif not self.normalised and is_normalised([inputs.stack]):
            raise ValueError(
                "NFN was built for networks without normalisation and does not see that of "
                "others. Got networks with normalisation. Build or fit it with such networks "
                "among the others."
            )
        return key_among(self.parts, inputs.stack, "NFN")

    def pool(self, inputs: WeightGraph) -> Tensor:
        """Return standardised means of the features over all free neurons."""
        part = self._part_for(inputs)
        return part.standardize(part.pool(inputs))

    def encode(self, graph: WeightGraph, given: Tensor) -> Encoded:
        """Return the features of weights and neurons."""
        context = self.encode_context(torch.cat([given, graph.activation_shares], 1))
        return self._part_for(graph).encode(graph, context)

    def _part_for(self, graph: WeightGraph) -> _Part:
        part = self.parts[self.kind(graph)]
        assert isinstance(part, _Part)
        return part


def _group(stacks: Sequence[Stack], groups: Sequence[str] = GROUPS) -> str:
    """Return which of some factors leave the networks' functions as they are."""
    architectures = [a for stack in stacks for a in stack.architectures]
    activations = {stage.activation for a in architectures for stage in a.stages[:-1]}
    plain = not any(x.norm != "none" or x.skips for a in architectures for x in a.stages)
    allowed = {group: _COMMUTING[group] for group in groups}
    for group, names in allowed.items():
        if plain and activations <= set(names):
            return group
    raise ValueError(
        "NFN with symmetry='monomial' reads networks without normalisation and skip connections "
        f"whose hidden activations are all in {' or all in '.join(map(str, allowed.values()))}. "
        f"Got {sorted(activations)}{'' if plain else ' with normalisation or skip connections'}. "
        "Select such networks or use 'hnp'."
    )


class _Part(nn.Module):
    """Inputs, layers and pooling for the networks of one depth and choice of filter shapes."""

    def __init__(
        self,
        graphs: Sequence[WeightGraph],
        symmetry: str,
        group: str,
        encoding: str,
        normalised: bool,
        gated: bool,
        channels: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.symmetry, self.group = symmetry, group
        # To be looked at and not to be run: images and strides, which weights do not show, differ.
        stack = Stack.merge([graph.stack for graph in graphs])
        stack = stack.to(torch.get_default_device(), torch.float32)
        self.ends = (stack.widths[0], stack.widths[-1])
        self._check(stack)
        self.layout = layout_of(stack.widths, symmetry, kernels_of(stack))
        self.channels = StackChannels(stack, normalised, relative=group == "none")
        encoded = symmetry in ("np", "pointwise")
        self.encode_ends = IOEncoding(*self.ends, encoding) if encoded else None
        self.layers, self.gates = nn.ModuleList(), nn.ModuleList()
        # Evenly spaced: networks of one width stand together.
        n = _CALIBRATE // len(graphs) or 1
        rows = [sorted({i * len(graph) // n for i in range(n)}) for graph in graphs]
        some = [g.select(torch.tensor(r, device="cpu")) for g, r in zip(graphs, rows, strict=True)]
        previous = [x.shape[1] for x in self._inputs(some[0])]
        for _ in range(n_layers):
            new = [channels * fold for fold in self.layout.folds]
            if group == "none":
                self.layers.append(MAPS[symmetry](self.layout, previous, new))
            else:
                self.layers.append(MonomialMap(self.layout, previous, new, group))
            if gated:
                self.gates.append(nn.Linear(channels, channels * len(new)))
            previous = new
        self.n_pooled = sum(previous)
        with torch.no_grad():
            self.to(some[0].stack.device, some[0].stack.dtype)
            pooled = torch.cat([self.pool(graph) for graph in some])
            self.standardize = Standardize(pooled.to(stack.device, stack.dtype))
            self.to(stack.device, stack.dtype)
        if gated:
            self.summarize = nn.Linear(self.n_pooled, channels)
        if gated and group != "none":
            # What scales as weights and biases do, for edits of them.
            self.like_weight, self.like_bias = (nn.Linear(channels, 1, bias=False) for _ in "wb")

    def features(self, graph: WeightGraph, context: Tensor | None = None) -> list[Tensor]:
        """Return folded features behind the last layer."""
        self._check(graph.stack)
        masks, features = masks_of(graph.stack), self._inputs(graph)
        activation = torch.tanh if self.group == "sign" else torch.relu
        for number, layer in enumerate(self.layers):
            features = [activation(x) for x in layer(features, masks)]
            if context is not None:
                features = self._gated(features, self.gates[number](context))
        return features

    def pool(self, graph: WeightGraph, features: list[Tensor] | None = None) -> Tensor:
        """Return means of features, ``(n, n_pooled)``."""
        features = self.features(graph) if features is None else features
        return pool(self.layout, features, masks_of(graph.stack), self.group)

    def encode(self, graph: WeightGraph, context: Tensor) -> Encoded:
        """Return states of neurons, weights and networks."""
        folded = self.features(graph, context)
        context = context + self.summarize(self.standardize(self.pool(graph, folded)))
        pairs = zip(folded, self.layout.states, strict=True)
        weights, biases = self.layout.unfold([invariants(x, s, self.group) for x, s in pairs])
        edges = [w.movedim(1, -1) for w in weights]
        n_rows = Neurons.of(graph.stack).counts[:, 1, None, None]
        states = [edges[0].sum(1) / n_rows, *(b.transpose(1, 2) for b in biases)]
        units = None if self.group == "none" else self._units(folded)
        return Encoded(torch.cat(states, 1), context, edges, units)

    def _units(self, folded: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return numbers for each weight and bias that scale as these do."""
        weights, biases = self.layout.unfold(folded)
        sizes = zip(self.channels.weight_spread, self.channels.bias_spread, strict=True)
        return [
            (
                a * self.like_weight(w.movedim(1, -1))[..., 0],
                b * self.like_bias(v.transpose(1, 2))[..., 0],
            )
            for (a, b), w, v in zip(sizes, weights, biases, strict=True)
        ]

    def _gated(self, features: list[Tensor], gates: Tensor) -> list[Tensor]:
        """Multiply the channels of features, ``(n, n_tensors * channels)``."""
        scaled = []
        for x, gate, fold in zip(
            features, gates.chunk(len(features), 1), self.layout.folds, strict=True
        ):
            factor = 1 + gate.repeat_interleave(fold, 1)
            scaled.append(x * factor.view(*factor.shape, *[1] * (x.ndim - 2)))
        return scaled

    def _inputs(self, graph: WeightGraph) -> list[Tensor]:
        """Folded inputs of the first layer."""
        weights, biases = self.channels(graph.stack)
        if self.group == "scale":
            weights, biases = with_path_norms(weights, biases)
        weights, biases = with_graph_channels(graph, weights, biases)
        masks = masks_of(graph.stack)
        features = [
            hide_padding(x, states, masks)
            for x, states in zip(self.layout.fold(weights, biases), self.layout.states, strict=True)
        ]
        if self.encode_ends is None:
            return features
        weights, biases = self.encode_ends(features[::2], features[1::2], masks)
        return [x for pair in zip(weights, biases, strict=True) for x in pair]

    def _check(self, stack: Stack) -> None:
        """Refuse numbers of inputs and outputs that the part has no parameters for."""
        found = {(a.widths[0], a.widths[-1]) for a in stack.architectures}
        exact = self.symmetry in ("hnp", "monomial")
        if exact:
            fits = found == {self.ends}
        else:
            fits = all(a <= b for pair in found for a, b in zip(pair, self.ends, strict=True))
        if not fits:
            way_out = "Build or fit it with such networks" + exact * ", or use 'np' if they differ"
            raise ValueError(
                f"NFN with symmetry={self.symmetry!r} reads networks of depth {stack.depth} with "
                f"{'' if exact else 'at most '}{self.ends[0]} inputs and {self.ends[1]} outputs. "
                f"Got (inputs, outputs) {sorted(found)}. {way_out}."
            )
