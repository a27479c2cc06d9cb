"""Optimizers that are compared, each tuned with as many short trainings as the learned ones."""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from skmeta import Population
from skmeta._random import local_draws
from skmeta.datasets import Task
from skmeta.networks import to_module
from skmeta.optimizing import Problem, Progress, Recipe, Search, Training, unroll
from skmeta.optimizing.problems import split_rows
from skmeta.optimizing.unrolling import few_rows

BATCH = 128
N_NETWORKS = 3  # that every setting is tried on
EVERY = 5  # steps between two points of a curve


class Tuned(NamedTuple):
    """A contender for one length of training: it returns curves of networks on rows."""

    settings: dict[str, float]
    curves: Callable[[Population, Task, Task, Sequence[int]], np.ndarray]
    n_steps: int
    seconds: float


class Contender(NamedTuple):
    """How one is tuned: ``tune(networks, task, n_steps, seed)``; whether it has a schedule."""

    tune: Callable[[Population, Task, int, int], Tuned]
    scheduled: bool = True


def _of_recipe(recipe: Recipe, n_steps: int, seconds: float) -> Tuned:
    training = Training(n_steps, BATCH, max(1, n_steps // EVERY))

    def curves(networks: Population, train: Task, test: Task, seeds: Sequence[int]) -> np.ndarray:
        own = recipe.select([0] * len(networks))
        return unroll(networks, train, own, training, seeds=seeds, held_out=test).curves.numpy()

    return Tuned(recipe.floats[0], curves, n_steps, seconds)


def searched(base: str, *, n_rounds: int = 6) -> Contender:
    """All numbers of a recipe, by the cross-entropy method."""

    def tune(networks: Population, task: Task, n_steps: int, seed: int) -> Tuned:
        start = time.process_time()
        search = Search(base, Training(n_steps, BATCH), n_rounds, 12, N_NETWORKS, seed)
        problems = [Problem(networks, task)]
        *_, progress = search.rounds(problems, Progress.start(base))
        recipe, _ = search.winner(problems, progress)
        return _of_recipe(recipe, n_steps, time.process_time() - start)

    return Contender(tune)


def grid(base: str, *, scheduled: bool = True, **values: Any) -> Contender:
    """All combinations of some numbers, of which the best is taken at its best step."""
    fixed = {"decay": 0.0, "window": 1e-6, "weight_decay": 0.0}
    names, columns = zip(*(fixed | values).items(), strict=True)
    cells = list(itertools.product(*(np.atleast_1d(column).tolist() for column in columns)))

    def tune(networks: Population, task: Task, n_steps: int, seed: int) -> Tuned:
        start = time.process_time()
        rng = np.random.default_rng(seed)
        train, held_out = split_rows(task, rng)
        picks = rng.choice(len(networks), N_NETWORKS, replace=False)
        seeds = rng.integers(2**62, size=N_NETWORKS)
        numbers = torch.tensor(cells, dtype=torch.float64).repeat_interleave(N_NETWORKS, 0)
        recipe = Recipe(base, dict(zip(names, numbers.T, strict=True)))
        unrolled = unroll(
            networks[np.tile(picks, len(cells))],
            train,
            recipe,
            Training(n_steps, BATCH, 20),
            seeds=np.tile(seeds, len(cells)).tolist(),
            held_out=held_out,
        )
        means = unrolled.curves.view(len(cells), N_NETWORKS, -1).mean(1).amin(1)
        best = int(means.argmin()) * N_NETWORKS
        return _of_recipe(recipe.select([best]), n_steps, time.process_time() - start)

    return Contender(tune, scheduled)


def package(make: Callable[[nn.Module, float], Any], rates: Sequence[float]) -> Contender:
    """An optimizer of a package for torch, on one module after another."""

    def curve(record: Any, rate: float, train: Task, test: Task, seed: int, n: int) -> np.ndarray:
        module = to_module(record)
        optimizer = make(module, rate)
        X, y, _ = train.tensors()
        few_X, few_y, _ = few_rows(test).tensors()
        generator, found, t = torch.Generator().manual_seed(seed), [], 0
        switch = hasattr(optimizer, "eval")
        if switch:
            optimizer.train()
        while t < n:
            order = torch.randperm(len(X), generator=generator)
            for rows in order.split(min(BATCH, len(X))):
                if len(rows) < min(BATCH, len(X)) or t == n:
                    break
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
                optimizer.step()
                t += 1
                if t % EVERY == 0:
                    if switch:
                        optimizer.eval()
                    with torch.no_grad():
                        found.append(float(nn.functional.cross_entropy(module(few_X), few_y)))
                    if switch:
                        optimizer.train()
        return np.array(found)

    def tune(networks: Population, task: Task, n_steps: int, seed: int) -> Tuned:
        start = time.process_time()
        rng = np.random.default_rng(seed)
        train, held_out = split_rows(task, rng)
        records = networks[:2].records()
        with local_draws(seed):
            means = [
                np.mean([curve(r, rate, train, held_out, 1, n_steps) for r in records], 0).min()
                for rate in rates
            ]
        rate = rates[int(np.nan_to_num(means, nan=np.inf).argmin())]

        def curves(nets: Population, train: Task, test: Task, seeds: Sequence[int]) -> np.ndarray:
            pairs = zip(nets.records(), seeds, strict=True)
            with local_draws(seed):
                return np.stack([curve(r, rate, train, test, s, n_steps) for r, s in pairs])

        return Tuned({"lr": rate}, curves, n_steps, time.process_time() - start)

    return Contender(tune, scheduled=False)


LOG = np.geomspace
CONTENDERS = {
    "Adam": grid("adam", scheduled=False, lr=0.0005 * np.arange(1, 21)),
    "SGDM": grid("sgdm", scheduled=False, lr=LOG(0.003, 1, 20)),
    "AdamW, decay": grid("adam", lr=LOG(0.003, 0.1, 14), weight_decay=LOG(1e-4, 0.3, 5), decay=1.0),
    "AdamW, averaged": grid("adam", lr=LOG(0.003, 0.1, 14), window=LOG(0.01, 0.4, 5)),
    "Muon, averaged": grid("muon", lr=LOG(0.003, 0.2, 14), window=LOG(0.01, 0.4, 5)),
    "K-FAC": grid("kfac", scheduled=False, lr=LOG(0.001, 0.1, 10), damping=LOG(0.003, 3, 5)),
    "learned sgdm": searched("sgdm"),
    "learned adam": searched("adam"),
    "learned muon": searched("muon"),
    "learned kfac": searched("kfac"),
}
if importlib.util.find_spec("schedulefree"):
    import schedulefree

    CONTENDERS["Schedule-Free AdamW"] = package(
        lambda module, lr: schedulefree.AdamWScheduleFree(
            module.parameters(), lr=lr, warmup_steps=20
        ),
        LOG(0.003, 0.1, 8).tolist(),
    )
if importlib.util.find_spec("pytorch_optimizer"):
    import pytorch_optimizer

    CONTENDERS["SOAP"] = package(
        lambda module, lr: pytorch_optimizer.SOAP(module.parameters(), lr=lr, weight_decay=0.0),
        LOG(0.001, 0.03, 8).tolist(),
    )
