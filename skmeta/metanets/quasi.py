"""The quasi-equivariant layer: :class:`QuasiScaling`, and :class:`Quasi` around a reader."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range
from skmeta.metanets.metanet import Metanet, check_stacks
from skmeta.metanets.stack_channels import Standardize, by_key, key_among
from skmeta.metanets.statistics import weight_statistics
from skmeta.population import Stack
from skmeta.population.symmetries import HOMOGENEOUS

_MAX_ALPHA = 0.9  # keeps factors positive
_FAR = 10.0  # standard deviations beyond which features say no more
_N_OWN = 3
_WIDEST = 32
_MOST_PARAMETERS = 0.05


def scale_neurons(
    weights: Sequence[Tensor], biases: Sequence[Tensor], factors: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Multiply rows and biases of neurons by factors and divide their columns above by them.

    Parameters
    ----------
    weights : sequence of Tensor
        ``(B, n_out, n_in, *kernel)``, or ``(B, C, n_out, n_in, *kernel)`` for features.
    biases : sequence of Tensor
        ``(B, n_out)`` or ``(B, C, n_out)``.
    factors : sequence of Tensor
        ``(B, width)`` per state, ones at inputs and outputs.
    """
    new_weights, new_biases = [], []
    for weight, bias, below, here in zip(weights, biases, factors, factors[1:], strict=False):
        if bias.ndim == 3:
            below, here = below[:, None], here[:, None]
        ratio = here[..., :, None] / below[..., None, :]
        n_kernel = weight.ndim - ratio.ndim
        new_weights.append(weight * ratio.view(*ratio.shape, *[1] * n_kernel))
        new_biases.append(bias * here)
    return new_weights, new_biases


class QuasiScaling(nn.Module):
    """A learned rescaling of hidden neurons that keeps each network's function (paper 004 [1]_).

    The factor of a neuron is ``1 + alpha * sin(MLP(...))`` with a gated MLP per layer, and alpha
    learnable from 0.01 (appendix B.1). The MLP sees the seven statistics (mean, variance,
    five quantiles) of the weights and biases of all layers. These do not scale as the
    weights do, so factors are no function of what the network computes; but the result is
    another network of the same function, which is all that quasi-equivariance asks for.

    Parameters
    ----------
    stacks : sequence of Stack
        Training networks, one stack per depth.
    hidden_channels : int, default=32
        Width of the MLPs.

    Notes
    -----
    The paper's MLP has one output per *position* in a layer, which only layers invariant
    under nothing but what keeps positions would forgive: behind it, readers that are
    invariant under permutations would not be so any more. Here the MLP has one output and
    sees the mean and root mean square of the neuron's own incoming weights and its bias
    too, so that a permutation of neurons permutes the factors.

    Factors are one where they would change the function: behind an activation that is not
    positively homogeneous, in networks with normalisation or skip connections.

    References
    ----------
    .. [1] "Quasi-equivariant metanetworks".

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import QuasiScaling
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> QuasiScaling(stacks)(stacks[0]).params.weight[0].shape
    torch.Size([4, 8, 5])
    """

    def __init__(self, stacks: Sequence[Stack], *, hidden_channels: int = 32) -> None:
        super().__init__()
        check_stacks(stacks, "QuasiScaling")
        check_in_range("hidden_channels", hidden_channels, owner="QuasiScaling", low=1, kind="int")
        self.alpha = nn.Parameter(torch.tensor(0.01))
        self.angles = nn.ModuleDict()
        for key, numbers in by_key(stacks).items():
            # To be looked at and not to be run: images and strides differ.
            stack = Stack.merge([stacks[number] for number in numbers])
            stack = stack.to(torch.get_default_device(), torch.float32)
            self.angles[key] = _Angles(stack, hidden_channels)

    def factors(self, stack: Stack) -> list[Tensor]:
        """Compute a positive factor per neuron.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        list of Tensor
            ``(B, width)`` per state; ones at both ends.
        """
        angles = self.angles[key_among(self.angles, stack, "QuasiScaling")](stack)
        alpha, free = self.alpha.clamp(-_MAX_ALPHA, _MAX_ALPHA), _scalable(stack)
        first, last = (
            stack.params.weight[0].new_ones(len(stack), stack.widths[i]) for i in (0, -1)
        )
        hidden = [1 + alpha * a.sin() * free[:, i, None] for i, a in enumerate(angles)]
        return [first, *hidden, last]

    def forward(self, stack: Stack) -> Stack:
        """Rescale the hidden neurons.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Stack
            Networks of the same functions.
        """
        params = stack.params
        weights, biases = scale_neurons(params.weight, params.bias, self.factors(stack))
        return stack.with_params(params._replace(weight=tuple(weights), bias=tuple(biases)))


