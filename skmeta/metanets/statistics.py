"""Statistics of the weights of each layer, and a network on them: :class:`StatNN`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets.reading import ReadingMetanet, activation_shares
from skmeta.population import Stack

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
STATISTICS = ("mean", "variance", *(f"q{round(100 * q)}" for q in QUANTILES))
"""What is computed of the weights and of the biases of each layer."""

# A standardised statistic beyond says no more than "far from all training networks".
_MAX_DEVIATION = 10.0


def weight_statistics(stack: Stack, depth: int | None = None) -> Tensor:
    """Return mean, variance and quantiles of the weights and of the biases of each layer.

    Parameters
    ----------
    stack : Stack
        Networks of one depth; padding does not count, filter positions are weights.
    depth : int, optional
        Make room for so many layers: hidden layers are counted from the first, and the output
        layer comes last whatever the depth; further hidden layers are left out. The default
        is the depth of the stack.

    Returns
    -------
    Tensor of shape (n, depth * 14)
        Columns as in :func:`statistic_names`; NaN for what a network does not have: a layer,
        or the bias of one.

    References
    ----------
    .. [1] Unterthiner et al., "Predicting neural network accuracy from weights", 2020: the
       same seven numbers.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import weight_statistics
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((3, 4, 2)), 5, random_state=0)
    >>> weight_statistics(population.blocks[0][1]).shape
    torch.Size([5, 28])
    """
    depth = stack.depth if depth is None else depth
    masks, parts = stack.trainable(), []
    for index in range(stack.depth):
        for values, mask in (
            (stack.params.weight[index], masks.weight[index]),
            (stack.params.bias[index], masks.bias[index]),
        ):
            mask = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
            parts.append(_statistics(values.flatten(1), mask.expand_as(values).flatten(1) > 0))
    *hidden, weight, bias = parts
    room = 2 * (depth - 1)
    gap = [torch.full_like(bias, torch.nan)] * (room - len(hidden))
    return torch.cat([*hidden[:room], *gap, weight, bias], 1)


def statistic_names(depth: int) -> list[str]:
    """Return the names of the columns of :func:`weight_statistics`.

    Parameters
    ----------
    depth : int
        Number of layers.

    Returns
    -------
    list of str
        In the order of the columns.

    Examples
    --------
    >>> names = statistic_names(2)
    >>> names[0], names[-1], len(names)
    ('hidden_1_weight_mean', 'output_bias_q100', 28)
    """
    layers = [*(f"hidden_{i}" for i in range(1, depth)), "output"]
    return [f"{a}_{b}_{c}" for a in layers for b in ("weight", "bias") for c in STATISTICS]


def _statistics(values: Tensor, there: Tensor) -> Tensor:
    """Statistics of the entries of each row that are there, ``(n, p) -> (n, 7)``."""
    count = there.sum(1, keepdim=True)
    mean = values.where(there, 0.0).sum(1, keepdim=True) / count
    variance = (values - mean).where(there, 0.0).square().sum(1, keepdim=True) / count
    ordered = values.where(there, torch.inf).sort(1).values
    last = (count - 1).clamp_min(0)
    place = torch.tensor(QUANTILES, dtype=values.dtype, device=values.device) * last
    low, high = (ordered.gather(1, end.long()) for end in (place.floor(), place.ceil()))
    quantiles = low.lerp(high, place - place.floor()).where(count > 0, torch.nan)
    return torch.cat([mean, variance, quantiles], 1)


class StatNN(ReadingMetanet):
    """A multilayer perceptron on standardised weight statistics.

    The simple reader that any other must beat: it is invariant to permutations of neurons
    because it looks at no single weight. Networks with fewer layers than the deepest of the
    training networks have the mean where they have nothing; further hidden layers are left out.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth; their statistics are kept in buffers.
    n_outputs : int, default=1
        Numbers per network.
    hidden_channels : int, default=16
        Width of the layers in front of the features.
    n_layers : int, default=3
        Number of these layers, the features included.
    head_channels : int, default=128
        Width of the features and the head.

    References
    ----------
    .. [1] Unterthiner et al., "Predicting neural network accuracy from weights", 2020.
    .. [2] Zhou et al., "Permutation equivariant neural functionals", 2023, section 3.1.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import StatNN
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((3, 4, 2)), 5, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> StatNN(stacks)(stacks[0]).shape
    torch.Size([5, 1])
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        stacks: Sequence[Stack],
        n_outputs: int = 1,
        *,
        hidden_channels: int = 16,
        n_layers: int = 3,
        head_channels: int = 128,
    ) -> None:
        super().__init__(stacks, n_outputs, head_channels=head_channels)
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner="StatNN", low=1, kind="int")
        self.depth = max(stack.depth for stack in stacks)
        mean, spread = _moments(torch.cat([weight_statistics(s, self.depth) for s in stacks]))
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        widths = [len(mean), *[hidden_channels] * (n_layers - 1), head_channels]
        layers: list[nn.Module] = []
        for width, following in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.body = nn.Sequential(*layers)

    def prepare(self, stack: Stack) -> Tensor:
        """Return what :meth:`forward` also takes in place of a stack, to compute it only once.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Tensor of shape (B, n_statistics + n_activations)
            Weight statistics and the shares of the activations.
        """
        return torch.cat([weight_statistics(stack, self.depth), activation_shares(stack)], 1)

    def features(self, stack: Stack) -> Tensor:
        """Return ``(B, head_channels)`` features of the networks."""
        return self._features(weight_statistics(stack, self.depth))

    def forward(self, stack: Stack | Tensor) -> Tensor:
        """Read the networks of a stack.

        Parameters
        ----------
        stack : Stack or Tensor
            Networks of one depth, or what :meth:`prepare` returned for them.

        Returns
        -------
        Tensor of shape (B, n_outputs)
            The numbers of each network.
        """
        prepared = stack if isinstance(stack, Tensor) else self.prepare(stack)
        statistics, shares = prepared.tensor_split([len(self.mean)], 1)
        return self.head(torch.cat([self._features(statistics), shares], 1))

    def _features(self, statistics: Tensor) -> Tensor:
        standard = ((statistics - self.mean) / self.spread).nan_to_num(0.0)
        return self.body(standard.clamp(-_MAX_DEVIATION, _MAX_DEVIATION))


def _moments(table: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the columns over the networks that have them."""
    table = table.to(torch.float32)
    there = table.isfinite()
    count = there.sum(0).clamp_min(1)
    mean = table.where(there, 0.0).sum(0) / count
    spread = ((table - mean).where(there, 0.0).square().sum(0) / count).sqrt()
    # What does not vary in training may be anything later.
    return mean, spread.where(spread > 1e-6 * (1e-6 + mean.abs()), 1.0)
