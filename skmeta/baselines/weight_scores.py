"""How important the weights of networks are, by classic criteria: :data:`CRITERIA`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from skmeta.datasets import CrossEntropy, Task
from skmeta.gradients import FisherSamples
from skmeta.population import Stack, forward
from skmeta.population.mapping import rows_at_once
from skmeta.reading import CurvatureReader
from skmeta.requirements.masks import Masks
from skmeta.requirements.rounding import settled


def _random(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """Draw a score for each true weight; each network has a stream of its own."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    scores = []
    for mask in stack.present().of_field("weight"):
        counts = mask.flatten(1).sum(1).long().tolist()
        draws = [torch.rand(n, generator=g) for n, g in zip(counts, generators, strict=True)]
        scores.append(torch.zeros_like(mask).masked_scatter_(mask > 0, torch.cat(draws).to(mask)))
    return tuple(scores)


def magnitude(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """Score a weight by its size."""
    return tuple(weight.abs() for weight in stack.weights.of_field("weight"))


def _gradient(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """Absolute gradients of the sum of the cross-entropies of all rows."""
    weights = stack.weights.map(lambda t: t.detach().requires_grad_())
    total = torch.zeros_like(stack.weights.flat)
    for X, labels in _pieces(stack, task):
        rows = torch.arange(len(X), device=X.device).expand(len(stack), -1)
        with torch.enable_grad():
            loss = CrossEntropy(labels)(forward(stack, X, weights), rows).sum() * len(X)
        total += torch.autograd.grad(loss, weights.flat)[0]
    return tuple(t.abs() for t in stack.weights.with_flat(total).of_field("weight"))


def _snip(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    gradients = _gradient(stack, task, seeds)
    pairs = zip(stack.weights.of_field("weight"), gradients, strict=True)
    return tuple(w.abs() * g for w, g in pairs)


def _wanda(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    sums = [stack.weights.flat.new_zeros(len(stack), width) for width in stack.widths]

    def see(index: int, h: Tensor) -> None:
        sums[index] += h.square().sum(1)

    with torch.no_grad():
        for X, _ in _pieces(stack, task):
            forward(stack, X, see=see)
    both = (kind.of_field("weight") for kind in (stack.weights, stack.present()))
    layers = zip(*both, sums, strict=False)
    return tuple(_position_in_row(w.abs() * s.sqrt()[:, None], mask) for w, mask, s in layers)


def _position_in_row(score: Tensor, present: Tensor) -> Tensor:
    """Turn scores into minus the share of their row that is not smaller.

    Within a row ranks decide. Weights of the same rank in different rows lie between this
    rank and the next, in the order of their scores.
    """
    score = score.masked_fill(present == 0, -1.0)  # behind all that are there
    keys = settled(score.flatten(1)).view_as(score)
    rank = keys.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    largest = score.amax((1, 2), keepdim=True).clamp_min(torch.finfo(score.dtype).tiny)
    return -(rank + 1 - score / largest) / present.sum(2, keepdim=True).clamp_min(1)


def _pieces(stack: Stack, task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and labels that fit into memory."""
    X, y, _ = task.tensors(stack.device, stack.dtype)
    n_rows = rows_at_once(stack)
    return zip(X.split(n_rows), y.split(n_rows), strict=True)


def _obd(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """Squared weights times the diagonal of the Fisher information."""
    total = torch.zeros_like(stack.weights.flat)
    for X, _ in _pieces(stack, task):
        total += FisherSamples.of(stack, X).diagonal().flat * len(X)
    costs = stack.weights.with_flat(stack.weights.flat.square() * total)
    return tuple(costs.of_field("weight"))


def _obs(stack: Stack, task: Task, seeds: list[int]) -> Masks:
    """The same, as far as no other weights take over."""
    X, _, _ = task.tensors(stack.device, stack.dtype)
    costs = CurvatureReader("standard", len(X)).saliency(stack, X, "obs")
    return tuple(costs.of_field("weight"))


CRITERIA: dict[str, Callable[[Stack, Task, list[int]], Masks]] = {
    "random": _random,
    "magnitude": magnitude,
    "gradient": _gradient,
    "snip": _snip,
    "wanda": _wanda,
    "obd": _obd,
    "obs": _obs,
}
"""Functions that score the weights of a stack."""
