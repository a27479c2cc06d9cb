"""Statistics of the weights of each layer, and a network on them: :class:`StatNN`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from skmeta.metanets.codes import activation_shares
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.trunk import Encoded, Trunk
from skmeta.population import Stack
from skmeta.population.mapping import n_numbers, pieces

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
STATISTICS = ("mean", "variance", *(f"q{round(100 * q)}" for q in QUANTILES))
"""What is computed of the weights and of the biases of each layer."""

# A standardised statistic beyond says no more than "far from all training networks".
_MAX_DEVIATION = 10.0
_N_COLUMNS = 2 * len(STATISTICS)  # per layer


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
    masks, parts = stack.trainable(), []
    for index in range(stack.depth):
        for values, mask in (
            (stack.params.weight[index], masks.weight[index]),
            (stack.params.bias[index], masks.bias[index]),
        ):
            mask = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
            parts.append(_statistics(values.flatten(1), mask.expand_as(values).flatten(1) > 0))
    return _at_depth(torch.cat(parts, 1), stack.depth if depth is None else depth)


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


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of ``n`` networks of one depth.

    Attributes
    ----------
    table : Tensor of shape (n, depth * 14)
        As from :func:`weight_statistics`.
    activation_shares : Tensor of shape (n, n_activations)
        Share of the hidden layers with each activation.
    """

    table: Tensor
    activation_shares: Tensor

    def __len__(self) -> int:
        return len(self.table)

    def select(self, rows: Tensor) -> Statistics:
        """Return the statistics of some networks."""
        rows = rows.to(self.table.device)
        return Statistics(self.table[rows], self.activation_shares[rows])


class StatNN(Trunk):
    """A multilayer perceptron on standardised weight statistics.

    The simple reader that any other must beat: it is invariant to permutations of neurons
    because it looks at no single weight. Networks with fewer layers than the deepest of the
    training networks have the mean where they have nothing; further hidden layers are left out.

    Parameters
    ----------
    inputs : sequence of Statistics
        Of training networks, one per depth; their moments are kept in buffers.
    hidden_channels : int, default=16
        Width of the layers.
    n_layers : int, default=3
        Number of layers up to the features; the last belongs to the head.

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
    >>> inputs = [StatNN.inputs(stack) for _, stack in population.depth_blocks()]
    >>> StatNN(inputs).pool(inputs[0]).shape
    torch.Size([5, 16])
    """

    has_neurons: ClassVar[bool] = False
    mean: Tensor
    spread: Tensor

    def __init__(
        self, inputs: Sequence[Statistics], *, hidden_channels: int = 16, n_layers: int = 3
    ) -> None:
        super().__init__(hidden_channels, n_layers)
        self.depth = max(x.table.shape[1] // _N_COLUMNS for x in inputs)
        mean, spread = _moments(torch.cat([_at_depth(x.table, self.depth) for x in inputs]))
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        widths = [len(mean), *[hidden_channels] * (n_layers - 1)]
        layers: list[nn.Module] = []
        for width, following in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.pooled = {"statistics": widths[-1]}

    @staticmethod
    def inputs(stack: Stack) -> Statistics:
        """Return the statistics of networks, computed for a few at a time."""
        # The quantiles sort copies of the weights.
        few = pieces(len(stack), 4 * n_numbers(stack), stack.device)
        rows = range(len(stack))
        table = torch.cat([weight_statistics(stack.select(rows[part])) for part in few])
        return Statistics(table, activation_shares(stack))

    def kind(self, inputs: Statistics) -> str:
        """Return the one kind there is."""
        return "statistics"

    def pool(self, inputs: Statistics) -> Tensor:
        """Return features of the statistics."""
        standard = (_at_depth(inputs.table, self.depth) - self.mean) / self.spread
        return self.layers(standard.nan_to_num(0.0).clamp(-_MAX_DEVIATION, _MAX_DEVIATION))

    def encode(self, graph: WeightGraph, given: Tensor) -> Encoded:
        """Raise: there are no states of neurons."""
        raise NotImplementedError("Statistics of layers say nothing about single neurons.")


def _at_depth(table: Tensor, depth: int) -> Tensor:
    """Make room for so many layers, or leave hidden ones out; see :func:`weight_statistics`."""
    hidden, output = table[:, :-_N_COLUMNS], table[:, -_N_COLUMNS:]
    room = _N_COLUMNS * (depth - 1)
    hidden = hidden[:, :room]
    return torch.cat(
        [nn.functional.pad(hidden, (0, room - hidden.shape[1]), value=torch.nan), output], 1
    )


def _moments(table: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the columns over the networks that have them."""
    table = table.to(torch.float32)
    there = table.isfinite()
    count = there.sum(0).clamp_min(1)
    mean = table.where(there, 0.0).sum(0) / count
    spread = ((table - mean).where(there, 0.0).square().sum(0) / count).sqrt()
    # What does not vary in training may be anything later.
    return mean, spread.where(spread > 1e-6 * (1e-6 + mean.abs()), 1.0)
