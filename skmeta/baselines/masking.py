"""Rivals that set inputs or weights to zero: :class:`MaskEditor`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch

from skmeta._checks import check_rng
from skmeta.baselines.base import WeightEditor
from skmeta.baselines.distillation import distill
from skmeta.datasets import Task
from skmeta.population import Population, Stack
from skmeta.population.checks import check_fit_together, check_population
from skmeta.population.mapping import seeds_of
from skmeta.population.running import check_no_images
from skmeta.requirements.masks import MaskRequirement, Masks, keep_largest, masked


class MaskEditor(WeightEditor):
    """A rival that keeps a budget of inputs or weights, and may distil after that.

    It needs no sensitive features. Subclasses give scores; the largest stay.
    """

    needs_sensitive = False

    requirement: ClassVar[type[MaskRequirement]]
    """What the budget counts."""

    budget: int | float
    lr: float
    batch_size: int
    random_state: Any

    def _fit(self, networks: Any, task: Task) -> None:
        owner = type(self).__name__
        if self.budget is None:
            raise TypeError(
                f"The 'budget' parameter of {owner} must be a number of {self.requirement.unit} "
                "(int) or a share of them (float). Got None instead."
            )
        self.requirement(budget=self.budget).check(owner)
        # Drawn once: transform gives the same networks each time it is called.
        self._seed = int(check_rng(self.random_state).integers(2**62))

    @abstractmethod
    def _scores(self, stack: Stack, seeds: list[int]) -> Masks:
        """Return how important each candidate is, in the shapes of the candidates."""

    @abstractmethod
    def _count_steps(self) -> int:
        """Return the number of steps of distillation."""

    def _start(self, stack: Stack, seeds: list[int]) -> Stack:
        """Return the networks that the masks are put on."""
        return stack

    def _edit(self, population: Population) -> Population:
        owner, requirement = type(self).__name__, self.requirement()
        check_no_images(population.architectures, owner)
        check_fit_together(check_population(population, owner), self.task_, owner)

        def cut(stack: Stack, seeds: list[int]) -> Stack:
            candidates = requirement.candidates(stack)
            n_kept = requirement.n_kept(stack, self.budget)
            # As float64: what stays must not depend on how other networks make sums round.
            scores = self._scores(stack.to(dtype=torch.float64), seeds)
            masks = tuple(m.to(stack.dtype) for m in keep_largest(scores, candidates, n_kept))
            start = self._start(stack, seeds)
            return start.with_params(masked(start.params, masks))

        return distill(
            population.map(cut, seeds_of(population, self._seed)),
            population,
            self.task_,
            n_steps=self._count_steps(),
            lr=self.lr,
            batch_size=self.batch_size,
            random_state=self._seed,
        )


def sample_rows(task: Task, n_rows: int, random_state: Any) -> Task:
    """Draw rows of a task, or take all if it has no more."""
    return task.subset(np.sort(check_rng(random_state).permutation(task.n_samples)[:n_rows]))
