"""What to make of each sample of a set of gradients: :class:`GradientWeights`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range, check_option
from skmeta.metanets.gradient_sets import (
    GradientSet,
    GradMetaNetPlusPlus,
    SetLayers,
    over_true_neurons,
)
from skmeta.metanets.trunk import mlp

SET_TRUNKS = {"gradmetanet": SetLayers, "gradmetanet++": GradMetaNetPlusPlus}

_LARGEST = 3.0
"""Of the logarithm of what a neuron counts."""


class GradientWeights(nn.Module):
    """How much each sample, and what each neuron does on it, counts in a sum of squared gradients.

    The head of the paper on learning on gradients (eq. 34) looks at weights when the samples are
    pooled: it must find sums of products of what was in front of a weight and behind it from
    states in which they are gone. Here the products are taken, sample by sample, and what is
    learned is how much they count: ``w_s p_sj q_si`` of the squared gradient on sample s of the
    weight from j to i. A last output says how far to go towards the Kronecker-factored
    estimate. Untrained, all counts alike and nothing is shrunk: that is the standard estimator.

    Equivariant to permutations of hidden neurons and of samples.

    Parameters
    ----------
    trunk : {"gradmetanet", "gradmetanet++"}
        What makes states of neurons on samples: the layers of :class:`GradMetaNet` in front of its
        pooling, or :class:`GradMetaNetPlusPlus`.
    n_features : int
        Of each neuron and sample.
    n_amounts : int
        Of each stage.
    hidden_channels : int, default=32
        Width of the states.
    n_layers : int, default=2
        Layers of the trunk.
    """

    def __init__(
        self,
        trunk: str,
        n_features: int,
        n_amounts: int,
        *,
        hidden_channels: int = 32,
        n_layers: int = 2,
    ) -> None:
        super().__init__()
        check_option("trunk", trunk, list(SET_TRUNKS), owner="GradientWeights")
        for name, value in (("hidden_channels", hidden_channels), ("n_layers", n_layers)):
            check_in_range(name, value, owner="GradientWeights", low=1, kind="int")
        self.channels = c = hidden_channels
        self.trunk = SET_TRUNKS[trunk](n_features, hidden_channels=c, n_layers=n_layers)
        self.weigh, self.count = mlp(c, c, 1), nn.Linear(c, 2)
        self.shrink = mlp(c + n_amounts, c, 1)
        for last in (self.weigh[-1], self.count, self.shrink[-1]):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, sets: GradientSet, amounts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what to make of the samples.

        Parameters
        ----------
        sets : GradientSet
            Of ``n`` networks.
        amounts : Tensor of shape (n, depth, n_amounts)
            Of each stage, whatever says how far to shrink it.

        Returns
        -------
        weights : Tensor of shape (n, n_samples)
            They sum to 1.
        states, gradients : Tensor of shape (n, n_samples, all neurons)
            How much what leaves a neuron counts, and the gradient at it; positive.
        amounts : Tensor of shape (n, depth)
            Between 0 and 1.
        """
        h = self.trunk(sets)
        whole = over_true_neurons(h, sets.neurons)[:, :, 0]
        logs = _LARGEST * (self.count(h) / _LARGEST).tanh()
        about = whole.mean(1)[:, None].expand(-1, amounts.shape[1], -1)
        shrunk = self.shrink(torch.cat([about, amounts], -1))[..., 0].clamp(0, 1)
        return self.weigh(whole)[..., 0].softmax(1), *logs.exp().unbind(-1), shrunk
