"""Networks over sets of gradients: :class:`GradMetaNet`, :class:`GradMetaNetPlusPlus`, heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from skmeta._checks import check_in_range
from skmeta.metanets.neurons import Neurons
from skmeta.metanets.trunk import mlp
from skmeta.population import Stack, Weights
from skmeta.population.mapping import at_once

_ENCODING = 8


@dataclass(frozen=True, eq=False)
class GradientSet:
    """Gradients of ``n`` networks on some samples, as features of neurons.

    Attributes
    ----------
    stack : Stack
        The networks; linear stages only.
    features : Tensor of shape (n, n_samples, all neurons, n_features)
        For instance the state of each neuron and the gradient in front of it, side by side from the
        inputs to the outputs; zero at padding.
    """

    stack: Stack
    features: Tensor

    @property
    def neurons(self) -> Neurons:
        """The neurons of the networks."""
        return Neurons.of(self.stack)


class SetLayers(nn.Module):
    """The part of :class:`GradMetaNet` in front of the pooling of samples (eq. 31 of the paper).

    Parameters
    ----------
    n_features : int
        Of each neuron and sample.
    hidden_channels : int, default=32
        Width of the states.
    n_layers : int, default=2
        Layers.
    """

    def __init__(self, n_features: int, *, hidden_channels: int = 32, n_layers: int = 2) -> None:
        super().__init__()
        self.channels = hidden_channels
        widths = [n_features + _ENCODING, *[hidden_channels] * n_layers]
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList([_OverSets(a, b) for a, b in pairs])

    def forward(self, gradients: GradientSet) -> Tensor:
        """Return states of the neurons on each sample.

        Parameters
        ----------
        gradients : GradientSet
            Of ``n`` networks.

        Returns
        -------
        Tensor of shape (n, n_samples, all neurons, hidden_channels)
            Not zero at padding.
        """
        h = _encoded(gradients)
        for layer in self.layers:
            h = nn.functional.silu(layer(h, gradients.neurons))
        return h


class GradMetaNet(nn.Module):
    """Equivariant network over sets of gradients [1]_: sums over samples and over neurons.

    Layers over the set (eq. 31 of the paper), a layer that pools the samples (32), layers over
    neurons (33), with a SiLU between two of them. Means stand in place of sums, so that networks of
    other widths and sets of other sizes are seen alike; for one size the two are the same up to
    factors of the learned matrices.

    Permutations of hidden neurons permute what comes out, those of samples change nothing.

    Parameters
    ----------
    n_features : int
        Of each neuron and sample.
    hidden_channels : int, default=32
        Width of the states.
    n_set_layers : int, default=2
        Layers over the set.
    n_layers : int, default=1
        Layers behind the pooling.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients", section 5 and
       appendix D.1.

    Examples
    --------
    >>> import torch
    >>> from skmeta.metanets import GradientSet, GradMetaNet, PerWeight
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 5, random_state=0)
    >>> [(_, stack)] = networks.blocks
    >>> gradients = GradientSet(stack, torch.zeros(5, 16, 13, 2))
    >>> PerWeight(32)(GradMetaNet(2)(gradients), stack)["0.weight"].shape
    torch.Size([5, 8, 3])
    """

    def __init__(
        self,
        n_features: int,
        *,
        hidden_channels: int = 32,
        n_set_layers: int = 2,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        sizes = {"hidden_channels": hidden_channels, "n_set_layers": n_set_layers}
        for name, value in {**sizes, "n_layers": n_layers}.items():
            check_in_range(name, value, owner="GradMetaNet", low=1, kind="int")
        c = self.channels = hidden_channels
        self.over_sets = SetLayers(n_features, hidden_channels=c, n_layers=n_set_layers)
        self.pool = _OverNeurons(c, c)
        self.over_neurons = nn.ModuleList([_OverNeurons(c, c) for _ in range(n_layers)])

    def forward(self, gradients: GradientSet) -> Tensor:
        """Return states of the neurons.

        Parameters
        ----------
        gradients : GradientSet
            Of ``n`` networks.

        Returns
        -------
        Tensor of shape (n, all neurons, hidden_channels)
            Zero at padding.
        """
        neurons, h = gradients.neurons, self.over_sets(gradients)
        h = self.pool(h.mean(1), neurons)
        for layer in self.over_neurons:
            h = layer(nn.functional.silu(h), neurons)
        return neurons.hide(h)


class GradMetaNetPlusPlus(nn.Module):
    """:class:`GradMetaNet` with attention over samples and over neurons in place of sums [1]_.

    Every update is ``MLP(g + attention over samples + attention over neurons)`` (eqs. 36 to 40 of
    the paper); samples are not pooled: a head maps each of them and takes the mean (eq. 41).

    Parameters
    ----------
    n_features : int
        Of each neuron and sample.
    hidden_channels : int, default=32
        Width of the states.
    n_layers : int, default=2
        Updates.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients", appendix D.2.
    """

    def __init__(self, n_features: int, *, hidden_channels: int = 32, n_layers: int = 2) -> None:
        super().__init__()
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner="GradMetaNetPlusPlus", low=1, kind="int")
        c = self.channels = hidden_channels
        self.enter = nn.Linear(n_features + _ENCODING, c)
        self.updates = nn.ModuleList([_Update(c) for _ in range(n_layers)])

    def forward(self, gradients: GradientSet) -> Tensor:
        """Return states of the neurons on each sample.

        Parameters
        ----------
        gradients : GradientSet
            Of ``n`` networks.

        Returns
        -------
        Tensor of shape (n, n_samples, all neurons, channels)
            Zero at padding.
        """
        neurons, h = gradients.neurons, self.enter(_encoded(gradients))
        for update in self.updates:
            h = update(h, neurons)
        return h if neurons.mask is None else h * neurons.mask[:, None]


class PerWeight(nn.Module):
    """Head that maps the states at both ends of each weight to a number (eqs. 34 and 41).

    Parameters
    ----------
    channels : int
        Width of the states.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Of the first layer of a perceptron on two ends, each end has a part of its own.
        self.source, self.target = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.weight, self.others = nn.Linear(channels, 1), mlp(channels, channels, 3)

    def forward(self, states: Tensor, stack: Stack) -> Weights:
        """Return a number for each weight, bias, scale and shift.

        Parameters
        ----------
        states : Tensor of shape (n, all neurons, c) or (n, n_samples, all neurons, c)
            Of neurons; with samples the mean over these is taken.
        stack : Stack
            The networks.

        Returns
        -------
        Weights
            Of shape ``(n, size)``; zero where a network has no parameter.
        """
        if states.ndim == 3:
            states = states[:, None]
        n, n_samples = states.shape[:2]
        sources, targets = (
            end(states).split(stack.widths, 2) for end in (self.source, self.target)
        )
        others = self.others(states).mean(1).split(stack.widths, 1)
        tensors = {}
        for stage in range(stack.depth):
            left, right = targets[stage + 1], sources[stage]
            step = at_once(n * left.shape[2] * right.shape[2] * left.shape[3], states.device)
            pieces = zip(left.split(step, 1), right.split(step, 1), strict=True)
            total = sum(
                self.weight(nn.functional.silu(a[:, :, :, None] + b[:, :, None]))[..., 0].sum(1)
                for a, b in pieces
            )
            tensors[f"{stage}.weight"] = total / n_samples
            vectors = others[stage + 1].unbind(-1)
            for name, vector in zip(("bias", "scale", "shift"), vectors, strict=True):
                tensors[f"{stage}.{name}"] = vector
        return Weights.of(stack.weights.layout, tensors) * stack.present()


