"""From problems to an optimizer: the search, then meta-training: :class:`Lessons`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from skmeta.optimizing.keeping import Kept
from skmeta.optimizing.meta_training import MetaTraining
from skmeta.optimizing.optimizer import Optimizer
from skmeta.optimizing.problems import Problem
from skmeta.optimizing.search import Search


class Outcome(NamedTuple):
    """What was learned, and how.

    Attributes
    ----------
    optimizer : Optimizer
        The result.
    rounds : list of dict
        Of the search.
    scores : list of float
        Objectives of the start, the last mean and the best candidate.
    looks : list of dict
        Of meta-training.
    """

    optimizer: Optimizer
    rounds: list[dict[str, Any]]
    scores: list[float]
    looks: list[dict[str, Any]]


@dataclass(frozen=True)
class Lessons:
    """How an optimizer is learned.

    Parameters
    ----------
    search : Search
        Of the numbers of the recipe.
    perceptron : dict or None
        Further parameters of :class:`MetaTraining`; None leaves the perceptron out.
    cache_dir : Path or None
        Where progress is kept.
    verbose : bool
        Whether there is a progress bar.
    """

    search: Search
    perceptron: dict[str, Any] | None
    cache_dir: Path | None
    verbose: bool

    def learn(self, problems: Sequence[Problem]) -> Outcome:
        """Learn an optimizer.

        Parameters
        ----------
        problems : sequence of Problem
            What to train.

        Returns
        -------
        Outcome
        """
        search = self.search
        progress = self._run(search, problems, search.n_rounds, "round")
        recipe, scores = search.winner(problems, progress)
        numbers, residual, looks = recipe.floats[0], None, []
        if self.perceptron is not None:
            plan = MetaTraining(search.base, numbers, training=search.training, **self.perceptron)
            learned = self._run(plan, problems, plan.n_unrolls, "training")
            residual, looks = plan.winner(learned), learned.history
        optimizer = Optimizer(search.base, numbers, search.training, residual)
        return Outcome(optimizer, progress.history, scores, looks)

    def _run(self, plan: Any, problems: Sequence[Problem], total: int, unit: str) -> Any:
        """Do what was planned, from where it was interrupted if that is known."""
        kept = None if self.cache_dir is None else Kept(self.cache_dir, plan, problems)
        progress = start = plan.start() if kept is None else kept.load()
        settings = {"disable": not self.verbose, "unit": unit, "desc": "optimizer"}
        with tqdm(total=total, initial=start.n_done, **settings) as bar:
            for progress in plan.rounds(problems, start):
                if kept is not None:
                    kept.save(progress)
                bar.set_postfix(objective=progress.shown)
                bar.update()
        return progress
