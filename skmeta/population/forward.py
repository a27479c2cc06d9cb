"""Running all networks of a stack at once: :func:`forward`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skmeta.networks.activations import ACTIVATION_FUNCTIONS, BATCH_NORM_MOMENTUM
from skmeta.networks.convolution import as_positions
from skmeta.population.stack import Stack
from skmeta.population.tensors import Buffers, Parameters


class Tape:
    """Collects the states of a forward pass and hooks into it; the base class only looks on.

    ``train`` selects batch statistics in batch normalisation. Subclasses override
    :meth:`state` (dropout in training) or read what :meth:`preactivation` and :meth:`state`
    see. In front of the pooling, a row of a convolutional network is a position of an image:
    ``n_samples`` is then the number of all positions.
    """

    train = False

    def preactivation(self, index: int, z: Tensor) -> Tensor:
        """See the output of a linear layer or a convolution.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.
        z : Tensor of shape (n, n_samples, width)
            Its outputs.

        Returns
        -------
        Tensor
            What the pass goes on with, here ``z``.
        """
        return z

    def state(self, index: int, h: Tensor) -> Tensor:
        """See a state.

        Parameters
        ----------
        index : int
            Number of the state; 0 is the input.
        h : Tensor of shape (n, n_samples, width)
            The state.

        Returns
        -------
        Tensor
            What the pass goes on with, here ``h``.
        """
        return h

    def batch_statistics(self, index: int, rows: slice, mean: Tensor, var: Tensor) -> None:
        """See the batch statistics of a layer in training.

        Parameters
        ----------
        index : int
            Number of the layer, from 0.
        rows : slice
            The networks that they belong to.
        mean, var : Tensor of shape (n_rows, 1, width)
            Statistics of the batch.
        """


_SILENT = Tape()


class StackedLinear(torch.autograd.Function):
    """``h @ weight.T + bias`` for every network of a stack.

    Autograd's own backward of ``baddbmm`` computes a transposed weight gradient, which is up
    to six times slower for narrow layers and must be copied afterwards.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Map ``(n, n_samples, width_in)`` to ``(n, n_samples, width_out)``."""
        ctx.save_for_backward(h, weight)
        return torch.baddbmm(bias[:, None], h, weight.transpose(1, 2))

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the gradients of input, weight and bias."""
        (g,) = gradients
        h, weight = ctx.saved_tensors
        wants_h, wants_weight, wants_bias = ctx.needs_input_grad
        dh = torch.bmm(g, weight) if wants_h else None
        dw = None
        if wants_weight:
            tall = weight.shape[1] > weight.shape[2]
            dw = (
                torch.bmm(h.transpose(1, 2), g).transpose(1, 2)
                if tall
                else torch.bmm(g.transpose(1, 2), h)
            )
        return dh, dw, g.sum(1) if wants_bias else None


def forward(
    stack: Stack,
    X: Tensor,
    params: Parameters | None = None,
    *,
    tape: Tape = _SILENT,
) -> Tensor:
    """Run every network of a stack on the same rows or on rows of its own.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
        Shared rows, or rows per network; of images, their pixels (channels first).
    params : Parameters, optional
        Weights to use in place of the stack's own (edited or trained ones).
    tape : Tape, optional
        Observer of the pass; training mode and dropout live there.

    Returns
    -------
    Tensor of shape (n, n_samples, n_outputs)
        Outputs of the last layer, differentiable in ``params`` and ``X``.
    """
    params = params or stack.params
    h = X.expand(len(stack), *X.shape) if X.ndim == 2 else X
    h = tape.state(0, h)
    if stack.convolution(0) is not None:
        h = as_positions(h, stack.widths[0])
    states = {0: h}  # the last one, and those that skip connections come back to
    for index, (weight, bias) in enumerate(zip(params.weight, params.bias, strict=True)):
        plan = stack.convolution(index)
        z = (plan or StackedLinear.apply)(h, weight, bias)
        z = tape.preactivation(index, z)
        inner = _add_skips(None, z, stack, index, states)
        h = _finish_all(index, z, inner, stack, params, tape)
        outer = _add_skips(h, z, stack, index, states)
        h = h if outer is None else outer
        if index not in stack.skip_sources:
            del states[index]
        h = tape.state(index + 1, h)
        states[index + 1] = h = h if plan is None else plan.pool(h)
    return h


