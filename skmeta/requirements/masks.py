"""Requirements on the weights themselves: fewer inputs or fewer weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skmeta._checks import check_in_range, check_option
from skmeta.gradients import Recording, saliency
from skmeta.population import Stack, Weights
from skmeta.requirements.elimination import backward_elimination
from skmeta.requirements.rounding import settled

Masks = tuple[Tensor, ...]
"""Zeros and ones per layer that broadcast against the weights ``(n, out, in)``."""


class MaskRequirement(BaseEstimator, ABC):
    """A requirement to set inputs or weights to zero.

    Parameters
    ----------
    budget : int or float, optional
        How many stay (int), or which share (float in (0, 1]): it is met exactly, at least
        one stays. Without a budget ``lam`` weighs the share that stays against the
        divergence, network by network.
    compensate : bool, default=True
        Whether to edit the weights that stay.
    """

    needs_sensitive: ClassVar[bool] = False

    unit: ClassVar[str]
    """What is counted, for messages."""

    def __init__(self, *, budget: int | float | None = None, compensate: bool = True) -> None:
        self.budget = budget
        self.compensate = compensate

    @abstractmethod
    def candidates(self, stack: Stack) -> Masks:
        """Ones where something can be kept: the entries that scores belong to.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        tuple of Tensor
            Per layer; they broadcast against the weights ``(n, out, in)``.
        """

    @abstractmethod
    def used(self, stack: Stack) -> Masks:
        """Ones where a network uses a candidate.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        tuple of Tensor
            In the shapes of :meth:`candidates`.
        """

    @abstractmethod
    def scores(self, stack: Stack, X: Tensor, weights: Tensor) -> Masks:
        """How much each network needs each candidate.

        Parameters
        ----------
        stack : Stack
            Original networks, as float64: scores decide, and rounding must not.
        X : Tensor of shape (n_samples, n_inputs)
            Rows to look at.
        weights : Tensor of shape (n_samples,)
            Weights of the rows; they sum to 1.

        Returns
        -------
        tuple of Tensor
            In the shapes of :meth:`candidates`; the largest are kept.
        """

    def check(self, owner: str) -> None:
        """Raise unless the budget is a count or a share.

        Parameters
        ----------
        owner : str
            Who asks, for messages.
        """
        budget, name = self.budget, f"{type(self).__name__} in {owner}"
        check_option("compensate", self.compensate, [False, True], owner=name)
        if budget is None:
            return
        if isinstance(budget, Integral) and not isinstance(budget, bool):
            check_in_range("budget", budget, owner=name, low=1, kind="int")
        else:
            check_in_range("budget", budget, owner=name, low=0, high=1, closed="right")

    def totals(self, stack: Stack) -> Tensor:
        """How many candidates each network has.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Tensor of int of shape (n,)
            The counts.
        """
        return _counts(self.candidates(stack))

    def n_kept(self, stack: Stack, budget: int | float) -> Tensor:
        """How many candidates a budget leaves to each network.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.
        budget : int or float
            A count or a share.

        Returns
        -------
        Tensor of int of shape (n,)
            At least 1, at most :meth:`totals`.
        """
        totals = self.totals(stack)
        if isinstance(budget, Integral):
            return totals.clamp_max(int(budget))
        return (totals.float() * budget).round().clamp_min(1).long()

    def measure_weights(self, stack: Stack) -> Tensor:
        """Share of the candidates that each network uses.

        Parameters
        ----------
        stack : Stack
            Networks of one depth.

        Returns
        -------
        Tensor of shape (n,)
            From 0 to 1.
        """
        return _counts(self.used(stack)).float() / self.totals(stack)


class DataMinimization(MaskRequirement):
    """Use fewer inputs (eq. 4 and appendix A.1.1 of the paper on learned editing [1]_).

    An input that is not kept has zero outgoing weights: the network's outputs no longer
    depend on it, so that it need not be collected.

    Parameters
    ----------
    budget : int or float, optional
        How many inputs stay, or which share. See :class:`MaskRequirement`.
    compensate : bool, default=True
        Whether to edit the weights of the inputs that stay.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> from skmeta.requirements import DataMinimization
    >>> networks = Population.initialize(Architecture.mlp((14, 8, 2)), 1, random_state=0)
    >>> DataMinimization(budget=7).measure_weights(networks.blocks[0][1])  # not edited yet
    tensor([1.])
    """

    unit = "inputs"

    def candidates(self, stack: Stack) -> Masks:
        """Ones at the inputs, ``(n, 1, n_inputs)``; other layers have no candidates."""
        if any(0 in stage.skips for a in stack.architectures for stage in a.stages):
            raise ValueError(
                "DataMinimization needs networks whose inputs enter through the first layer's "
                "weights only. Got a skip connection from the input. Leave such networks out."
            )
        first, *rest = stack.weights.of_field("weight")
        ones = first.new_ones(len(stack), 1, first.shape[2])
        return ones, *(w.new_zeros(len(stack), 1, 1) for w in rest)

    def n_kept(self, stack: Stack, budget: int | float) -> Tensor:
        """How many inputs a budget leaves to each network, ``(n,)``."""
        n_inputs = stack.widths[0]
        # Networks of one task have the same inputs: such a budget is a slip.
        if isinstance(budget, Integral) and budget > n_inputs:
            raise ValueError(
                "The 'budget' parameter of DataMinimization must be at most the number of inputs "
                f"of the networks, {n_inputs}. Got {budget}. Pass fewer, or a share such as 0.5."
            )
        return super().n_kept(stack, budget)

    def used(self, stack: Stack) -> Masks:
        """Ones at the inputs with an outgoing weight that is not zero."""
        first, *rest = self.candidates(stack)
        weight = stack.weights["0.weight"]
        return first * (weight != 0).any(1, keepdim=True), *rest

    def scores(self, stack: Stack, X: Tensor, weights: Tensor) -> Masks:
        """Rank of each input in a backward elimination."""
        first, *rest = self.candidates(stack)
        return backward_elimination(stack, X, weights)[:, None] * first, *rest


class Pruning(MaskRequirement):
    """Use fewer weights (appendix A.1.3 of the paper on learned editing [1]_).

    The entries of the weight matrices count; biases and normalisations stay.

    Parameters
    ----------
    budget : int or float, optional
        How many weights stay, or which share. See :class:`MaskRequirement`.
    compensate : bool, default=True
        Whether to edit the weights that stay.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement compliance".

    Examples
    --------
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> from skmeta.requirements import Pruning
    >>> networks = Population.initialize(Architecture.mlp((14, 8, 2)), 1, random_state=0)
    >>> Pruning().n_kept(networks.blocks[0][1], 0.25)
    tensor([32])
    """

    unit = "weights"

    def candidates(self, stack: Stack) -> Masks:
        """Ones at true weights."""
        return tuple(stack.present().of_field("weight"))

    def used(self, stack: Stack) -> Masks:
        """Ones at true weights that are not zero."""
        pairs = zip(self.candidates(stack), stack.weights.of_field("weight"), strict=True)
        return tuple(mask * (weight != 0) for mask, weight in pairs)

    def scores(self, stack: Stack, X: Tensor, weights: Tensor) -> Masks:
        """Second-order cost of setting each weight to zero."""
        return saliency(Recording(stack, X), weights)


def keep_largest(scores: Sequence[Tensor], candidates: Masks, n_kept: Tensor) -> Masks:
    """Keep the candidates with the largest scores of each network, over all layers.

    Parameters
    ----------
    scores : sequence of Tensor of the shapes of ``candidates``
        Not nan. Of equal scores the first stays; equal are all that rounding may tell apart,
        see :func:`~skmeta.requirements.rounding.settled`.
    candidates : Masks
        Ones at what can be kept.
    n_kept : Tensor of int of shape (n,)
        How many to keep.

    Returns
    -------
    Masks
        Ones at what is kept, and in layers without any candidate.

    Examples
    --------
    >>> import torch
    >>> from skmeta.requirements.masks import keep_largest
    >>> ones = (torch.ones(1, 1, 4),)
    >>> keep_largest((torch.tensor([[[3.0, 1, 2, 0]]]),), ones, torch.tensor([2]))
    (tensor([[[1., 0., 1., 0.]]]),)
    """
    wide = [c.expand_as(s) for c, s in zip(candidates, scores, strict=True)]
    flat = torch.cat([s.flatten(1) for s in scores], 1)
    present = torch.cat([c.flatten(1) for c in wide], 1) > 0
    flat = settled(flat.masked_fill(~present, 0.0)).masked_fill(~present, -torch.inf)
    order = flat.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    )
    kept = ((rank < n_kept[:, None]) & present).to(flat.dtype)
    parts = kept.split([s[0].numel() for s in scores], 1)
    return tuple(
        part.unflatten(1, s.shape[1:]) if bool(c.any()) else torch.ones_like(s)
        for part, s, c in zip(parts, scores, candidates, strict=True)
    )


def masked(weights: Weights, masks: Masks) -> Weights:
    """Set the weights that a mask leaves out to zero."""
    pairs = zip(weights.of_field("weight"), masks, strict=True)
    return weights.replaced(weight=[w * m for w, m in pairs])


def _counts(masks: Masks) -> Tensor:
    return torch.stack([m.flatten(1).sum(1) for m in masks]).sum(0).long()
