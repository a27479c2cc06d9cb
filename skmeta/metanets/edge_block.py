"""The hot loop of the graph metanetwork: :func:`edge_block`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from skmeta.population.mapping import pieces


def edge_block_reference(
    edges: Tensor, source: Tensor, target: Tensor, mix: Tensor, out: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Slow, obvious form of :func:`edge_block`."""
    hidden = torch.relu(source[:, None] + target[:, :, None] + edges @ mix.T)
    if mask is not None:
        hidden = hidden * mask[..., None]
    return edges + hidden @ out.T, hidden.sum(2), hidden.sum(1)


def edge_block(
    edges: Tensor, source: Tensor, target: Tensor, mix: Tensor, out: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Update the states of all weights of a layer, and sum the messages along both directions.

    ``hidden = relu(source_j + target_i + mix edge_ij)`` is the hidden layer of the edge
    MLP with its first linear map split into a source, a target and an edge part; the
    update adds ``out hidden_ij`` and the messages are sums of ``hidden``.

    Parameters
    ----------
    edges : Tensor of shape (n, n_out, n_in, c)
        States of the weights.
    source, target : Tensor of shape (n, n_in, c) and (n, n_out, c)
        Projected states of the neurons at both ends.
    mix, out : Tensor of shape (c, c)
        Linear maps.
    mask : Tensor of shape (n, n_out, n_in) or None
        Ones at true weights of a padded stack.

    Returns
    -------
    edges : Tensor of shape (n, n_out, n_in, c)
        New states.
    to_target, to_source : Tensor of shape (n, n_out, c) and (n, n_in, c)
        Sums of the hidden layer over sources and over targets.
    """
    return _EdgeBlock.apply(edges, source, target, mix, out, mask)


def _pieces(edges: Tensor) -> Iterator[slice]:
    """Cut so that the states of edges and the work space stay in the cache."""
    return pieces(len(edges), 8 * edges[0].numel(), edges.device)


class _EdgeBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        edges: Tensor,
        source: Tensor,
        target: Tensor,
        mix: Tensor,
        out: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        hidden, new = torch.empty_like(edges), torch.empty_like(edges)
        to_target, to_source = torch.empty_like(target), torch.empty_like(source)
        c = edges.shape[-1]
        for rows in _pieces(edges):
            h = hidden[rows]
            torch.mm(edges[rows].reshape(-1, c), mix.T, out=h.view(-1, c))
            h.add_(source[rows, None]).add_(target[rows, :, None]).relu_()
            if mask is not None:
                h.mul_(mask[rows, ..., None])
            torch.sum(h, 2, out=to_target[rows])
            torch.sum(h, 1, out=to_source[rows])
            torch.addmm(edges[rows].reshape(-1, c), h.view(-1, c), out.T, out=new[rows].view(-1, c))
        ctx.save_for_backward(edges, hidden, mix, out)
        return new, to_target, to_source

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        g_new, g_target, g_source = gradients
        edges, hidden, mix, out = ctx.saved_tensors
        g_edges = torch.empty_like(edges)
        d_source, d_target = torch.empty_like(g_source), torch.empty_like(g_target)
        d_mix, d_out = torch.zeros_like(mix), torch.zeros_like(out)
        c = edges.shape[-1]
        for rows in _pieces(edges):
            h, g = hidden[rows], g_new[rows].reshape(-1, c)
            t = (g @ out).view_as(h).add_(g_target[rows, :, None]).add_(g_source[rows, None])
            # Behind the mask hidden is zero, so its gradient vanishes like that of relu.
            t = torch.ops.aten.threshold_backward(t, h, 0)
            torch.sum(t, 2, out=d_target[rows])
            torch.sum(t, 1, out=d_source[rows])
            flat = t.view(-1, c)
            d_out.addmm_(g.T, h.reshape(-1, c))
            d_mix.addmm_(flat.T, edges[rows].reshape(-1, c))
            torch.addmm(g, flat, mix, out=g_edges[rows].view(-1, c))
        return g_edges, d_source, d_target, d_mix, d_out, None
