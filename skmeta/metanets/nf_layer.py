"""Linear layers equivariant under permutations of neurons: :class:`NFLayer`."""

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
    true_counts,
)
from skmeta.metanets.matrix_maps import broadcast_product, line_sums


class EquivariantMap(nn.Module):
    """Every linear map of folded features that commutes with permutations of the free states.

    A matrix gets a map of its own entries, a term per row, a term per column and a constant;
    a vector a term per neuron and a constant. The terms of a neuron are linear in *all* that
    is known about it (vectors on its state, row means of the matrix into it, column means of
    the matrix out of it), the constants in the means of everything: with all states free
    this is equation 3 of paper 002, with the hidden ones free its tables 8 to 11.

    Parameters
    ----------
    layout : Layout
        Free axes.
    in_widths, out_widths : sequence of int
        Channels of each folded tensor before and after.
    """

    def __init__(self, layout: Layout, in_widths: Sequence[int], out_widths: Sequence[int]) -> None:
        super().__init__()
        self.layout, self.out_widths = layout, list(out_widths)
        self.products = nn.ParameterDict()
        self.from_state = nn.ModuleDict()
        self.from_all = nn.Linear(sum(in_widths), sum(out_widths))
        self._tensors_at = {
            s: [t for t, states in enumerate(layout.states) if s in states]
            for s in sorted(layout.free)
        }
        for state, tensors in self._tensors_at.items():
            n_in, n_out = (sum(widths[t] for t in tensors) for widths in (in_widths, out_widths))
            self.from_state[str(state)] = nn.Linear(n_in, n_out, bias=False)
        for t, states in enumerate(layout.states):
            if len(states) == 2:
                self.products[str(t)] = nn.Parameter(torch.empty(out_widths[t], in_widths[t]))
        self._initialize(in_widths)

    @torch.no_grad()
    def _initialize(self, in_widths: Sequence[int]) -> None:
        """Draw what reaches an output from +-1/sqrt(number of channels that reach it)."""
        for t, states in enumerate(self.layout.states):
            parts = [_rows(self.from_all.weight, self.out_widths, t)]
            for state in states:
                tensors = self._tensors_at[state]
                widths = [self.out_widths[other] for other in tensors]
                weight = self.from_state[str(state)].weight
                assert isinstance(weight, Tensor)
                parts.append(_rows(weight, widths, tensors.index(t)))
            if len(states) == 2:
                parts.append(self.products[str(t)])
            bound = sum(part.shape[1] for part in parts) ** -0.5
            for part in (*parts, _rows(self.from_all.bias, self.out_widths, t)):
                part.uniform_(-bound, bound)

    def forward(self, features: Sequence[Tensor], masks: Masks | None = None) -> list[Tensor]:
        """Map folded features, which are zero at padding before and after."""
        states, counts = self.layout.states, true_counts(self.layout, features, masks)
        kept, overall = list(features), []
        at_state: dict[int, list[Tensor]] = {s: [] for s in self._tensors_at}
        for t, x in enumerate(features):
            if len(states[t]) == 2:
                row, column = states[t]
                kept[t], row_sums, column_sums = line_sums(x)
                at_state[column].append(column_sums / counts[row])
                x = row_sums / counts[column]
            if states[t]:
                at_state[states[t][0]].append(x)
                x = (x.sum(-1, keepdim=True) / counts[states[t][0]])[..., 0]
            overall.append(x)
        constants = self.from_all(torch.cat(overall, 1)).split(self.out_widths, 1)
        terms = {
            state: dict(zip(tensors, self._terms(state, at_state[state]), strict=True))
            for state, tensors in self._tensors_at.items()
        }
        out = []
        for t, constant in enumerate(constants):
            y = constant
            if states[t]:
                y = constant[..., None] + terms[states[t][0]][t]
            if len(states[t]) == 2:
                y = broadcast_product(kept[t], self.products[str(t)], y, terms[states[t][1]][t])
            out.append(hide_padding(y, states[t], masks))
        return out

    def _terms(self, state: int, known: list[Tensor]) -> list[Tensor]:
        """Terms per neuron of a state, ``(B, c, n)`` for each tensor that touches it."""
        inputs = torch.cat([x.transpose(1, 2) for x in known], -1)
        widths = [self.out_widths[t] for t in self._tensors_at[state]]
        return [y.transpose(1, 2) for y in self.from_state[str(state)](inputs).split(widths, -1)]


def _rows(tensor: Tensor, widths: Sequence[int], index: int) -> Tensor:
    start = sum(widths[:index])
    return tensor[start : start + widths[index]]