class Quasi(nn.Module):
    """A reading metanetwork behind a :class:`QuasiScaling`.

    Permutations of neurons change the output as little as that of the reader. A reader that
    is invariant under scalings ("monomial") gives the same with and without, as it must by
    proposition 3.3 of paper 004: for invariance, there is nothing to relax.

    Parameters
    ----------
    metanet : Metanet
        With the head :class:`Read`.
    stacks : sequence of Stack
        Training networks, one stack per depth.
    hidden_channels : int, optional
        Width of the scaling's MLPs; by default the paper's 32, or as many fewer as it takes to
        add at most 5 % to the parameters of the reader.

    Examples
    --------
    >>> from skmeta import Population
    >>> from skmeta.metanets import Metanet, Quasi
    >>> from skmeta.networks import Architecture
    >>> population = Population.initialize(Architecture.mlp((5, 8, 2)), 4, random_state=0)
    >>> stacks = [stack for _, stack in population.depth_blocks()]
    >>> reader = Quasi(Metanet.reader("graph", stacks), stacks)
    >>> reader(reader.inputs(stacks[0])).shape
    torch.Size([4, 1])
    """

    def __init__(
        self,
        metanet: Metanet,
        stacks: Sequence[Stack],
        *,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.metanet = metanet
        check_stacks(stacks, "Quasi")
        if hidden_channels is None:
            thinnest = QuasiScaling([s.select([0]) for s in stacks], hidden_channels=1)
            most = _MOST_PARAMETERS * _n_parameters(metanet) / _n_parameters(thinnest)
            hidden_channels = min(_WIDEST, max(1, int(most)))
        self.scaling = QuasiScaling(stacks, hidden_channels=hidden_channels)

    @staticmethod
    def inputs(stack: Stack) -> Stack:
        """Return the networks themselves: what is read of them depends on what was learned.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Stack
            This very stack.
        """
        return stack

    def forward(self, inputs: Stack) -> Tensor:
        """Read networks.

        Parameters
        ----------
        inputs : Stack
            Networks of one depth.

        Returns
        -------
        Tensor of shape (n, n_outputs)
            The numbers of each network.
        """
        return self.metanet(self.metanet.inputs(self.scaling(inputs)))


def _n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class _Angles(nn.Module):
    """Gated MLPs, one per hidden layer of networks of one depth, and what they see."""

    def __init__(self, stack: Stack, hidden_channels: int) -> None:
        super().__init__()
        table, hidden = _statistics(stack), range(stack.depth - 1)
        self.statistics = Standardize(table)
        self.own = nn.ModuleList(
            Standardize(_of_neurons(_own_features(stack, i), stack.state_mask(i + 1)))
            for i in hidden
        )
        self.from_statistics = nn.ModuleList(
            nn.Linear(table.shape[1], 2 * hidden_channels) for _ in hidden
        )
        self.from_own = nn.ModuleList(
            nn.Linear(_N_OWN, 2 * hidden_channels, bias=False) for _ in hidden
        )
        self.out = nn.ModuleList(nn.Linear(hidden_channels, 1) for _ in hidden)

    def forward(self, stack: Stack) -> list[Tensor]:
        """Return a number per neuron, ``(B, width)`` per hidden state."""
        statistics, angles = self.statistics(_statistics(stack)).clamp(-_FAR, _FAR), []
        for i, out in enumerate(self.out):
            own = self.own[i](_own_features(stack, i)).clamp(-_FAR, _FAR)
            both = self.from_statistics[i](statistics)[:, None] + self.from_own[i](own)
            angles.append(out(nn.functional.glu(both))[..., 0])
        return angles


def _statistics(stack: Stack) -> Tensor:
    return weight_statistics(stack).nan_to_num(0.0)


def _own_features(stack: Stack, index: int) -> Tensor:
    """Mean and root mean square of each neuron's incoming weights, and bias, ``(B, width, 3)``."""
    weight = stack.params.weight[index]
    count = stack._ones_mask(index).sum(1)[:, None] * weight[0, 0, 0].numel()
    flat = weight.flatten(2)
    root = (flat.square().sum(2) / count).sqrt()
    return torch.stack([flat.sum(2) / count, root, stack.params.bias[index]], -1)


def _of_neurons(features: Tensor, mask: Tensor | None) -> Tensor:
    """Return the features ``(B, width, c)`` of all true neurons as rows."""
    return features.flatten(0, 1) if mask is None else features[mask > 0]


def _scalable(stack: Stack) -> Tensor:
    """Ones where a hidden layer's neurons may be scaled, ``(B, depth - 1)``."""
    key = ("scalable",)
    if key not in stack._cache:
        rows = []
        for a in stack.architectures:
            plain = all(layer.norm == "none" and not layer.skips for layer in a.layers)
            rows.append([float(plain and x.activation in HOMOGENEOUS) for x in a.layers[:-1]])
        stack._cache[key] = torch.tensor(rows)
    return stack._cache[key].to(stack.device, stack.dtype)
