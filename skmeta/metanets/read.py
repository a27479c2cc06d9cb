"""The head that reads: :class:`Read`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets.codes import N_ACTIVATIONS
from skmeta.metanets.trunk import Trunk


class Read(nn.Module):
    """Head that maps the invariant features of a trunk to numbers per network.

    The features, and the share of a network's hidden layers with each activation, go through
    two hidden layers. A permutation of hidden neurons does not change the numbers.

    Parameters
    ----------
    trunk : Trunk
        Whose features are used.
    n_outputs : int, default=1
        Numbers per network.
    head_channels : int, default=128
        Width of the hidden layers.
    """

    def __init__(self, trunk: Trunk, n_outputs: int = 1, *, head_channels: int = 128) -> None:
        super().__init__()
        for name, value in (("n_outputs", n_outputs), ("head_channels", head_channels)):
            check_in_range(name, value, owner="Read", low=1, kind="int")
        d = head_channels
        self.project = nn.ModuleDict({k: nn.Linear(size, d) for k, size in trunk.pooled.items()})
        self.layers = nn.Sequential(
            nn.Linear(d + N_ACTIVATIONS, d),
            nn.ReLU(),
            nn.Linear(d, d),
            nn.ReLU(),
            nn.Linear(d, n_outputs),
        )

    def forward(self, trunk: Trunk, inputs: Any) -> Tensor:
        """Read networks.

        Parameters
        ----------
        trunk : Trunk
            The one that the head was built for.
        inputs : WeightGraph
            ``n`` networks of one depth, or what else ``trunk.inputs`` returns.

        Returns
        -------
        Tensor of shape (n, n_outputs)
            The numbers of each network.
        """
        project = self.project[trunk.kind(inputs)]
        features = torch.relu(project(trunk.pool(inputs)))
        return self.layers(torch.cat([features, inputs.activation_shares], 1))