class PointwiseMap(nn.Module):
    """Map the channels of each entry alone (NFN_PT of paper 002, section 3).

    Parameters
    ----------
    layout : Layout
        Free axes.
    in_widths, out_widths : sequence of int
        Channels of each folded tensor before and after.
    """

    def __init__(self, layout: Layout, in_widths: Sequence[int], out_widths: Sequence[int]) -> None:
        super().__init__()
        self.layout = layout
        self.maps = nn.ModuleList(map(nn.Linear, in_widths, out_widths))

    def forward(self, features: Sequence[Tensor], masks: Masks | None = None) -> list[Tensor]:
        """Map folded features, which are zero at padding before and after."""
        out = []
        for x, linear, states in zip(features, self.maps, self.layout.states, strict=True):
            assert isinstance(linear, nn.Linear)
            out.append(hide_padding(map_channels(x, linear), states, masks))
        return out


def map_channels(x: Tensor, linear: nn.Linear) -> Tensor:
    """Apply a linear map to the channels (axis 1) of a folded tensor."""
    if x.ndim == 4:
        constant = None
        if linear.bias is not None:
            constant = linear.bias[None, :, None].expand(len(x), -1, x.shape[2])
        return broadcast_product(x, linear.weight, constant)
    return linear(x.transpose(1, -1)).transpose(1, -1)


MAPS = {"np": EquivariantMap, "hnp": EquivariantMap, "pointwise": PointwiseMap}


class NFLayer(nn.Module):
    """Linear layer on weights and biases that commutes with permutations of neurons.

    Parameters
    ----------
    sizes : sequence of int
        Widths n_0, ..., n_L of the states, from the inputs to the outputs.
    in_channels, out_channels : int
        Channels of the features before and after.
    symmetry : {"np", "hnp", "pointwise"}, default="np"
        "np": all neurons may be permuted (paper 002 [1]_, equation 3 and table 7); "hnp": hidden
        neurons only, with parameters for each input and output (tables 8 to 11);
        "pointwise": each weight and bias alone (NFN_PT).
    kernels : sequence of tuple of int, optional
        Filter shape of each layer, ``()`` for a dense one; all dense by default. Filter
        positions count as further channels of their layer (section 2.2).

    Notes
    -----
    With one channel and dense layers, "np" has ``4 L**2 + 10 L - 4`` parameters beside the
    ``2 L`` constants; c_i and c_o channels multiply the former by ``c_i c_o`` and the latter by
    ``c_o``. The stars of equation 3 are means. Networks of different widths share a batch
    by padding with zeros; means are then taken over the true neurons.

    References
    ----------
    .. [1] Zhou et al., "Permutation equivariant neural functionals", 2023.

    Examples
    --------
    >>> import torch
    >>> from skmeta.metanets import NFLayer
    >>> layer = NFLayer((2, 32, 32, 3), 1, 8, symmetry="hnp")
    >>> weights = [torch.randn(4, 1, 32, 2), torch.randn(4, 1, 32, 32), torch.randn(4, 1, 3, 32)]
    >>> biases = [torch.randn(4, 1, n) for n in (32, 32, 3)]
    >>> weights, biases = layer(weights, biases)
    >>> weights[0].shape, biases[2].shape
    (torch.Size([4, 8, 32, 2]), torch.Size([4, 8, 3]))
    """

    def __init__(
        self,
        sizes: Sequence[int],
        in_channels: int,
        out_channels: int,
        symmetry: str = "np",
        *,
        kernels: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        check_option("symmetry", symmetry, MAPS, owner="NFLayer")
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        check_layer("NFLayer", sizes, kernels, **channels)
        self.in_channels = in_channels
        self.layout = layout_of(sizes, symmetry, kernels)
        widths = ([c * fold for fold in self.layout.folds] for c in (in_channels, out_channels))
        self.map = MAPS[symmetry](self.layout, *widths)

    def forward(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], masks: Masks | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Map features of networks to features of the same shapes but for the channels.

        Parameters
        ----------
        weights : sequence of Tensor
            ``(B, in_channels, n_out, n_in, *kernel)`` per layer.
        biases : sequence of Tensor
            ``(B, in_channels, n_out)`` per layer.
        masks : sequence of Tensor or None, optional
            ``(B, width)`` of ones at the true neurons of each of the L + 1 states, None where a
            state is not padded. Features are zero at padding, before and after.

        Returns
        -------
        weights, biases : list of Tensor
            With ``out_channels`` channels.
        """
        check_features("NFLayer", self.layout, weights, biases, self.in_channels)
        return self.layout.unfold(self.map(self.layout.fold(weights, biases), masks))
