"""Neural functional networks: :class:`NFN`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range, check_option
from skmeta.metanets.invariant import ENCODINGS, SYMMETRIES, IOEncoding, pool
from skmeta.metanets.layout import hide_padding, layout_of
from skmeta.metanets.monomial import GROUPS, MonomialMap, with_path_norms
from skmeta.metanets.nf_layer import MAPS
from skmeta.metanets.reading import ReadingMetanet, Standardize
from skmeta.metanets.stack_channels import (
    StackChannels,
    by_key,
    is_normalised,
    kernels_of,
    masks_of,
    part_for,
)
from skmeta.population import Stack
from skmeta.population.symmetries import HOMOGENEOUS, ODD

_CALIBRATE = 256  # networks
_COMMUTING = {"scale": HOMOGENEOUS, "sign": ODD}


class NFN(ReadingMetanet):
    """Neural functional network: NF-layers, invariant pooling and a head (paper 002 [1]_).

    Weights and biases go through equivariant layers with a ReLU behind each and an invariant
    pooling. They come divided by the root mean square of their layer, with its logarithm as a
    further channel of the biases, and standardised by what the training networks have. If any
    of these is normalised, the scale, shift, mean and log variance of each neuron are further
    channels of its bias. There is a trunk of layers for each depth (and choice of filter
    shapes) of the training networks; all share the head.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth.
    n_outputs : int, default=1
        Numbers per network.
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
    head_channels : int, default=128
        Width of the head.

    References
    ----------
    .. [1] Zhou et al., "Permutation equivariant neural functionals", 2023.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import NFN
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 8, 2)), 4, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> NFN(stacks, symmetry="np")(stacks[0]).shape
    torch.Size([4, 1])
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        n_outputs: int = 1,
        *,
        symmetry: str = "hnp",
        encoding: str = "sinusoidal",
        hidden_channels: int = 16,
        n_layers: int = 3,
        head_channels: int = 128,
    ) -> None:
        super().__init__(stacks, n_outputs, head_channels=head_channels)
        check_option("symmetry", symmetry, SYMMETRIES, owner="NFN")
        check_option("encoding", encoding, ENCODINGS, owner="NFN")
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner="NFN", low=1, kind="int")
        normalised = is_normalised(stacks)
        self.group = _group(stacks) if symmetry == "monomial" else "none"
        self.normalised = normalised
        widths = [hidden_channels] * n_layers
        self.trunks = nn.ModuleDict()
        for key, stack in by_key(stacks).items():
            stack = stack.to(torch.get_default_device(), torch.float32)
            self.trunks[key] = _Trunk(
                stack, symmetry, self.group, encoding, normalised, widths, head_channels
            )

    def features(self, stack: Stack) -> Tensor:
        """Return ``(B, head_channels)`` features of the networks."""
        self._check_kind(stack)
        return part_for(self.trunks, stack, "NFN")(stack)

    def _check_kind(self, stack: Stack) -> None:
        """Refuse networks of whose function the weights that are read say too little."""
        if self.group != "none":
            _group([stack], [self.group])
        elif not self.normalised and is_normalised([stack]):
            raise ValueError(
                "NFN was built for networks without normalisation and does not see that of "
                "others. Got networks with normalisation. Build or fit it with such networks "
                "among the others."
            )


def _group(stacks: Sequence[Stack], groups: Sequence[str] = GROUPS) -> str:
    """Return which of some factors leave the networks' functions as they are."""
    architectures = [a for stack in stacks for a in stack.architectures]
    activations = {layer.activation for a in architectures for layer in a.layers[:-1]}
    plain = not any(x.norm != "none" or x.skips for a in architectures for x in a.layers)
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


class _Trunk(nn.Module):
    """Inputs, layers and pooling for the networks of one depth."""

    def __init__(
        self,
        stack: Stack,
        symmetry: str,
        group: str,
        encoding: str,
        normalised: bool,
        widths: Sequence[int],
        n_features: int,
    ) -> None:
        super().__init__()
        self.symmetry, self.group = symmetry, group
        self.ends = (stack.widths[0], stack.widths[-1])
        self._check(stack)
        self.layout = layout_of(stack.widths, symmetry, kernels_of(stack))
        self.channels = StackChannels(stack, normalised, relative=group == "none")
        encoded = symmetry in ("np", "pointwise")
        self.encode = IOEncoding(*self.ends, encoding) if encoded else None
        # Evenly spaced: networks of one width stand together.
        some = stack.select(sorted({i * len(stack) // _CALIBRATE for i in range(_CALIBRATE)}))
        previous = [x.shape[1] for x in self._inputs(some)]
        self.layers = nn.ModuleList()
        for c in widths:
            new = [c * fold for fold in self.layout.folds]
            if group == "none":
                self.layers.append(MAPS[symmetry](self.layout, previous, new))
            else:
                self.layers.append(MonomialMap(self.layout, previous, new, group))
            previous = new
        with torch.no_grad():
            self.standardize = Standardize(self._pooled(some))
        self.project = nn.Linear(sum(previous), n_features)

    def forward(self, stack: Stack) -> Tensor:
        """Return ``(B, n_features)``."""
        self._check(stack)
        return torch.relu(self.project(self.standardize(self._pooled(stack))))

    def _pooled(self, stack: Stack) -> Tensor:
        masks, features = masks_of(stack), self._inputs(stack)
        activation = torch.tanh if self.group == "sign" else torch.relu
        for layer in self.layers:
            features = [activation(x) for x in layer(features, masks)]
        return pool(self.layout, features, masks, self.group)

    def _inputs(self, stack: Stack) -> list[Tensor]:
        """Folded inputs of the first layer."""
        weights, biases = self.channels(stack)
        if self.group == "scale":
            weights, biases = with_path_norms(weights, biases)
        masks = masks_of(stack)
        features = [
            hide_padding(x, states, masks)
            for x, states in zip(self.layout.fold(weights, biases), self.layout.states, strict=True)
        ]
        if self.encode is None:
            return features
        weights, biases = self.encode(features[::2], features[1::2], masks)
        return [x for pair in zip(weights, biases, strict=True) for x in pair]

    def _check(self, stack: Stack) -> None:
        """Refuse numbers of inputs and outputs that the trunk has no parameters for."""
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
