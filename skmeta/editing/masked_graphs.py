"""Choosing what goes and making up for it in closed form: :class:`MaskedGraphBuilder`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skmeta.editing.graphs import CHUNK, GraphBuilder
from skmeta.gradients import reconstruct
from skmeta.metanets import WeightGraph
from skmeta.population import Parameters, Stack, forward
from skmeta.requirements import MaskRequirement
from skmeta.requirements.masks import Masks, keep_largest, masked
from skmeta.requirements.resolve import Plan

_SHARES = np.geomspace(0.03, 1.0, 12)
"""Shares that are tried where lam decides how many stay."""


def with_mask(builder: GraphBuilder, plan: Plan) -> GraphBuilder | MaskedGraphBuilder:
    """Return the builder, behind the mask of a plan if that has one."""
    return builder if plan.mask is None else MaskedGraphBuilder(builder, plan.mask, plan.lam_mask)


@dataclass(frozen=True)
class MaskedGraphBuilder:
    """Masks networks, reconstructs them and computes the features of what is left.

    Choosing is separate from compensating: a metanetwork learns the latter only, on networks
    whose mask is decided (the joint problem of appendices A.1.1 and A.1.3 of the paper on
    learned editing learned worse masks in first measurements).

    Parameters
    ----------
    builder : GraphBuilder
        Holds the reference rows; its features must be "gradients".
    mask : MaskRequirement
        What is masked.
    lam : float
        Weight of the share that stays, where there is no budget.
    """

    builder: GraphBuilder
    mask: MaskRequirement
    lam: float

    def build(self, stack: Stack) -> WeightGraph:
        """Return graphs of networks that meet the budget."""
        return self._build(stack, None)

    def build_random(self, stack: Stack, generator: torch.Generator) -> WeightGraph:
        """Return graphs with a random budget per network, log-uniform, for training."""
        share = torch.rand(len(stack), generator=generator, dtype=torch.float64)
        totals = self.mask.totals(stack)
        least = torch.maximum((1 / totals).float(), torch.full_like(share, _SHARES[0]))
        n_kept = (totals * least ** share.to(least)).round().clamp_min(1).long()
        return self._build(stack, n_kept)

    def masked(self, stack: Stack) -> Parameters:
        """Return the weights of networks that meet the budget, without further edits."""
        return self._mask(stack, None)[0]

    def _build(self, stack: Stack, n_kept: Tensor | None) -> WeightGraph:
        parts = []
        for rows in torch.arange(len(stack)).split(CHUNK):
            part = stack if len(rows) == len(stack) else stack.select(rows)
            params, masks, share = self._mask(part, None if n_kept is None else n_kept[rows])
            graph = self.builder.build_few(part.with_params(params), part)
            context = torch.cat([graph.context, share.log()[:, None].to(graph.context)], 1)
            full = tuple(m.expand_as(w) for m, w in zip(masks, params.weight, strict=True))
            parts.append(graph.with_masks(full, context))
        return parts[0] if len(parts) == 1 else WeightGraph.merge(parts, stack)

    def _mask(self, stack: Stack, n_kept: Tensor | None) -> tuple[Parameters, Masks, Tensor]:
        """Return edited weights, masks and the share of the candidates that stays.

        As float64: what stays must not depend on how other networks make sums round.
        """
        like, stack = stack.params.weight[0], stack.to(dtype=torch.float64)
        X, weights = self._rows()
        candidates, scores = self.mask.candidates(stack), self.mask.scores(stack, X, weights)
        if n_kept is None:
            n_kept = self._n_kept(stack, scores, candidates)
        masks = keep_largest(scores, candidates, n_kept)
        params = self._apply(stack, masks).map(lambda t: t.to(like))
        return params, tuple(m.to(like) for m in masks), n_kept.to(like) / self.mask.totals(stack)

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Return the reference rows and their weights as float64."""
        assert self.builder.cells is not None
        return self.builder.X.double(), self.builder.cells.row_weights().double()

    def _apply(self, stack: Stack, masks: Masks) -> Parameters:
        if not self.mask.compensate:
            return masked(stack.params, masks)
        return reconstruct(stack, masks, *self._rows())

    def _n_kept(self, stack: Stack, scores: Masks, candidates: Masks) -> Tensor:
        """How many stay: the budget, or what minimises divergence + lam * share."""
        if self.mask.budget is not None:
            return self.mask.n_kept(stack, self.mask.budget)
        assert self.builder.cells is not None
        cells, (X, _) = self.builder.cells, self._rows()
        with torch.no_grad():
            original = forward(stack, X)
            best = original.new_full((len(stack),), torch.inf)
            chosen = self.mask.totals(stack)
            for share in _SHARES:
                n_kept = self.mask.n_kept(stack, float(share))
                masks = keep_largest(scores, candidates, n_kept)
                logits = forward(stack, X, self._apply(stack, masks))
                cost = self.builder.objective.divergence(original, logits, cells)
                cost = cost + self.lam * n_kept.to(cost) / self.mask.totals(stack)
                chosen = torch.where(cost < best, n_kept, chosen)
                best = torch.minimum(cost, best)
        return chosen
