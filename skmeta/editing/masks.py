"""Choosing what goes and making up for it in closed form: :func:`choose_mask`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from skmeta.datasets import Cells
from skmeta.gradients import reconstruct
from skmeta.population import Parameters, Stack, forward
from skmeta.requirements import MaskRequirement, Objective
from skmeta.requirements.masks import Masks, keep_largest, masked
from skmeta.requirements.resolve import Plan

_SHARES = np.geomspace(0.03, 1.0, 12)
"""Shares that are tried where lam decides how many stay."""


class Start(NamedTuple):
    """Where an edit starts.

    Attributes
    ----------
    stack : Stack
        The networks, masked and reconstructed.
    free : tuple of Tensor
        Per layer zeros at the weights that must stay as they are; they broadcast against the
        weights ``(n, out, in)``.
    share : Tensor of shape (n, 1)
        Share of the candidates that stays. A free edit has none: ``(n, 0)``.
    """

    stack: Stack
    free: Masks
    share: Tensor


def choose_mask(
    stack: Stack, plan: Plan, X: Tensor, cells: Cells, n_kept: Tensor | None = None
) -> Start:
    """Mask networks and reconstruct them; without a mask they are left as they are.

    Choosing is separate from compensating: a metanetwork learns the latter only, on networks
    whose mask is decided (the joint problem of appendices A.1.1 and A.1.3 of the paper on
    learned editing learned worse masks in first measurements).

    Parameters
    ----------
    stack : Stack
        Original networks.
    plan : Plan
        What is masked, and the weight of the share that stays where there is no budget.
    X : Tensor of shape (n_reference, n_inputs)
        Rows to look at.
    cells : Cells
        Cells of these rows.
    n_kept : Tensor of int of shape (n,), optional
        How many candidates stay in each network; the plan decides by default.

    Returns
    -------
    Start
        What stays does not depend on the other networks of the stack.
    """
    weights, mask = stack.params.weight, plan.mask
    if mask is None:
        free = tuple(w.new_ones(len(stack), *[1] * (w.ndim - 1)) for w in weights)
        return Start(stack, free, weights[0].new_zeros(len(stack), 0))
    # As float64: what stays must not depend on how other networks make sums round.
    exact, X, row_weights = stack.to(dtype=torch.float64), X.double(), cells.row_weights().double()
    candidates, scores = mask.candidates(exact), mask.scores(exact, X, row_weights)

    def keep(n_kept: Tensor) -> tuple[Masks, Parameters]:
        masks = keep_largest(scores, candidates, n_kept)
        if not mask.compensate:
            return masks, masked(exact.params, masks)
        return masks, reconstruct(exact, masks, X, row_weights)

    if n_kept is None and mask.budget is not None:
        n_kept = mask.n_kept(exact, mask.budget)
    elif n_kept is None:
        n_kept = mask.totals(exact)
        with torch.no_grad():
            original = forward(exact, X)
            best = original.new_full((len(stack),), torch.inf)
            for share in _SHARES:
                tried = mask.n_kept(exact, float(share))
                logits = forward(exact, X, keep(tried)[1])
                cost = Objective(None).divergence(original, logits, cells)
                cost = cost + plan.lam_mask * tried.to(cost) / mask.totals(exact)
                n_kept = torch.where(cost < best, tried, n_kept)
                best = torch.minimum(cost, best)
    masks, params = keep(n_kept)
    share = n_kept.to(weights[0]) / mask.totals(exact)
    start = stack.with_params(params.map(lambda t: t.to(weights[0])))
    return Start(start, tuple(m.to(weights[0]) for m in masks), share[:, None])


def random_kept(mask: MaskRequirement, stack: Stack, generator: torch.Generator) -> Tensor:
    """Draw a budget per network, log-uniform, for training."""
    share = torch.rand(len(stack), generator=generator, dtype=torch.float64)
    totals = mask.totals(stack)
    least = torch.maximum((1 / totals).float(), torch.full_like(share, _SHARES[0]))
    return (totals * least ** share.to(least)).round().clamp_min(1).long()
