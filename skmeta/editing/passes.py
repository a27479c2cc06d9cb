"""One forward pass of a metanetwork over a population: :func:`edit_population`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skmeta.editing.checks import check_finite_edits
from skmeta.editing.graphs import GraphBuilder
from skmeta.editing.masked_graphs import MaskedGraphBuilder
from skmeta.metanets import WeightGraph
from skmeta.population import Parameters, Population, Stack, forward
from skmeta.population.blocks import Block

# Of 16 to 256 the fastest: what the metanetwork holds of so many networks stays in the cache.
_CHUNK = 64


def edit_population(
    population: Population,
    builder: GraphBuilder | MaskedGraphBuilder,
    metanet: nn.Module | None,
    lam: float,
) -> Population:
    """Edit all networks.

    Parameters
    ----------
    population : Population
        Networks as float32 on the builder's device.
    builder : GraphBuilder or MaskedGraphBuilder
        Computes features, and masks if there are any.
    metanet : Module or None
        Maps a graph and lam to an edit. None leaves it at what the builder did.
    lam : float
        Weight of the violation.

    Returns
    -------
    Population
        Edited networks. An edit that does not lower the objective on the reference rows is
        shortened to a quarter, and then left out.
    """
    blocks: list[Block] = []
    with torch.no_grad():
        for positions, stack in population.depth_blocks():
            for rows in torch.arange(len(stack)).split(_CHUNK):
                part = stack if len(rows) == len(stack) else stack.select(rows)
                here = np.asarray(positions)[rows.numpy()]
                edited = _edit(part, builder, metanet, lam)
                check_finite_edits(edited.params, here)
                blocks.append((here, edited))
    return population.with_blocks(blocks)


def _edit(
    stack: Stack,
    builder: GraphBuilder | MaskedGraphBuilder,
    metanet: nn.Module | None,
    lam: float,
) -> Stack:
    if metanet is None:
        assert isinstance(builder, MaskedGraphBuilder)
        return stack.with_params(builder.masked(stack))
    graph = builder.build(stack)
    lams = graph.context.new_full((len(stack),), lam)
    edit = metanet(graph, lams)
    rows = builder.builder if isinstance(builder, MaskedGraphBuilder) else builder
    return stack.with_params(_backtracked(rows, graph, edit, lams))


def _backtracked(
    builder: GraphBuilder, graph: WeightGraph, edit: Parameters, lam: Tensor
) -> Parameters:
    """Add edits, shortened or left out where they do not lower the reference rows' objective.

    A line search: an edit of a network that reacts more strongly than those of the training
    population can do much harm, and its rows are at hand. Without labels there is none.
    """
    params = graph.stack.params
    if builder.cells is None or graph.outputs is None:
        return params.map(torch.add, edit)
    X, cells, objective = builder.X, builder.cells, builder.objective
    original = graph.outputs
    start = original if graph.teacher is None else forward(graph.stack, X)
    least = objective.exact(original, start, cells, lam)
    factor = torch.ones_like(lam)
    for shorter in (0.25, 0.0):
        after = _moved(params, edit, factor)
        loss = objective.exact(original, forward(graph.stack, X, after), cells, lam)
        worse = ~(loss < least)  # what is not a number is worse, too
        if not worse.any():
            return after
        factor = torch.where(worse, shorter, factor)
    return _moved(params, edit, factor)


def _moved(params: Parameters, edit: Parameters, factor: Tensor) -> Parameters:
    """Add a multiple of each network's edit."""
    return params.map(lambda p, e: p + factor.view(-1, *[1] * (e.ndim - 1)) * e, edit)
