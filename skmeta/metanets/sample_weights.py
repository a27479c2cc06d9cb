"""Weights of the samples of a set of gradients: :class:`SampleWeights`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from skmeta._checks import check_in_range
from skmeta.metanets.trunk import mlp

N_RANKS = 4
"""How many neighbours' distances are seen, at ranks 1, 2, 4 and 8."""

_HEADS = 4


@dataclass(frozen=True, eq=False)
class SampleStates:
    """What is seen of the samples of ``n`` networks; no permutation of neurons changes it.

    Attributes
    ----------
    samples : Tensor of shape (n, n_samples, n_features)
        Of each sample as a whole.
    stages : Tensor of shape (n, n_samples, depth, 2)
        Logarithms of the sizes of what enters each stage and of the gradient behind it.
    distances : Tensor of shape (n, n_samples, n_samples)
        Between the rows, in units of the mean.
    amounts : Tensor of shape (n, depth, n_amounts)
        Of each stage, whatever says how far to shrink it.
    """

    samples: Tensor
    stages: Tensor
    distances: Tensor
    amounts: Tensor


class SampleWeights(nn.Module):
    """Attention over the samples of a set of gradients, which gives each of them a weight.

    The curvature of a network over a distribution of rows is a mean over these; from a few
    rows it is estimated best by weights that make up for where they happen to lie, as a
    quadrature does, and for how rare large gradients are. Weights are positive and sum to one: an
    estimate stays a curvature. A second output says, stage by stage, how far to go towards the
    Kronecker-factored estimate. Untrained, all weights are equal and nothing is shrunk.

    Invariant to permutations of neurons, equivariant to those of samples; any number of samples,
    any widths and any depth.

    Parameters
    ----------
    n_features : int
        Of each sample.
    n_amounts : int
        Of each stage.
    hidden_channels : int, default=32
        Width of the states.
    n_layers : int, default=2
        Rounds of attention.
    """

    def __init__(
        self, n_features: int, n_amounts: int, *, hidden_channels: int = 32, n_layers: int = 2
    ) -> None:
        super().__init__()
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner="SampleWeights", low=1, kind="int")
        c = self.channels = hidden_channels + -hidden_channels % _HEADS
        self.of_samples, self.of_stages = mlp(n_features, c, c), mlp(3, c, c)
        self.rounds = nn.ModuleList([_Attention(c) for _ in range(n_layers)])
        self.weigh, self.shrink = mlp(c, c, 1), mlp(c + n_amounts + 1, c, 1)
        for head in (self.weigh, self.shrink):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, states: SampleStates) -> tuple[Tensor, Tensor]:
        """Return what to make of the samples.

        Parameters
        ----------
        states : SampleStates
            Of ``n`` networks of one depth.

        Returns
        -------
        weights : Tensor of shape (n, n_samples)
            They sum to 1.
        amounts : Tensor of shape (n, depth)
            Between 0 and 1.
        """
        depth = states.stages.shape[2]
        place = torch.linspace(0, 1, depth).to(states.stages)
        stages = torch.cat([states.stages, place[:, None].expand(*states.stages.shape[:3], 1)], -1)
        tokens = self.of_samples(states.samples) + self.of_stages(stages).mean(2)
        for attend in self.rounds:
            tokens = attend(tokens, states.distances)
        weights = self.weigh(tokens)[..., 0].softmax(-1)
        whole = tokens.mean(1)[:, None].expand(-1, depth, -1)
        places = place[:, None].expand(len(tokens), depth, 1)
        amounts = self.shrink(torch.cat([whole, states.amounts, places], -1))[..., 0]
        return weights, amounts.clamp(0, 1)


class _Attention(nn.Module):
    """Attention in which each head looks as far as it has learned to, and a perceptron."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mix, self.join = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.think = mlp(channels, 2 * channels, channels)
        self.reach = nn.Parameter(torch.linspace(-1, 3, _HEADS))

    def forward(self, tokens: Tensor, distances: Tensor) -> Tensor:
        q, k, v = self.mix(self.first(tokens)).unflatten(-1, (3, _HEADS, -1)).unbind(2)
        far = -self.reach.exp()[:, None, None] * distances[:, None]
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        seen = scaled_dot_product_attention(q, k, v, attn_mask=far)
        tokens = tokens + self.join(seen.transpose(1, 2).flatten(2))
        return tokens + self.think(self.second(tokens))
