"""The full-size work of NF-layers: :func:`line_sums` and :func:`broadcast_product`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from skmeta.population.mapping import pieces


def line_sums(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a matrix of features, and its sums over columns and over rows.

    The gradients of the sums are added into that of the returned matrix in place, so that
    matrix must go into :func:`broadcast_product` and nowhere else.

    Parameters
    ----------
    x : Tensor of shape (B, c, n, m)
        Features.

    Returns
    -------
    x : Tensor of shape (B, c, n, m)
        The same numbers.
    rows, columns : Tensor of shape (B, c, n) and (B, c, m)
        Sums over the last and over the last but one axis.
    """
    return _LineSums.apply(x)


def broadcast_product(
    x: Tensor, matrix: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
) -> Tensor:
    """Map the channels of every entry and add what depends on its row or column alone.

    Parameters
    ----------
    x : Tensor of shape (B, c, n, m)
        Features.
    matrix : Tensor of shape (d, c)
        Map of the channels.
    rows, columns : Tensor of shape (B, d, n) and (B, d, m), optional
        What is added to all entries of a row and of a column; columns only beside rows.

    Returns
    -------
    Tensor of shape (B, d, n, m)
    """
    return _BroadcastProduct.apply(x.contiguous(), matrix, rows, columns)


def broadcast_product_reference(
    x: Tensor, matrix: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
) -> Tensor:
    """Slow, obvious form of :func:`broadcast_product`."""
    y = torch.einsum("dc,bcnm->bdnm", matrix, x)
    if rows is not None:
        y = y + rows[..., None]
    return y if columns is None else y + columns[..., None, :]


def _pieces(like: Tensor) -> Iterator[slice]:
    """Cut so that what is computed stays in the cache between product, additions and sums."""
    return pieces(len(like), 8 * like.shape[1:].numel(), like.device)


class _LineSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x.view_as(x), x.sum(-1), x.sum(-2)

    @staticmethod
    def backward(ctx: Any, g: Tensor, g_rows: Tensor, g_columns: Tensor) -> Tensor:
        for part in _pieces(g):
            g[part].add_(g_rows[part, ..., None]).add_(g_columns[part, :, None])
        return g


class _BroadcastProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, matrix: Tensor, rows: Tensor | None, columns: Tensor | None
    ) -> Tensor:
        y = x.new_empty(len(x), len(matrix), *x.shape[2:])
        for part in _pieces(y):
            here = y[part]
            # The product is added to what was filled in: one pass over the result less.
            if rows is not None and columns is not None:
                torch.add(rows[part, ..., None], columns[part, :, None], out=here)
            elif rows is not None:
                here.copy_(rows[part, ..., None].expand_as(here))
            _multiply(matrix, x[part], here, add=rows is not None)
        ctx.save_for_backward(x, matrix)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, matrix = ctx.saved_tensors
        g = g.contiguous()
        needs_x, needs_matrix, needs_rows, needs_columns = ctx.needs_input_grad
        g_x = torch.empty_like(x) if needs_x else None
        g_matrix = torch.zeros_like(matrix) if needs_matrix else None
        g_rows = g.new_empty(g.shape[:3]) if needs_rows else None
        g_columns = g.new_empty(*g.shape[:2], g.shape[3]) if needs_columns else None
        for part in _pieces(g):
            here = g[part]
            if g_rows is not None:
                torch.sum(here, -1, out=g_rows[part])
            if g_columns is not None:
                torch.sum(here, -2, out=g_columns[part])
            if g_x is not None:
                _multiply(matrix.T, here, g_x[part])
            if g_matrix is not None:
                flat, other = here.flatten(2), x[part].flatten(2)
                if len(flat) == 1:
                    g_matrix.addmm_(flat[0], other[0].T)
                else:
                    g_matrix += torch.bmm(flat, other.transpose(1, 2)).sum(0)
        return g_x, g_matrix, g_rows, g_columns


def _multiply(matrix: Tensor, x: Tensor, out: Tensor, *, add: bool = False) -> None:
    """``out[b] = matrix @ x[b]`` over the channels, or ``+=``."""
    x, out = x.flatten(2), out.view(len(x), len(matrix), -1)
    if len(x) == 1:
        out[0].addmm_(matrix, x[0], beta=int(add))
    else:
        out.baddbmm_(matrix.expand(len(x), -1, -1), x, beta=int(add))
