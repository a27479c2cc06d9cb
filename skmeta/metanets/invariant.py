"""From equivariant features to invariant ones: :class:`InvariantPool`; :class:`IOEncoding`."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn

from skmeta._checks import check_in_range, check_option
from skmeta.metanets.layout import (
    Layout,
    Masks,
    are_sequences,
    check_features,
    check_layer,
    hide_padding,
    layout_of,
    true_counts,
)
from skmeta.metanets.monomial import GROUPS

SYMMETRIES = ("np", "hnp", "pointwise", "monomial")
ENCODINGS = ("learned", "sinusoidal")


class InvariantPool(nn.Module):
    """Means over all free axes of weights and biases.

    With all neurons free this is P of paper 002 (section 2.3), with the hidden ones free
    P-tilde (equation 20) without the three means that the others determine. Under scalings
    the channels of each entry are first divided by their norm, under signs the absolute
    values are taken (Monomial-NFN).

    Parameters
    ----------
    sizes : sequence of int
        Widths n_0, ..., n_L of the states.
    symmetry : {"np", "hnp", "pointwise", "monomial"}, default="np"
        "np" and "pointwise" average over all neurons, "hnp" and "monomial" over hidden ones.
    kernels : sequence of tuple of int, optional
        Filter shape of each layer, ``()`` for a dense one; all dense by default.
    group : {"scale", "sign"}, default="scale"
        Factors of hidden neurons, for "monomial".

    Attributes
    ----------
    n_features : int
        Numbers per channel: ``2 L`` for "np" and dense layers.

    Examples
    --------
    >>> import torch
    >>> from skmeta.metanets import InvariantPool
    >>> pool = InvariantPool((2, 8, 3), "hnp")
    >>> weights = [torch.randn(5, 4, 8, 2), torch.randn(5, 4, 3, 8)]
    >>> pool(weights, [torch.randn(5, 4, 8), torch.randn(5, 4, 3)]).shape, pool.n_features
    (torch.Size([5, 36]), 9)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        symmetry: str = "np",
        *,
        kernels: Sequence[Sequence[int]] | None = None,
        group: str = "scale",
    ) -> None:
        super().__init__()
        check_option("symmetry", symmetry, SYMMETRIES, owner="InvariantPool")
        check_option("group", group, GROUPS, owner="InvariantPool")
        check_layer("InvariantPool", sizes, kernels)
        self.layout = layout_of(sizes, symmetry, kernels)
        self.n_features = sum(self.layout.folds)
        self.group = group if symmetry == "monomial" else "none"

    def forward(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], masks: Masks | None = None
    ) -> Tensor:
        """Pool features of networks.

        Parameters
        ----------
        weights, biases : sequence of Tensor
            Per layer, as for :class:`NFLayer`, with any number of channels C.
        masks : sequence of Tensor or None, optional
            As for :class:`NFLayer`.

        Returns
        -------
        Tensor of shape (B, C * n_features)
            Means over the true neurons.
        """
        check_features("InvariantPool", self.layout, weights, biases)
        return pool(self.layout, self.layout.fold(weights, biases), masks, self.group)


def pool(
    layout: Layout, features: Sequence[Tensor], masks: Masks | None, group: str = "none"
) -> Tensor:
    """Mean of folded features over their free axes, ``(B, sum of channels)``."""
    counts, means = true_counts(layout, features, masks), []
    for x, states in zip(features, layout.states, strict=True):
        x = invariants(x, states, group)
        for state in reversed(states):
            x = x.sum(-1)
            count = counts[state]
            x = x / (count if isinstance(count, int) else count.view(-1, *[1] * (x.ndim - 1)))
        means.append(x)
    return torch.cat(means, 1)


def invariants(x: Tensor, states: Sequence[int], group: str) -> Tensor:
    """Return what factors of the neurons leave of a folded tensor."""
    if states and group == "scale":
        return nn.functional.normalize(x, dim=1, eps=torch.finfo(x.dtype).tiny ** 0.5)
    return x.abs() if states and group == "sign" else x


