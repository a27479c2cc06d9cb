"""Meta-training of what is added to the steps of a rule: :class:`MetaTraining`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields
from skmeta.optimizing.pes import PersistentES
from skmeta.optimizing.problems import Problem, split_rows
from skmeta.optimizing.recipe import Recipe
from skmeta.optimizing.residual import LearnedRule, Perceptron, Residual, perceptron
from skmeta.optimizing.search import FLOOR
from skmeta.optimizing.unrolling import Run, Training, unroll
from skmeta.population.mapping import stacks
from skmeta.training import Adam, single_thread

_SIGMA = 0.03
"""Of the noise."""

_LR = 0.01
"""Of Adam on the numbers of the perceptron, falling linearly."""

_CHECK_EVERY = 10
"""Trainings between two looks at fresh networks."""

_PATIENCE = 4
"""Looks without a better one, behind which nothing more is expected."""

_MOST = 1.0
"""Of the logarithm of a loss relative to the initial one: what diverges is not worse."""


@dataclass(frozen=True)
class Learned:
    """How far meta-training has come, all of it.

    Attributes
    ----------
    numbers : Tensor of shape (n_numbers,)
        Of the perceptron.
    mean, square : Tensor of shape (n_numbers,)
        What Adam remembers.
    best : Tensor of shape (n_numbers,)
        The numbers of the best look, and
    history : list of dict
        all looks: ``n_unrolls``, and the mean objective without and with the perceptron.
    n_unrolls, n_updates : int
        Trainings, and updates of the numbers.
    """

    numbers: Tensor
    mean: Tensor
    square: Tensor
    best: Tensor
    history: list[dict[str, Any]] = field(default_factory=list)
    n_unrolls: int = 0
    n_updates: int = 0

    @property
    def n_done(self) -> int:
        """Number of trainings."""
        return self.n_unrolls

    @property
    def shown(self) -> str:
        """For a progress bar."""
        return f"{self.history[-1]['with']:.3f}" if self.history else ""

    @property
    def has_ended(self) -> bool:
        """Whether the best look is long ago."""
        values = [seen["with"] for seen in self.history]
        return bool(values) and len(values) - 1 - int(np.argmin(values)) >= _PATIENCE


@dataclass(frozen=True)
class MetaTraining:
    """Learns a perceptron by persistent evolution strategies, over whole trainings.

    Pairs of trainings begin with the same network and see the same batches. A piece of them is
    ``truncation`` steps; its loss is that of averaged weights on held-out rows, behind it, relative
    to the initial one, as a logarithm; later pieces count more, in proportion. From time to time
    fresh networks are trained with the perceptron and without; the best numbers are kept, which are
    those of no perceptron if nothing was better.

    Parameters
    ----------
    base : str
        One of :data:`~skmeta.optimizing.recipe.BASES`.
    scalars : mapping of str to float
        Of the recipe.
    gradient_features : bool
        Whether the perceptron sees squares of gradients of single rows.
    training : Training
        How long networks are trained.
    truncation : int
        Steps of a piece.
    n_unrolls : int
        Trainings, at most.
    n_parallel : int
        Networks that are trained at once, in pairs.
    seed : int
        Decides all draws.
    """

    base: str
    scalars: Mapping[str, float]
    gradient_features: bool
    training: Training
    truncation: int
    n_unrolls: int
    n_parallel: int
    seed: int

    @property
    def perceptron(self) -> Perceptron:
        """What is learned."""
        return perceptron(gradient_features=self.gradient_features)

    def start(self) -> Learned:
        """Begin with a perceptron that adds nothing.

        Returns
        -------
        Learned
        """
        numbers = self.perceptron.start(torch.Generator().manual_seed(self.seed % 2**62))
        zeros = torch.zeros_like(numbers)
        return Learned(numbers, zeros, zeros.clone(), numbers)

    def restored(self, fields: Fields) -> Learned:
        """Return the progress that a file claims.

        Parameters
        ----------
        fields : dict
            Of one, they may hold anything.

        Returns
        -------
        Learned
        """
        names = ("numbers", "mean", "square", "best")
        hints = dict.fromkeys(names, Tensor) | {"history": list[dict[str, Any]]}
        found = fields_of(fields, "meta-training", **hints, n_unrolls=int, n_updates=int)
        learned, like = Learned(*found), self.start().numbers
        for name in names:
            tensor = getattr(learned, name)
            good = tensor.shape == like.shape and tensor.dtype == like.dtype
            expect(good and bool(tensor.isfinite().all()), f"its {name} does not fit")
        expect(0 < learned.n_unrolls <= self.n_unrolls, "it has another number of trainings")
        expect(learned.n_updates == learned.n_unrolls * self.n_pieces, "its updates do not add up")
        for seen in learned.history:
            fields_of(seen, "a look", n_unrolls=int, without=float, **{"with": float})
        return learned

    @property
    def n_pieces(self) -> int:
        """Of a training."""
        return max(1, round(self.training.n_steps / self.truncation))

    def recipe(self, numbers: Tensor) -> Recipe:
        """Return what trains a network, with some numbers of the perceptron.

        Parameters
        ----------
        numbers : Tensor of shape (n_numbers,)
            These.

        Returns
        -------
        Recipe
            Of one network.
        """
        residual = Residual(tuple(numbers.tolist()), self.gradient_features)
        return Recipe.of(self.base, self.scalars, residual=residual)

    def rounds(self, problems: Sequence[Problem], learned: Learned) -> Iterator[Learned]:
        """Go on with meta-training.

        Parameters
        ----------
        problems : sequence of Problem
            What to train.
        learned : Learned
            From where.

        Yields
        ------
        Learned
            Behind each training.
        """
        for number in range(learned.n_unrolls, self.n_unrolls):
            if learned.has_ended:
                return
            with single_thread():
                learned = self._unroll(problems[number % len(problems)], learned)
            if learned.n_unrolls % _CHECK_EVERY == 0 or learned.n_unrolls == self.n_unrolls:
                learned = self._look(problems, learned)
            yield learned

    def _unroll(self, problem: Problem, learned: Learned) -> Learned:
        """Train pairs of networks once, and update the numbers behind each piece."""
        rng = np.random.default_rng([self.seed, learned.n_unrolls])
        n_pairs = max(1, self.n_parallel // 2)
        groups = list(stacks(problem.networks))
        sizes = np.array([len(positions) for positions, _ in groups])
        _, stack = groups[rng.choice(len(groups), p=sizes / sizes.sum())]
        picks = rng.choice(len(stack), n_pairs, replace=len(stack) < n_pairs)
        n_pieces = self.n_pieces
        train, held_out = split_rows(problem.task, rng)
        run = Run(
            stack.select(np.tile(picks, 2).tolist()),
            train,
            Recipe.of(self.base, self.scalars, 2 * n_pairs),
            replace(self.training, n_points=n_pieces),
            seeds=np.tile(rng.integers(2**62, size=n_pairs), 2).tolist(),
            held_out=held_out,
        )
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        es = PersistentES(_SIGMA, n_pairs, self.perceptron.n_numbers, generator)
        base, initial = run.trainer.rule, run.measure(run.trainer.stack)
        for piece in range(n_pieces):
            noisy = es.draw(learned.numbers)
            run.trainer.rule = LearnedRule(base, noisy, self.gradient_features)
            left = (run.advance() / initial).double().cpu() + FLOOR
            share = 2 * (piece + 1) / (n_pieces * (n_pieces + 1))
            losses = share * left.log().clamp(max=_MOST)
            learned = self._updated(learned, es.gradient(losses))
        return replace(learned, n_unrolls=learned.n_unrolls + 1)

    def _updated(self, learned: Learned, gradient: Tensor) -> Learned:
        left = 1 - learned.n_updates / (self.n_unrolls * self.n_pieces)
        rule = Adam()
        state = rule.init(learned.numbers[None])._replace(
            n_steps=torch.tensor(float(learned.n_updates)),
            mean=learned.mean[None].clone(),
            square=learned.square[None].clone(),
        )
        lr = torch.full((1, 1), _LR * left, dtype=torch.float64)
        numbers, state = rule.update(state, learned.numbers[None].clone(), gradient[None], lr)
        return replace(
            learned,
            numbers=numbers[0],
            mean=state.mean[0],
            square=state.square[0],
            n_updates=learned.n_updates + 1,
        )

    def _look(self, problems: Sequence[Problem], learned: Learned) -> Learned:
        """Train fresh networks, always the same ones, without the perceptron and with it."""
        plain = Recipe.of(self.base, self.scalars)
        without = (
            learned.history[0]["without"]
            if learned.history
            else objective(plain, problems, self.training, self.n_parallel, self.seed)
        )
        now = objective(
            self.recipe(learned.numbers), problems, self.training, self.n_parallel, self.seed
        )
        seen = {"n_unrolls": learned.n_unrolls, "without": without, "with": now}
        least = min([before["with"] for before in learned.history], default=np.inf)
        best = learned.numbers if now < least else learned.best
        return replace(learned, best=best, history=[*learned.history, seen])

    def winner(self, learned: Learned) -> Residual | None:
        """Return the best perceptron, if it was better than none.

        Parameters
        ----------
        learned : Learned
            Behind the last training.

        Returns
        -------
        Residual or None
        """
        if not learned.history:
            return None
        best = min(seen["with"] for seen in learned.history)
        if best >= learned.history[0]["without"]:
            return None
        return Residual(tuple(learned.best.tolist()), self.gradient_features)


def objective(
    recipe: Recipe, problems: Sequence[Problem], training: Training, n: int, seed: int
) -> float:
    """Return the mean logarithm of the share of the initial loss that is left behind trainings.

    Parameters
    ----------
    recipe : Recipe
        Of one network.
    problems : sequence of Problem
        What to train.
    training : Training
        How long.
    n : int
        Networks of each problem.
    seed : int
        Decides which, and their rows.

    Returns
    -------
    float
        Infinite if one has diverged.
    """
    total = 0.0
    for number, (networks, task) in enumerate(problems):
        rng = np.random.default_rng([seed, 2**31, number])
        train, held_out = split_rows(task, rng)
        picks = rng.choice(len(networks), n, replace=len(networks) < n)
        unrolled = unroll(
            networks[picks],
            train,
            recipe.select([0] * n),
            training,
            seeds=rng.integers(2**62, size=n).tolist(),
            held_out=held_out,
        )
        left = (unrolled.curves[:, -1] / unrolled.initial).double() + FLOOR
        total += float(left.log().mean())
    return total / len(problems)
