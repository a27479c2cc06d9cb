"""An optimizer learned from networks of a kind: :class:`GradientMetaOptimizer`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skmeta._checks import (
    check_device,
    check_in_range,
    check_option,
    check_rng,
    check_unchanged,
    check_verbose,
    params_now,
    shown,
)
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta.datasets import Task
from skmeta.estimators.files import read_estimator, write_estimator
from skmeta.files.checks import expect, fields_of
from skmeta.optimizing import (
    PRETRAINED,
    Optimizer,
    OptimizerFactory,
    Problem,
    Residual,
    Search,
    Training,
)
from skmeta.optimizing.learning import Lessons
from skmeta.optimizing.problems import check_problems, split_rows
from skmeta.optimizing.recipe import BASES, SCALES
from skmeta.optimizing.residual import perceptron
from skmeta.population import Population
from skmeta.population.mapping import seeds_of

_LOW = {
    "horizon": 1,
    "batch_size": 1,
    "n_meta_steps": 1,
    "n_candidates": 2,
    "n_parallel": 1,
    "truncation": 1,
    "n_unrolls": 1,
}
_PARAMS_OF_FIT = ("rule", "horizon", "batch_size", "meta_algorithm", "gradient_features")


class GradientMetaOptimizer(StablePickle, TransformerMixin, BaseEstimator):
    """Learn how to train networks of a kind, and train more of them.

    Who trains the same kind of small network again and again learns from some hundred short
    trainings, run at once as stacked tensors, how it is done in few steps: learning rate and decay,
    the window over which weights are averaged, the damping of curvature.

    Parameters
    ----------
    rule : {"kfac", "muon", "adam", "sgdm"}, default="kfac"
        What gives the direction of steps:

        * "kfac": the gradient, divided by curvature that is measured on sets of gradients of single
          rows [2]_;
        * "muon": orthogonalised gradients for hidden layers;
        * "adam": AdamW; "sgdm": momentum.

        All of them with a warm-up, a decay of the learning rate, averaged weights and a decay of
        weights, whose numbers are learned.
    meta_algorithm : {"cem", "staged"}, default="cem"
        "cem": the cross-entropy method over the numbers of the rule. "staged": then a perceptron
        that adds to each weight's step (eq. 10 and 11 [1]_; it begins with zeros), by persistent
        evolution strategies; it is kept if fresh trainings are better with it.
    gradient_features : bool, default=True
        Whether the perceptron sees the squares of the gradients of single rows.
    horizon : int, default=1000
        Steps of a training: the loss behind the last one is what is made small.
    batch_size : int, default=128
        Rows per step.
    n_meta_steps : int, default=8
        Rounds of the search.
    n_candidates : int, default=16
        Settings that are tried in a round.
    n_parallel : int, default=4
        Networks that each of them trains, on each task.
    truncation : int, default=50
        Steps between two updates of the perceptron.
    n_unrolls : int, default=100
        Trainings that it learns from, at most; each is of ``2 * n_parallel`` networks.
    cache_dir : path, optional
        Finished rounds are kept there; a call of ``fit`` with equal arguments continues an
        interrupted one and finds the same to the bit.
    device : str, default="cpu"
        Where to compute.
    verbose : int, default=0
        1 shows a progress bar.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    optimizer_ : Optimizer
        What was learned.
    recipe_ : dict of str to float
        Its numbers: ``lr``, the power ``decay`` of the share of steps that are left, ``window``
        (share of the steps that weights are averaged over), ``weight_decay``, ``damping``.
    history_ : DataFrame
        A row for each round: objectives of candidates (mean logarithm of the share of the
        initial loss that is left on held-out rows), how many diverged. None from a file.
    scores_ : dict of str to float
        Objectives on other rows and batches of the three that met at the end: what the search began
        with ("start"), its last "mean", and the "best" candidate. None from a file.
    looks_ : DataFrame
        Objectives without the perceptron and with it, each time that was looked at. None from a
        file.
    task_ : Task, list of Task or None
        Of ``fit``; None from a file.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients", section 7.2.
    .. [2] Martens and Grosse (2015), "Optimizing neural networks with Kronecker-factored
       approximate curvature".

    Examples
    --------
    >>> from skmeta import GradientMetaOptimizer, Population
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.networks import Architecture
    >>> train, other, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
    >>> networks = Population.initialize(
    ...     Architecture.mlp((train.n_features, 8, 2)), 12, random_state=0
    ... )
    >>> model = GradientMetaOptimizer(
    ...     horizon=30, n_meta_steps=2, n_candidates=4, n_parallel=2, random_state=0
    ... )
    >>> trained = model.fit(networks[:8], task=train).transform(networks[8:])
    >>> accuracy = trained.score(other.X, other.y)
    >>> bool((accuracy > 0.6).all())
    True
    """

    __metadata_request__fit = {"task": True}
    __metadata_request__score = {"task": True}
    __metadata_request__transform = {"task": True}

    def __init__(
        self,
        rule: str = "kfac",
        *,
        meta_algorithm: str = "cem",
        gradient_features: bool = True,
        horizon: int = 1000,
        batch_size: int = 128,
        n_meta_steps: int = 8,
        n_candidates: int = 16,
        n_parallel: int = 4,
        truncation: int = 50,
        n_unrolls: int = 100,
        cache_dir: str | Path | None = None,
        device: str = "cpu",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.rule = rule
        self.meta_algorithm = meta_algorithm
        self.gradient_features = gradient_features
        self.horizon = horizon
        self.batch_size = batch_size
        self.n_meta_steps = n_meta_steps
        self.n_candidates = n_candidates
        self.n_parallel = n_parallel
        self.truncation = truncation
        self.n_unrolls = n_unrolls
        self.cache_dir = cache_dir
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @in_own_modes
    def fit(
        self, networks: Any, y: Any = None, *, task: Task | Sequence[Task] | None = None
    ) -> GradientMetaOptimizer:
        """Learn how networks like these are trained.

        Parameters
        ----------
        networks : Population or sequence of networks
            Initial networks, for instance of :meth:`Population.initialize`.
        y : None
            Ignored.
        task : Task or sequence of Task
            Rows to train on; a fifth of them, others in each round, say how good a training was. Of
            several tasks, each goes with the networks that have its numbers of inputs and outputs.

        Returns
        -------
        GradientMetaOptimizer
            Itself.
        """
        self._check_params()
        self._params_of_fit = params_now(self)
        owner = type(self).__name__
        problems = check_problems(networks, task, owner, check_device(self.device, owner))
        rng = check_rng(self.random_state)
        self._seed = int(rng.integers(2**62))
        search = Search(
            self.rule,
            Training(int(self.horizon), int(self.batch_size)),
            int(self.n_meta_steps),
            int(self.n_candidates),
            int(self.n_parallel),
            int(rng.integers(2**62)),
        )
        perceptron = {
            "gradient_features": bool(self.gradient_features),
            "truncation": int(self.truncation),
            "n_unrolls": int(self.n_unrolls),
            "n_parallel": 2 * int(self.n_parallel),
            "seed": int(rng.integers(2**62)),
        }
        lessons = Lessons(
            search,
            perceptron if self.meta_algorithm == "staged" else None,
            None if self.cache_dir is None else Path(self.cache_dir),
            bool(self.verbose),
        )
        self.optimizer_, rounds, scores, looks = lessons.learn(problems)
        self.recipe_ = dict(self.optimizer_.numbers)
        self.history_: pd.DataFrame | None = pd.DataFrame(rounds).drop(columns="candidate")
        names = "start", "mean", "best"
        self.scores_: dict[str, float] | None = dict(zip(names, scores, strict=True))
        columns = ["n_unrolls", "without", "with"]
        self.looks_: pd.DataFrame | None = pd.DataFrame(looks, columns=columns)
        self.task_: Any = task
        return self

    def _check_params(self) -> None:
        owner = type(self).__name__
        check_option("rule", self.rule, BASES, owner=owner)
        check_option("meta_algorithm", self.meta_algorithm, ("cem", "staged"), owner=owner)
        if not isinstance(self.gradient_features, bool | np.bool_):
            raise TypeError(
                f"The 'gradient_features' parameter of {owner} must be True or False. Got "
                f"{shown(self.gradient_features)} instead."
            )
        for name, low in _LOW.items():
            check_in_range(name, getattr(self, name), owner=owner, low=low, kind="int")
        check_verbose(self.verbose, owner)
        if not isinstance(self.cache_dir, str | os.PathLike | None):
            raise TypeError(
                f"The 'cache_dir' parameter of {owner} must be a path or None. Got "
                f"{shown(self.cache_dir)} instead."
            )

    def _ready(self, method: str, networks: Any, task: Any) -> Problem:
        check_is_fitted(self, "optimizer_")
        check_unchanged(self, method, _PARAMS_OF_FIT)
        task = self.task_ if task is None else task
        if isinstance(task, Sequence) and not isinstance(task, Task):
            if len(task) != 1:
                raise ValueError(
                    f"{type(self).__name__}.{method} needs one task. Got {len(task)}: pass the one "
                    "of these networks as task=."
                )
            (task,) = task
        owner = type(self).__name__
        return Problem.of(networks, task, owner, check_device(self.device, owner))

    @in_own_modes
    def transform(self, networks: Any, *, task: Task | None = None) -> Any:
        """Train networks.

        Parameters
        ----------
        networks : Population or sequence of networks
            Initial networks; their widths and depths, and their task, may be others than those of
            ``fit``.
        task : Task, optional
            Rows to train on, all of them; by default those of ``fit``.

        Returns
        -------
        Population or list of networks
            Trained copies, of the kind that came in. One that diverged is as it was.
        """
        population, task = self._ready("transform", networks, task)
        seeds = seeds_of(population, self._seed % 2**31)
        trained = self.optimizer_.train(population, task, seeds=seeds).networks
        trained = trained.to("cpu", getattr(networks, "dtype", torch.float32))
        return trained if isinstance(networks, Population) else trained.to_networks()

    @in_own_modes
    def score(self, networks: Any, y: Any = None, *, task: Task | None = None) -> float:
        """Train networks on four fifths of the rows; return minus the loss on the others.

        Parameters
        ----------
        networks : Population or sequence of networks
            Initial networks, best others than those of ``fit``.
        y : None
            Ignored.
        task : Task, optional
            Rows; by default those of ``fit``.

        Returns
        -------
        float
            The mean over networks; of a classification, minus nats. ``-inf`` if one diverged.
        """
        population, task = self._ready("score", networks, task)
        train, held_out = split_rows(task, np.random.default_rng(self._seed))
        seeds = seeds_of(population, self._seed % 2**31)
        unrolled = self.optimizer_.train(population, train, seeds=seeds, held_out=held_out)
        return -float(unrolled.curves[:, -1].double().mean())

    def to_optimizer(self) -> OptimizerFactory:
        """Return what makes torch optimizers that train as was learned.

        Returns
        -------
        OptimizerFactory
            ``factory(module)`` is a ``torch.optim.Optimizer``, see
            :class:`~skmeta.optimizing.LearnedOptimizer`. In skorch it is the ``optimizer``, beside
            ``lr=1.0`` and the callback :class:`~skmeta.optimizing.AttachModule`.
        """
        check_is_fitted(self, "optimizer_")
        check_unchanged(self, "to_optimizer", _PARAMS_OF_FIT)
        return OptimizerFactory(self.optimizer_)

    @classmethod
    def from_pretrained(cls, name: str = "tabular-mlp") -> GradientMetaOptimizer:
        """Return one that comes with the package: nothing is fitted, nothing is downloaded.

        Parameters
        ----------
        name : {"tabular-mlp"}
            For perceptrons on standardised tables: "kfac", learned on generated tables only by
            ``benchmarks/pretrain_optimizer.py``, which says what they were.

        Returns
        -------
        GradientMetaOptimizer
            As from a file: ``transform`` and ``score`` need ``task=``.

        Examples
        --------
        >>> from skmeta import GradientMetaOptimizer
        >>> model = GradientMetaOptimizer.from_pretrained("tabular-mlp")
        >>> model.rule, model.to_optimizer().settings.training.n_steps
        ('kfac', 500)
        """
        check_option("name", name, PRETRAINED, owner=f"{cls.__name__}.from_pretrained")
        return read_estimator(PRETRAINED[name], cls)

    def save(self, path: str | Path) -> None:
        """Write what was learned to a file for :func:`skmeta.load`; see :func:`skmeta.save`.

        Parameters
        ----------
        path : str or Path
            The file; one that is there already is replaced.
        """
        check_is_fitted(self, "optimizer_")
        check_unchanged(self, "save", _PARAMS_OF_FIT)
        write_estimator(self, path)

    def _contents(self, *, include_task: bool) -> dict[str, Any]:
        numbers, residual = dict(self.optimizer_.numbers), self.optimizer_.residual
        added = None if residual is None else list(residual.numbers)
        return {"seed": self._seed, "numbers": numbers, "residual": added}

    def _restore(self, fitted: dict[str, Any]) -> None:
        hints = {"seed": int, "numbers": dict[str, float], "residual": list[float] | None}
        seed, numbers, added = fields_of(fitted, "what was learned", **hints)
        expect(seed >= 0, "the seed is negative")
        expect(set(numbers) == set(BASES[self.rule][1]), "it has the numbers of another rule")
        for name, value in numbers.items():
            scale = SCALES[name]
            tolerance = 1e-9 * scale.high
            good = scale.low - tolerance <= value <= scale.high + tolerance
            expect(good, f"its {name} is off the scale")
        residual = None
        if added is not None:
            size = perceptron(gradient_features=self.gradient_features).n_numbers
            expect(len(added) == size, "the perceptron has another size")
            residual = Residual(tuple(added), bool(self.gradient_features))
        training = Training(self.horizon, self.batch_size)
        self.optimizer_ = Optimizer(self.rule, numbers, training, residual)
        self.recipe_, self._seed = dict(numbers), seed
        self.history_ = self.scores_ = self.looks_ = self.task_ = None
        self._params_of_fit = params_now(self)
