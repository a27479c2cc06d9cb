"""Search the numbers of a recipe: :func:`search`, the cross-entropy method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields
from skmeta.optimizing.problems import Problem, split_rows
from skmeta.optimizing.recipe import BASES, SCALES, Recipe
from skmeta.optimizing.unrolling import Training, unroll

_ELITE = 0.25
"""Share of the candidates that the next ones are drawn around."""

_SPREAD, _LEAST_SPREAD = 0.2, 0.03
"""Of the first candidates on their scales, and of the last."""

_KEEP = 0.3
"""Share of the old spread in the new one: few elites know theirs badly."""

FLOOR = 1e-3
"""Added to the share of the initial loss that is left, whose logarithm is the objective: what is
below is as good as nothing."""


@dataclass
class Progress:
    """How far a search has come, all of it.

    Attributes
    ----------
    mean, spread : Tensor of shape (n_numbers,)
        Of the next candidates, on their scales.
    history : list of dict
        Of each round: the least, the middle and the first candidate's objective, how many
        candidates diverged, and the numbers at the mean behind it.
    """

    mean: Tensor
    spread: Tensor
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def n_done(self) -> int:
        """Number of rounds."""
        return len(self.history)

    @property
    def shown(self) -> str:
        """For a progress bar."""
        return f"{self.history[-1]['median']:.3f}"

    @classmethod
    def start(cls, base: str) -> Progress:
        """Begin with the numbers that recipes start from.

        Parameters
        ----------
        base : str
            One of :data:`~skmeta.optimizing.recipe.BASES`.

        Returns
        -------
        Progress
        """
        mean = torch.tensor([SCALES[n].place for n in BASES[base][1]], dtype=torch.float64)
        return cls(mean, torch.full_like(mean, _SPREAD))


@dataclass(frozen=True)
class Search:
    """The cross-entropy method over the numbers of a recipe.

    In each round candidates are drawn around a mean; each trains the same networks on the same
    batches, and the best of them say where the next ones are drawn. The objective is the mean
    logarithm of the share of the initial loss that is left on held-out rows behind the last step,
    so that problems with large losses count no more than others. The mean of the last round, the
    best candidate (in comparison with the middle one of its round) and the start meet on other rows
    and batches, and the winner is the recipe: it is not worse than the start but by chance.

    Parameters
    ----------
    base : str
        One of :data:`~skmeta.optimizing.recipe.BASES`.
    training : Training
        How long networks are trained.
    n_rounds, n_candidates : int
        Rounds, and candidates in each.
    n_parallel : int
        Networks of each problem that a candidate trains.
    seed : int
        Decides all draws.
    """

    base: str
    training: Training
    n_rounds: int
    n_candidates: int
    n_parallel: int
    seed: int

    def start(self) -> Progress:
        """Begin with the numbers that recipes start from.

        Returns
        -------
        Progress
        """
        return Progress.start(self.base)

    def restored(self, fields: Fields) -> Progress:
        """Return the progress that a file claims.

        Parameters
        ----------
        fields : dict
            Of one, they may hold anything.

        Returns
        -------
        Progress
        """
        parts = {"mean": Tensor, "spread": Tensor, "history": list[dict[str, Any]]}
        progress, like = Progress(*fields_of(fields, "the search", **parts)), self.start().mean
        for tensor in (progress.mean, progress.spread):
            good = tensor.shape == like.shape and tensor.dtype == like.dtype
            expect(good and bool(((tensor >= 0) & (tensor <= 1)).all()), "a place is off its scale")
        expect(0 < len(progress.history) <= self.n_rounds, "it has another number of rounds")
        for seen in progress.history:
            kinds = dict.fromkeys(("best", "median", "mean"), float) | {"n_diverged": int}
            candidate = fields_of(seen, "a round", **kinds, candidate=list[float])[-1]
            expect(len(candidate) == len(like), "a candidate has other numbers")
        return progress

    def rounds(self, problems: Sequence[Problem], progress: Progress) -> Iterator[Progress]:
        """Go on with a search.

        Parameters
        ----------
        problems : sequence of Problem
            What to train.
        progress : Progress
            From where.

        Yields
        ------
        Progress
            Behind each round.
        """
        for number in range(len(progress.history), self.n_rounds):
            rng = np.random.default_rng([self.seed, number])
            mean, spread = progress.mean, progress.spread
            noise = torch.from_numpy(rng.standard_normal((self.n_candidates, len(mean))))
            noise[0] = 0  # the mean is a candidate itself
            units = (mean + spread * noise).clamp(0, 1)
            scores = self._scores(problems, units, rng, self.n_parallel)
            n_elite = max(2, math.ceil(_ELITE * self.n_candidates))
            order = scores.argsort(stable=True)[:n_elite]
            elite = units[order[scores[order].isfinite()]]
            if len(elite) > 1:
                mean = elite.mean(0)
                spread = _KEEP * spread + (1 - _KEEP) * elite.std(0)
                spread = spread.clamp(min=_LEAST_SPREAD)
            seen = {
                "best": float(scores.min()),
                "median": float(scores.median()),
                "mean": float(scores[0]),
                "n_diverged": int(scores.isinf().sum()),
                "candidate": units[scores.argmin()].tolist(),
            }
            progress = Progress(mean, spread, [*progress.history, seen])
            yield progress

    def winner(self, problems: Sequence[Problem], progress: Progress) -> tuple[Recipe, list[float]]:
        """Return the best of what a search has found, and of the start.

        Parameters
        ----------
        problems : sequence of Problem
            What to train.
        progress : Progress
            Behind the last round.

        Returns
        -------
        recipe : Recipe
            For one network.
        scores : list of float
            Objectives of the start, the mean and the best candidate, on other rows and batches.
        """
        best = min(progress.history, key=_lead)["candidate"]
        start = Progress.start(self.base).mean
        units = torch.stack([start, progress.mean, torch.tensor(best, dtype=torch.float64)])
        rng = np.random.default_rng([self.seed, self.n_rounds])
        n = max(self.n_parallel, self.n_parallel * self.n_candidates // len(units))
        scores = self._scores(problems, units, rng, n)
        if not scores.isfinite().any():
            raise ValueError(
                "All training diverged, with every learning rate that was tried. Standardise the "
                "columns of the task, or look at the initial networks."
            )
        return Recipe.at(self.base, units[scores.argmin()][None]), scores.tolist()

    def _scores(
        self,
        problems: Sequence[Problem],
        units: Tensor,
        rng: np.random.Generator,
        n_parallel: int,
    ) -> Tensor:
        """Objectives of candidates, which all see the same networks and batches."""
        totals = torch.zeros(len(units), dtype=torch.float64)
        for networks, task in problems:
            train, held_out = split_rows(task, rng)
            n = min(n_parallel, len(networks))
            picks = rng.choice(len(networks), n, replace=False)
            seeds = rng.integers(2**62, size=n)
            k = len(units)
            unrolled = unroll(
                networks[np.tile(picks, k)],
                train,
                Recipe.at(self.base, units.repeat_interleave(n, 0)),
                self.training,
                seeds=np.tile(seeds, k).tolist(),
                held_out=held_out,
            )
            tiny = torch.finfo(unrolled.initial.dtype).tiny
            left = unrolled.curves[:, -1] / unrolled.initial.clamp(min=tiny)
            left = left.where(~left.isnan(), torch.inf)
            totals += (left.double().cpu() + FLOOR).log().view(k, n).mean(1)
        return totals / len(problems)


def _lead(seen: dict[str, Any]) -> float:
    """How much better the best candidate of a round was than the middle one."""
    if math.isinf(seen["median"]):
        return math.inf if math.isinf(seen["best"]) else seen["best"]
    return seen["best"] - seen["median"]
