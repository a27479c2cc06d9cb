"""One forward pass of a metanetwork over a population: :func:`edit_population`."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skmeta.estimators.checks import check_finite_edits
from skmeta.estimators.graphs import GraphBuilder
from skmeta.estimators.masked_graphs import MaskedGraphBuilder
from skmeta.population import Population, Stack
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
    before = graph.stack.params
    after = before.map(torch.add, metanet(graph, lams))
    if isinstance(builder, MaskedGraphBuilder):
        after = builder.better(stack, before, after, lams)
    return stack.with_params(after)
