"""What all reading metanetworks share: :class:`ReadingMetanet`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.networks import ACTIVATIONS
from skmeta.population import Stack


class ReadingMetanet(nn.Module):
    """Base of metanetworks that map networks to numbers: features and a head.

    ``metanet(stack)`` returns ``(B, n_outputs)``. A permutation of hidden neurons does not
    change it, nor do padding and the other networks of the stack. The features of a network
    and the share of its hidden layers with each activation go into a head with two hidden
    layers.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth as from ``Population.depth_blocks()``; they
        tell the architectures to expect. What is learned from their weights (means and
        deviations) is kept in buffers.
    n_outputs : int, default=1
        Numbers per network.
    head_channels : int, default=128
        Width of the features and of the head's hidden layers.
    """

    def __init__(
        self, stacks: Sequence[Stack], n_outputs: int = 1, *, head_channels: int = 128
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        for name, value in (("n_outputs", n_outputs), ("head_channels", head_channels)):
            check_in_range(name, value, owner=owner, low=1, kind="int")
        check_stacks(stacks, owner)
        d = head_channels
        self.head = nn.Sequential(
            nn.Linear(d + len(ACTIVATIONS), d),
            nn.ReLU(),
            nn.Linear(d, d),
            nn.ReLU(),
            nn.Linear(d, n_outputs),
        )

    @abstractmethod
    def features(self, stack: Stack) -> Tensor:
        """Compute the features of networks.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Tensor of shape (B, head_channels)
            What the head gets, beside the shares of the activations.
        """

    def forward(self, stack: Stack) -> Tensor:
        """Read the networks of a stack.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Tensor of shape (B, n_outputs)
            The numbers of each network.
        """
        return self.head(torch.cat([self.features(stack), activation_shares(stack)], 1))


def check_stacks(stacks: Sequence[Stack], owner: str) -> None:
    """Refuse all but one or more stacks."""
    several = isinstance(stacks, Sequence) and len(stacks)
    if not several or not all(isinstance(stack, Stack) for stack in stacks):
        raise TypeError(
            f"The 'stacks' of {owner} must be one stack of networks per depth. Got "
            f"{stacks!r:.200}. Pass [stack for _, stack in population.depth_blocks()]."
        )


def activation_shares(stack: Stack) -> Tensor:
    """Share of each network's hidden layers with each activation, ``(B, len(ACTIVATIONS))``."""
    key = ("activation shares",)
    if key not in stack._cache:
        rows = []
        for architecture in stack.architectures:
            hidden = [layer.activation for layer in architecture.layers[:-1]]
            rows.append([hidden.count(a) / max(1, len(hidden)) for a in ACTIVATIONS])
        stack._cache[key] = torch.tensor(rows)
    return stack._cache[key].to(stack.device, stack.dtype)


class Standardize(nn.Module):
    """Subtract the mean and divide by the standard deviation that features start with.

    Pooled features of fresh layers hardly differ between networks beside what they have in
    common; a head would learn slowly from them.

    Parameters
    ----------
    features : Tensor of shape (B, c)
        Features of training networks.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        spread = features.std(0, correction=0)
        self.register_buffer("mean", features.mean(0))
        # What does not vary stays as small as it is.
        self.register_buffer("spread", torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Return standardised features."""
        return (features - self.mean) / self.spread
