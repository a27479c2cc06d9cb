"""A rule with the numbers that were found for it: :class:`Optimizer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skmeta.datasets import Task
from skmeta.optimizing.recipe import Recipe
from skmeta.optimizing.residual import Residual
from skmeta.optimizing.unrolling import Training, Unrolled, unroll
from skmeta.population import Population

_HERE = Path(__file__).parent / "pretrained"

PRETRAINED = {"tabular-mlp": _HERE / "tabular-mlp.safetensors"}
"""Files of optimizers that come with the package, by name."""


@dataclass(frozen=True)
class Optimizer:
    """How to train networks: what a search has found, or what one begins with.

    Parameters
    ----------
    rule : str
        One of :data:`~skmeta.optimizing.recipe.BASES`.
    numbers : mapping of str to float
        Of its recipe.
    training : Training
        How long networks were trained when they were found.
    residual : Residual, optional
        What a perceptron adds to the steps.

    Examples
    --------
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.networks import Architecture
    >>> from skmeta.optimizing import Optimizer, Training
    >>> from skmeta.population import Population
    >>> train, other, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
    >>> networks = Population.initialize(
    ...     Architecture.mlp((train.n_features, 8, 2)), 3, random_state=0
    ... )
    >>> optimizer = Optimizer.start("kfac", Training(50, batch_size=64))
    >>> trained = optimizer.train(networks, train, seeds=[0, 1, 2], held_out=other)
    >>> bool((trained.curves[:, -1] < trained.initial).all())
    True
    """

    rule: str
    numbers: Mapping[str, float]
    training: Training
    residual: Residual | None = None

    @property
    def recipe(self) -> Recipe:
        """Of one network."""
        return Recipe.of(self.rule, self.numbers, residual=self.residual)

    @classmethod
    def start(cls, rule: str, training: Training) -> Optimizer:
        """Return the one that a search begins with.

        Parameters
        ----------
        rule : str
            One of :data:`~skmeta.optimizing.recipe.BASES`.
        training : Training
            How long networks are to be trained.

        Returns
        -------
        Optimizer
        """
        return cls(rule, Recipe.start(rule).floats[0], training)

    def train(
        self,
        networks: Population,
        task: Task,
        *,
        seeds: Sequence[int],
        n_points: int = 1,
        held_out: Task | None = None,
    ) -> Unrolled:
        """Train networks.

        Parameters
        ----------
        networks : Population
            Initial networks of the task.
        task : Task
            Rows to train on.
        seeds : sequence of int
            For each network; they decide batches and dropout.
        n_points : int, default=1
            How often the loss is measured.
        held_out : Task, optional
            Rows to measure losses on; by default those of the task.

        Returns
        -------
        Unrolled
        """
        recipe = self.recipe.select([0] * len(networks))
        training = replace(self.training, n_points=n_points)
        return unroll(networks, task, recipe, training, seeds=seeds, held_out=held_out)