def _finish_all(
    index: int, z: Tensor, inner: Tensor | None, stack: Stack, params: Parameters, tape: Tape
) -> Tensor:
    """Normalise, add inner skip connections and activate the outputs of a linear layer."""
    runs = stack.layer_runs(index)
    # One split has one backward; a slice per run would cost one of full size each.
    sizes = [stop - start for start, stop, _ in runs]
    skips = [None] * len(runs) if inner is None else _split(inner, sizes)
    parts = [
        _finish(part, skip, key, stack, params, index, slice(start, stop), tape)
        for (start, stop, key), part, skip in zip(runs, _split(z, sizes), skips, strict=True)
    ]
    h = parts[0] if len(parts) == 1 else torch.cat(parts)
    mask = stack.state_mask(index + 1)
    return h if mask is None else h * mask[:, None]


def _split(tensor: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    return [tensor] if len(sizes) == 1 else tensor.split(sizes)


def _finish(
    z: Tensor,
    skip: Tensor | None,
    key: tuple,
    stack: Stack,
    params: Parameters,
    index: int,
    rows: slice,
    tape: Tape,
) -> Tensor:
    """Normalise, add inner skip connections and activate networks that share a key."""
    norm, norm_after, activation, eps = key

    def normalise(value: Tensor) -> Tensor:
        if norm == "none":
            return value
        scale, shift = params.scale[index][rows, None], params.shift[index][rows, None]
        if norm == "layer":
            return _layer_norm(value, stack.state_mask(index + 1), rows, eps) * scale + shift
        if tape.train:
            mean = value.mean(1, keepdim=True)
            var = (value - mean).square().mean(1, keepdim=True)  # var_mean is much slower
            tape.batch_statistics(index, rows, mean, var)
        else:
            mean = stack.buffers.mean[index][rows, None]
            var = stack.buffers.var[index][rows, None]
        gain = scale * torch.rsqrt(var + eps)
        return value * gain + (shift - mean * gain)

    if not norm_after:
        z = normalise(z)
    if skip is not None:
        z = z + skip
    h = ACTIVATION_FUNCTIONS[activation](z)
    return normalise(h) if norm_after else h


def _layer_norm(z: Tensor, mask: Tensor | None, rows: slice, eps: float) -> Tensor:
    if mask is None:
        return F.layer_norm(z, z.shape[-1:], eps=eps)
    mask = mask[rows, None]
    count = mask.sum(-1, keepdim=True)
    centred = (z - (z * mask).sum(-1, keepdim=True) / count) * mask
    return centred * torch.rsqrt(centred.square().sum(-1, keepdim=True) / count + eps)


def _add_skips(
    h: Tensor | None, like: Tensor, stack: Stack, index: int, states: dict[int, Tensor]
) -> Tensor | None:
    """Add a layer's outer skip connections to h, or return the sum of the inner ones (h=None)."""
    inner = h is None
    for source, rows in stack.skips(index, before=inner):
        state = states[source] if rows is None else states[source].index_select(0, rows)
        # In a padded stack a source may be padded wider than the target; the rest is zero.
        state = F.pad(state, (0, like.shape[-1] - state.shape[-1]))
        base = torch.zeros_like(like) if h is None else h
        h = base + state if rows is None else base.index_add(0, rows, state)
    return h


def update_buffers(buffers: Buffers, seen: dict, n_samples: int) -> None:
    """Blend batch statistics into the running ones in place, as torch's BatchNorm1d does.

    ``seen`` maps ``(index, (start, stop))`` to a mean and a biased variance.
    """
    unbias = n_samples / max(n_samples - 1, 1)
    for (index, rows), (mean, var) in seen.items():
        buffers.mean[index][slice(*rows)].lerp_(mean[:, 0], BATCH_NORM_MOMENTUM)
        buffers.var[index][slice(*rows)].lerp_(var[:, 0] * unbias, BATCH_NORM_MOMENTUM)
