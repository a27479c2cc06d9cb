"""One forward pass of a metanetwork over a population: :func:`edit_population`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skmeta.editing.checks import check_finite_edits
from skmeta.editing.features import FeatureBuilder
from skmeta.editing.problem import EditProblem
from skmeta.metanets import Metanet
from skmeta.population import Population, Stack, Weights, forward


def edit_population(
    population: Population, builder: FeatureBuilder, metanet: Metanet | None, lam: float
) -> Population:
    """Edit all networks.

    Parameters
    ----------
    population : Population
        Networks as float32 on the builder's device.
    builder : FeatureBuilder
        Says where edits start, and computes features.
    metanet : Metanet or None
        Maps a graph and lam to an edit. None leaves it at the start, which a mask makes.
    lam : float
        Weight of the violation.

    Returns
    -------
    Population
        Edited networks. An edit that does not lower the objective on the reference rows is
        shortened to a quarter, and then left out.
    """

    def edited(stack: Stack, positions: np.ndarray) -> Stack:
        with torch.no_grad():
            edit = _edit(stack, builder, metanet, lam)
        check_finite_edits(edit.weights, positions)
        return edit

    def numbers(stack: Stack) -> int:
        held = builder.numbers(stack)
        return held if metanet is None else max(held, metanet.numbers(stack))

    return population.map(edited, np.arange(len(population)), numbers=numbers)


def _edit(stack: Stack, builder: FeatureBuilder, metanet: Metanet | None, lam: float) -> Stack:
    if metanet is None:
        return builder.start(stack).stack
    problem = builder.build(stack)
    lams = problem.divergence.new_full((len(stack),), lam)
    edit, start = metanet(problem.graph, lams), problem.start
    if builder.features != "gradients":
        return start.with_weights(start.weights + edit)
    return start.with_weights(_backtracked(problem, edit, lams))


def _backtracked(problem: EditProblem, edit: Weights, lam: Tensor) -> Weights:
    """Add edits, shortened or left out where they do not lower the reference rows' objective.

    A line search: an edit of a network that reacts more strongly than those of the training
    population can do much harm, and its rows are at hand.
    """
    weights, factor = problem.start.weights, torch.ones_like(lam)

    def objective(outputs: Tensor) -> Tensor:
        return problem.objective.exact(problem.target, outputs, problem.cells, lam)

    least = objective(forward(problem.start, problem.X))
    for shorter in (0.25, 0.0):
        after = weights + edit * factor
        loss = objective(forward(problem.start, problem.X, after))
        worse = ~(loss < least)  # what is not a number is worse, too
        if not worse.any():
            return after
        factor = torch.where(worse, shorter, factor)
    return weights + edit * factor
