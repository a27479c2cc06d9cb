"""Statistics of the weights of each layer, and a network on them: :class:`StatNN`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta.population import Architecture, Stack

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
        Make room for networks of up to so many layers: hidden layers are counted from the
        first, and the output layer comes last whatever the depth. The default is the depth
        of the stack.

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
    >>> from skmeta.population import Architecture
    >>> population = Population.initialize(Architecture.mlp((3, 4, 2)), 5, random_state=0)
    >>> weight_statistics(population.blocks[0][1]).shape
    torch.Size([5, 28])
    """
    depth = stack.depth if depth is None else depth
    if stack.depth > depth:
        raise ValueError(
            f"These statistics are of networks with up to {depth} layers. Got networks with "
            f"{stack.depth}. Fit on networks as deep as those to be read."
        )
    masks, parts = stack.trainable(), []
    for index in range(stack.depth):
        for values, mask in (
            (stack.params.weight[index], masks.weight[index]),
            (stack.params.bias[index], masks.bias[index]),
        ):
            mask = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
            parts.append(_statistics(values.flatten(1), mask.expand_as(values).flatten(1) > 0))
    missing = torch.full_like(parts[0], torch.nan)
    gap = [missing] * (2 * (depth - stack.depth))
    return torch.cat([*parts[:-2], *gap, *parts[-2:]], 1)


def statistic_names(depth: int) -> list[str]:
    """Return the names of the columns of :func:`weight_statistics`.

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


class StatNN(nn.Module):
    """A multilayer perceptron on standardised weight statistics.

    The simple reader that any other must beat: it is invariant to permutations of neurons
    because it looks at no single weight.

    Parameters
    ----------
    depth : int
        Largest number of layers of the networks to be read.
    n_outputs : int
        Numbers to return per network.
    hidden_channels : int, default=64
        Width of the hidden layers.
    n_layers : int, default=3
        Number of hidden layers.

    References
    ----------
    .. [1] Unterthiner et al., "Predicting neural network accuracy from weights", 2020.
    .. [2] Zhou et al., "Permutation equivariant neural functionals", 2023, section 3.1.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import StatNN
    >>> from skmeta.population import Architecture
    >>> population = Population.initialize(Architecture.mlp((3, 4, 2)), 5, random_state=0)
    >>> metanet = StatNN.for_architectures(population.architectures, 1)
    >>> stack = population.blocks[0][1]
    >>> metanet.calibrate([stack])
    >>> metanet(stack).shape
    torch.Size([5, 1])
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, depth: int, n_outputs: int, *, hidden_channels: int = 64, n_layers: int = 3
    ) -> None:
        super().__init__()
        self.depth = depth
        n_columns = len(statistic_names(depth))
        self.register_buffer("mean", torch.zeros(n_columns))
        self.register_buffer("scale", torch.ones(n_columns))
        widths = [n_columns, *[hidden_channels] * n_layers]
        layers: list[nn.Module] = []
        for width, following in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.head = nn.Sequential(*layers, nn.Linear(hidden_channels, n_outputs))

    @classmethod
    def for_architectures(
        cls,
        architectures: Sequence[Architecture],
        n_outputs: int,
        *,
        hidden_channels: int = 64,
        n_layers: int = 3,
    ) -> StatNN:
        """Build one for networks like the given ones."""
        depth = max(architecture.depth for architecture in architectures)
        return cls(depth, n_outputs, hidden_channels=hidden_channels, n_layers=n_layers)

    def prepare(self, stack: Stack) -> Tensor:
        """Return what :meth:`forward` also takes in place of a stack, to compute it only once."""
        return weight_statistics(stack, self.depth)

    def calibrate(self, stacks: Sequence[Stack | Tensor]) -> None:
        """Take mean and standard deviation of the statistics from training networks."""
        table = torch.cat([x if isinstance(x, Tensor) else self.prepare(x) for x in stacks])
        there = table.isfinite()
        count = there.sum(0).clamp_min(1)
        mean = table.where(there, 0.0).sum(0) / count
        variance = (table - mean).where(there, 0.0).square().sum(0) / count
        scale = variance.sqrt()
        # What hardly varies in training may be anything later.
        scale = scale.where(scale > 1e-6 * (1e-6 + mean.abs()), 1.0)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, networks: Stack | Tensor) -> Tensor:
        """Map networks to ``(n, n_outputs)``; what a network does not have counts as the mean."""
        table = networks if isinstance(networks, Tensor) else self.prepare(networks)
        standard = ((table - self.mean) / self.scale).clamp(-_MAX_DEVIATION, _MAX_DEVIATION)
        return self.head(standard.nan_to_num(0.0))
