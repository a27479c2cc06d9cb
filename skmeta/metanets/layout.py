"""Which axes of weights and biases may be permuted, and the folding of the others into channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from skmeta._checks import check_in_range

Masks = Sequence[Tensor | None]
"""Ones at true neurons, ``(B, width)`` per state; None where a state is not padded."""


@dataclass(frozen=True)
class Layout:
    """Weights and biases of networks of one depth as tensors whose free axes come last.

    An axis of neurons is *free* if the symmetry permutes it. All other axes (inputs and
    outputs under HNP, filter positions always) are folded into the channels: under HNP the
    weights of the first layer are n_0 channels on the neurons of state 1, just as its biases
    are one. What is left are matrices between two states, vectors on one state and plain
    numbers, which is all that an equivariant layer needs to know (paper 002, section 2.2,
    "Extension to convolutional weight-spaces", and appendix C, where the action of HNP leaves
    the columns of W(1) and the rows of W(L), v(L) in place).

    Parameters
    ----------
    sizes : tuple of int
        Widths n_0, ..., n_L of the states; only those of states that are not free matter.
    kernels : tuple of tuple of int
        Filter shape of each layer, ``()`` for a dense one.
    free : frozenset of int
        States whose neurons are permuted.

    Notes
    -----
    *Folded* tensors come in the order W(1), v(1), W(2), v(2), ...; ``(B, c, n, m)`` is a matrix,
    ``(B, c, n)`` a vector and ``(B, c)`` plain numbers.
    """

    sizes: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    free: frozenset[int]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.kernels)

    @cached_property
    def states(self) -> tuple[tuple[int, ...], ...]:
        """Free states of each folded tensor, rows before columns."""
        pairs = [s for i in range(1, self.depth + 1) for s in ((i, i - 1), (i,))]
        return tuple(tuple(s for s in pair if s in self.free) for pair in pairs)

    @cached_property
    def folds(self) -> tuple[int, ...]:
        """Channels of each folded tensor per channel of features."""
        counts = []
        for i, kernel in enumerate(self.kernels, start=1):
            rows, columns = (1 if s in self.free else self.sizes[s] for s in (i, i - 1))
            counts += [rows * columns * prod(kernel), rows]
        return tuple(counts)

    def fold(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[Tensor]:
        """Fold ``(B, C, n_out, n_in, *kernel)`` and ``(B, C, n_out)`` tensors."""
        folded = []
        for t, x in enumerate(x for pair in zip(weights, biases, strict=True) for x in pair):
            x = x.permute(self._axes(t))
            free = len(self.states[t])
            folded.append(x.flatten(1, x.ndim - 1 - free).contiguous())
        return folded

    def unfold(self, folded: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Undo :meth:`fold`, whatever the number of channels."""
        shaped = []
        for t, x in enumerate(folded):
            i, is_bias = t // 2 + 1, t % 2
            states = (i,) if is_bias else (i, i - 1)
            fixed = [self.sizes[s] for s in states if s not in self.free]
            kernel = () if is_bias else self.kernels[i - 1]
            x = x.unflatten(1, (-1, *fixed, *kernel))
            axes = torch.tensor(self._axes(t))
            shaped.append(x.permute(axes.argsort().tolist()))
        return shaped[::2], shaped[1::2]

    def _axes(self, t: int) -> list[int]:
        """Order of axes with channels first, then what is folded, free axes at the end."""
        i, is_bias = t // 2 + 1, t % 2
        neurons = {2: i} if is_bias else {2: i, 3: i - 1}
        fixed = [axis for axis, state in neurons.items() if state not in self.free]
        free = [axis for axis, state in neurons.items() if state in self.free]
        n_kernel = 0 if is_bias else len(self.kernels[i - 1])
        first = 2 + len(neurons)
        return [0, 1, *fixed, *range(first, first + n_kernel), *free]


