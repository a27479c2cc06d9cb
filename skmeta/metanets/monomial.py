"""Linear layers equivariant under permutations and scalings of hidden neurons."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmeta._checks import check_option
from skmeta.metanets.layout import (
    Layout,
    Masks,
    check_features,
    check_layer,
    hide_padding,
    layout_of,
)
from skmeta.metanets.nf_layer import map_channels

GROUPS = ("scale", "sign")
"""Scalings by positive numbers (ReLU), and by +-1 (odd activations: tanh, sin)."""

_LEAST_NORM = 1e-6


class MonomialMap(nn.Module):
    """Every linear map of folded features that commutes with monomial matrices.

    A hidden neuron's factor multiplies its row and its bias and divides its column in the
    next layer. Only tensors that get the same factors may be added (Monomial-NFN [1]_, on
    which paper 004 builds): the weights and biases of the first layer, the rows of the last
    layer's weights, its biases; under signs, which are their own reciprocals, also the
    biases of the last hidden layer and the last weights. All else is mapped entry by entry.

    Parameters
    ----------
    layout : Layout
        Free axes: those of hidden states.
    in_widths, out_widths : sequence of int
        Channels of each folded tensor before and after.
    group : {"scale", "sign"}, default="scale"
        Factors of hidden neurons.

    References
    ----------
    .. [1] Tran et al., "Monomial matrix group equivariant neural functional networks", 2024.
    """

    def __init__(
        self,
        layout: Layout,
        in_widths: Sequence[int],
        out_widths: Sequence[int],
        group: str = "scale",
    ) -> None:
        super().__init__()
        self.layout, self.out_widths = layout, list(out_widths)
        alike: dict[tuple, list[int]] = {}
        for t, states in enumerate(layout.states):
            alike.setdefault((states, _factors(t, states, group)), []).append(t)
        self._alike = list(alike.values())
        self.maps = nn.ModuleList()
        for tensors in self._alike:
            n_in, n_out = (sum(widths[t] for t in tensors) for widths in (in_widths, out_widths))
            # A constant stays what it is only where there are no factors.
            self.maps.append(nn.Linear(n_in, n_out, bias=not layout.states[tensors[0]]))

    def forward(self, features: Sequence[Tensor], masks: Masks | None = None) -> list[Tensor]:
        """Map folded features, which are zero at padding before and after."""
        out = list(features)
        for tensors, linear in zip(self._alike, self.maps, strict=True):
            assert isinstance(linear, nn.Linear)
            y = map_channels(torch.cat([features[t] for t in tensors], 1), linear)
            for t, part in zip(
                tensors, y.split([self.out_widths[t] for t in tensors], 1), strict=True
            ):
                out[t] = hide_padding(part, self.layout.states[t], masks)
        return out


def _factors(t: int, states: tuple[int, ...], group: str) -> tuple[bool, ...]:
    """Whether a tensor is multiplied (not divided) by the factors of each of its states."""
    target = t // 2 + 1
    return tuple(group == "sign" or state == target for state in states)


class MonomialLayer(nn.Module):
    """Linear layer on weights and biases that commutes with monomial matrices.

    Parameters
    ----------
    sizes : sequence of int
        Widths n_0, ..., n_L of the states.
    in_channels, out_channels : int
        Channels of the features before and after.
    group : {"scale", "sign"}, default="scale"
        Factors of hidden neurons: positive numbers (networks with ReLU; a ReLU between layers
        keeps the equivariance) or +-1 (networks with tanh or sin; use an odd function).
    kernels : sequence of tuple of int, optional
        Filter shape of each layer, ``()`` for a dense one; all dense by default.

    Examples
    --------
    >>> import torch
    >>> from skmeta.metanets import MonomialLayer
    >>> layer = MonomialLayer((2, 8, 3), 1, 4)
    >>> weights, biases = layer([torch.randn(5, 1, 8, 2), torch.randn(5, 1, 3, 8)],
    ...                         [torch.randn(5, 1, 8), torch.randn(5, 1, 3)])
    >>> weights[0].shape
    torch.Size([5, 4, 8, 2])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        in_channels: int,
        out_channels: int,
        group: str = "scale",
        *,
        kernels: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        check_option("group", group, GROUPS, owner="MonomialLayer")
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        check_layer("MonomialLayer", sizes, kernels, **channels)
        self.in_channels = in_channels
        self.layout = layout_of(sizes, "monomial", kernels)
        before, after = (
            [c * fold for fold in self.layout.folds] for c in (in_channels, out_channels)
        )
        self.map = MonomialMap(self.layout, before, after, group)

    def forward(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], masks: Masks | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Map features of networks to features of the same shapes but for the channels.

        Parameters
        ----------
        weights, biases : sequence of Tensor
            Per layer, as for :class:`NFLayer`.
        masks : sequence of Tensor or None, optional
            As for :class:`NFLayer`.

        Returns
        -------
        weights, biases : list of Tensor
            With ``out_channels`` channels.
        """
        check_features("MonomialLayer", self.layout, weights, biases, self.in_channels)
        return self.layout.unfold(self.map(self.layout.fold(weights, biases), masks))


def path_norms(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[Tensor]:
    """Return a number per neuron that a scaling of the neuron multiplies.

    The path norm: root of the squared bias plus the squared weights times the squared numbers
    of the state below, from ones at the inputs. Relative to these numbers, weights are
    invariant under scalings. It is zero at padding and where nothing comes in.

    Parameters
    ----------
    weights : sequence of Tensor
        ``(B, n_out, n_in, *kernel)`` per layer.
    biases : sequence of Tensor
        ``(B, n_out)`` per layer.

    Returns
    -------
    list of Tensor
        ``(B, width)`` per state.
    """
    first = weights[0]
    scales = [first.new_ones(len(first), first.shape[2])]
    for weight, bias in zip(weights, biases, strict=True):
        squares = weight.square().flatten(3).sum(3) if weight.ndim > 3 else weight.square()
        total = (squares @ scales[-1].square()[..., None])[..., 0] + bias.square()
        alive = total > 0
        scales.append(torch.where(alive, total, 1.0).sqrt() * alive)
    return scales


def with_path_norms(
    weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Append a channel that scales as the first one does and holds path norms alone.

    For a weight, the path norm of its target divided by that of its source (zero if that is
    zero); for a bias, the path norm of its neuron. Nothing scales the outputs: theirs come as
    logarithms, since between networks they differ by orders of magnitude.

    Parameters
    ----------
    weights, biases : sequence of Tensor
        ``(B, 1, n_out, n_in, *kernel)`` and ``(B, 1, n_out)`` per layer.
    """
    norms = path_norms([w[:, 0] for w in weights], [b[:, 0] for b in biases])
    more_weights, more_biases = [], []
    for weight, bias, below, here in zip(weights, biases, norms, norms[1:], strict=False):
        reciprocal = torch.where(below > 0, 1 / below.clamp_min(1e-30), 0.0)
        ratio = (here[:, :, None] * reciprocal[:, None])[:, None]
        ratio = ratio.view(*ratio.shape, *[1] * (weight.ndim - 4)).expand_as(weight)
        more_weights.append(torch.cat([weight, ratio], 1))
        more_biases.append(torch.cat([bias, here[:, None]], 1))
    outputs = norms[-1].clamp_min(_LEAST_NORM).log()
    more_biases[-1] = torch.cat([biases[-1], outputs[:, None]], 1)
    return more_weights, more_biases