class IOEncoding(nn.Module):
    """Channels that tell inputs and outputs apart for layers that would permute them.

    Codes of the inputs join the weights of the first layer, codes of the outputs the weights
    and biases of the last (paper 002, section 2.2, "IO-encoding").

    Parameters
    ----------
    n_inputs, n_outputs : int
        Largest numbers of inputs and outputs.
    kind : {"learned", "sinusoidal"}, default="sinusoidal"
        "learned": a table; "sinusoidal": the position, from -1 to 1, and the sines and cosines
        of 6 multiples of it, with a maximum frequency of 10 (appendix D.3).
    n_channels : int, default=13
        Channels of learned codes; sinusoidal ones have 13.

    Examples
    --------
    >>> import torch
    >>> from skmeta.metanets import IOEncoding
    >>> encode = IOEncoding(2, 3)
    >>> weights, biases = encode([torch.randn(5, 1, 8, 2), torch.randn(5, 1, 3, 8)],
    ...                          [torch.randn(5, 1, 8), torch.randn(5, 1, 3)])
    >>> weights[0].shape, biases[0].shape
    (torch.Size([5, 14, 8, 2]), torch.Size([5, 1, 8]))
    """

    inputs: Tensor
    outputs: Tensor

    def __init__(
        self, n_inputs: int, n_outputs: int, kind: str = "sinusoidal", *, n_channels: int = 13
    ) -> None:
        super().__init__()
        check_option("kind", kind, ENCODINGS, owner="IOEncoding")
        given = {"n_inputs": n_inputs, "n_outputs": n_outputs, "n_channels": n_channels}
        for name, value in given.items():
            check_in_range(name, value, owner="IOEncoding", low=1, kind="int")
        for name, n in (("inputs", n_inputs), ("outputs", n_outputs)):
            if kind == "learned":
                self.register_parameter(name, nn.Parameter(0.3 * torch.randn(n_channels, n)))
            else:
                self.register_buffer(name, _waves(n))

    def forward(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], masks: Masks | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return features with further channels in the first and the last layer.

        Parameters
        ----------
        weights, biases : sequence of Tensor
            ``(B, c, n_out, n_in)``, filter positions among the channels, and ``(B, c, n_out)``.
        masks : sequence of Tensor or None, optional
            Ones at true neurons, ``(B, width)`` per state.

        Returns
        -------
        weights, biases : list of Tensor
            With the codes at the end of the channels; codes of the inputs come first.
        """
        if not are_sequences(weights, biases) or not len(weights) == len(biases) > 0:
            raise TypeError(
                "IOEncoding takes lists of weights and biases, one of each per layer. Got "
                f"{weights!r:.200} and {biases!r:.200}."
            )
        weights, biases, depth = list(weights), list(biases), len(weights)
        n_in, n_out = weights[0].shape[3], biases[-1].shape[2]
        most = self.inputs.shape[1], self.outputs.shape[1]
        if n_in > most[0] or n_out > most[1] or any(w.ndim != 4 for w in weights):
            raise ValueError(
                "This IOEncoding takes weights (batch, channels, n_out, n_in), filter positions "
                f"among the channels, of at most {most[0]} inputs and {most[1]} outputs. Got "
                f"weights of shapes {[tuple(w.shape) for w in weights]}."
            )
        inputs, outputs = self.inputs[:, :n_in], self.outputs[:, :n_out]
        weights[0] = _append(weights[0], inputs[:, None], (1, 0), masks)
        weights[-1] = _append(weights[-1], outputs[:, :, None], (depth, depth - 1), masks)
        biases[-1] = _append(biases[-1], outputs, (depth,), masks)
        return weights, biases


def _append(x: Tensor, code: Tensor, states: tuple[int, ...], masks: Masks | None) -> Tensor:
    """Append channels that are the same for all networks, zero at padding."""
    code = code.to(x.dtype).expand(len(x), -1, *x.shape[2:])
    return torch.cat([x, hide_padding(code, states, masks)], 1)


def _waves(n: int, n_bands: int = 6, max_frequency: float = 10.0) -> Tensor:
    """Return codes of n positions, ``(2 * n_bands + 1, n)``."""
    positions = torch.linspace(-1, 1, n)
    angles = pi * torch.linspace(1, max_frequency / 2, n_bands)[:, None] * positions
    return torch.cat([angles.sin(), angles.cos(), positions[None]])