class PerNetwork(nn.Module):
    """Head that maps the mean state of all neurons to numbers of the network (eq. 42).

    Parameters
    ----------
    channels : int
        Width of the states.
    n_outputs : int
        Numbers.
    """

    def __init__(self, channels: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, n_outputs)

    def forward(self, states: Tensor, stack: Stack) -> Tensor:
        """Return numbers.

        Parameters
        ----------
        states : Tensor of shape (n, all neurons, c) or (n, n_samples, all neurons, c)
            Of neurons.
        stack : Stack
            The networks.

        Returns
        -------
        Tensor of shape (n, n_outputs)
        """
        states = states.mean(1) if states.ndim == 4 else states
        return self.linear(over_true_neurons(states, Neurons.of(stack))[:, 0])


def _encoded(gradients: GradientSet) -> Tensor:
    """Tell apart inputs, outputs and hidden layers (the encoding of appendix D.1)."""
    stack, h = gradients.stack, gradients.features
    codes = []
    for state, width in enumerate(stack.widths):
        if 0 < state < stack.depth:
            place = torch.full((width,), float(state))
        else:
            place = torch.arange(width, dtype=torch.float32) + (0.5 if state else 0.0)
        rates = 100.0 ** (-torch.arange(_ENCODING // 2) / (_ENCODING // 2))
        angles = place[:, None] * rates
        codes.append(torch.cat([angles.sin(), angles.cos()], -1))
    code = torch.cat(codes).to(h).expand(*h.shape[:2], -1, -1)
    return torch.cat([h, code], -1)


def over_true_neurons(h: Tensor, neurons: Neurons) -> Tensor:
    """Mean over all true neurons, ``(..., all neurons, c) -> (..., 1, c)``."""
    if neurons.mask is None:
        return h.mean(-2, keepdim=True)
    mask = neurons.mask if h.ndim == 3 else neurons.mask[:, None]
    return (h * mask).sum(-2, keepdim=True) / mask.sum(-2, keepdim=True)


class _OverSets(nn.Module):
    """Eq. 31: of each entry, over the samples, over the neurons, over both."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.own = nn.Linear(n_in, n_out)
        self.samples, self.neurons, self.all = (
            nn.Linear(n_in, n_out, bias=False) for _ in range(3)
        )

    def forward(self, h: Tensor, neurons: Neurons) -> Tensor:
        over_samples, over_neurons = h.mean(1, keepdim=True), over_true_neurons(h, neurons)
        whole = over_neurons.mean(1, keepdim=True)
        found = self.own(h) + self.samples(over_samples)
        return found + self.neurons(over_neurons) + self.all(whole)


class _OverNeurons(nn.Module):
    """Eqs. 32 and 33: of each neuron, over all neurons."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.own, self.all = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out, bias=False)

    def forward(self, h: Tensor, neurons: Neurons) -> Tensor:
        return self.own(h) + self.all(over_true_neurons(h, neurons))


class _Update(nn.Module):
    """Eq. 40."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mixes = nn.ModuleList([nn.Linear(channels, 3 * channels) for _ in range(2)])
        self.joins = nn.ModuleList([nn.Linear(channels, channels) for _ in range(2)])
        self.think = mlp(channels, 2 * channels, channels)

    def forward(self, h: Tensor, neurons: Neurons) -> Tensor:
        over_samples = self._attend(0, h.transpose(1, 2), None).transpose(1, 2)
        there = None if neurons.mask is None else neurons.mask[:, None, None, :, 0] > 0
        return self.think(h + over_samples + self._attend(1, h, there))

    def _attend(self, kind: int, h: Tensor, there: Tensor | None) -> Tensor:
        """Attend over the axis before the last, of ``(n, a, b, c)``; ``there`` ``(n, 1, 1, b)``."""
        step = at_once(12 * h[:, :1].numel(), h.device)
        found = []
        for part in h.split(step, 1):  # so that memory does not grow with what is not attended to
            # One head as wide as the states: more of them take as much longer.
            q, k, v = self.mixes[kind](part).flatten(0, 1)[:, None].chunk(3, -1)
            mask = None
            if there is not None:
                mask = there.expand(-1, part.shape[1], -1, -1).flatten(0, 1)[:, None]
            seen = scaled_dot_product_attention(q, k, v, attn_mask=mask)
            found.append(self.joins[kind](seen[:, 0].unflatten(0, part.shape[:2])))
        return torch.cat(found, 1)