def layout_of(
    sizes: Sequence[int], symmetry: str, kernels: Sequence[Sequence[int]] | None = None
) -> Layout:
    """Return the layout of a symmetry: all states are free, or the hidden ones.

    Parameters
    ----------
    sizes : sequence of int
        Widths n_0, ..., n_L.
    symmetry : {"np", "hnp", "pointwise", "monomial"}
        "np" and "pointwise" free all states, "hnp" and "monomial" the hidden ones.
    kernels : sequence of tuple of int, optional
        Filter shape of each layer, ``()`` for a dense layer; all dense by default.
    """
    depth = len(sizes) - 1
    hidden = symmetry in ("hnp", "monomial")
    free = range(1, depth) if hidden else range(depth + 1)
    shapes = tuple(tuple(kernel) for kernel in kernels or [()] * depth)
    return Layout(tuple(sizes), shapes, frozenset(free))


def check_layer(
    owner: str,
    sizes: Sequence[int],
    kernels: Sequence[Sequence[int]] | None,
    **channels: int,
) -> None:
    """Check what a layer of a given class is made for."""
    for name, value in channels.items():
        check_in_range(name, value, owner=owner, low=1, kind="int")
    several = are_sequences(sizes, kernels or ())
    for size in sizes if several else ():
        check_in_range("sizes", size, owner=owner, low=1, kind="int")
    if not several or len(sizes) < 2 or (kernels is not None and len(kernels) != len(sizes) - 1):
        raise ValueError(
            f"{owner} takes widths n_0, ..., n_L of at least one layer and one kernel per "
            f"layer. Got sizes={sizes!r} and kernels={kernels!r}."
        )


def are_sequences(*values: Any) -> bool:
    """Whether values can be counted and walked through, unlike a number."""
    return all(hasattr(value, "__len__") for value in values)


def check_features(
    owner: str,
    layout: Layout,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    channels: int | None = None,
) -> None:
    """Refuse features that are not those of networks of a layout; its free states may vary."""
    if not are_sequences(weights, biases):
        weights, biases = [], []
    shapes = tuple([tuple(getattr(x, "shape", ())) for x in xs] for xs in (weights, biases))
    widths = [shape[2] if len(shape) == 3 else 0 for shape in shapes[1]]
    fits = len(shapes[0]) == len(shapes[1]) == layout.depth
    if fits:
        first = shapes[0][0]
        widths.insert(0, first[3] if len(first) > 3 else 0)
        batch = first[:1] + ((channels,) if channels else first[1:2])
        layers = zip(widths, widths[1:], layout.kernels, strict=False)
        wanted = [(*batch, n, m, *k) for m, n, k in layers], [(*batch, n) for n in widths[1:]]
        fixed = set(range(layout.depth + 1)) - layout.free
        fits = shapes == wanted and all(widths[s] == layout.sizes[s] for s in fixed)
    if not fits:
        free = [n if s not in layout.free else "any" for s, n in enumerate(layout.sizes)]
        raise ValueError(
            f"{owner} takes weights (batch, channels, n_out, n_in, *kernel) and biases (batch, "
            f"channels, n_out) of {layout.depth} layer(s), channels {channels or 'alike'}, widths "
            f"{', '.join(map(str, free))}, kernels {layout.kernels}. Got weights of shapes "
            f"{shapes[0]} and biases of shapes {shapes[1]}."
        )


def hide_padding(x: Tensor, states: Sequence[int], masks: Masks | None) -> Tensor:
    """Zero the padding of a folded tensor."""
    if masks is None:
        return x
    for axis, state in enumerate(states, start=2):
        mask = masks[state]
        if mask is not None:
            shape = [len(mask), 1, *(1 for _ in states)]
            shape[axis] = -1
            x = x * mask.view(shape)
    return x


def true_counts(layout: Layout, features: Sequence[Tensor], masks: Masks | None) -> dict:
    """Numbers of true neurons of the free states, an int or ``(B, 1, 1)``."""
    counts: dict[int, int | Tensor] = {}
    for x, states in zip(features, layout.states, strict=True):
        for axis, state in enumerate(states, start=2):
            mask = None if masks is None else masks[state]
            counts[state] = x.shape[axis] if mask is None else mask.sum(1)[:, None, None]
    return counts
