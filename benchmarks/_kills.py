"""Writers that are killed at random moments: nothing may be lost."""

from __future__ import annotations

import os
import random
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import skmeta
from skmeta.networks import Architecture
from skmeta.population import to_rows


def kill_savers(folder: Path, count: int, seed: int = 0) -> int:
    """Kill a process that saves over and over; return how often the file was none of its."""
    folder.mkdir(parents=True)
    path, rng, lost = folder / "population", random.Random(seed), 0
    populations = [
        skmeta.Population.initialize(Architecture.mlp((50, 200, width)), 20, random_state=0)
        for width in (2, 3)
    ]
    whole = []
    for population in populations:
        population.save(path)
        whole.append(path.read_bytes())

    def save() -> None:
        while True:
            for population in populations:
                population.save(path)

    for _ in range(count):
        _run_and_kill(save, rng.uniform(0.0, 0.2))
        lost += path.read_bytes() not in whole
        populations[0].save(path)
        # What killed writers have begun is swept by the next.
        lost += [p.name for p in folder.iterdir()] != [path.name]
    return lost


def kill_zoos(folder: Path, count: int, seed: int = 0) -> int:
    """Kill a process that builds a zoo; return how often the continued one is another one."""
    rng, lost = random.Random(seed), 0
    X = np.random.default_rng(0).normal(size=(200, 6))
    task = skmeta.Task(X, (X[:, 0] > 0).astype(int))

    def build(cache: Path | None) -> skmeta.Population:
        options = {"epochs": 2, "n_checkpoints": 2, "progress": False, "random_state": 0}
        return skmeta.make_zoo(task, 12, cache_dir=cache, **options)

    started = time.perf_counter()
    expected = build(None)
    seconds = time.perf_counter() - started
    for number in range(count):
        cache = folder / str(number)
        _run_and_kill(lambda cache=cache: build(cache), rng.uniform(0.0, 1.2 * seconds))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="make_zoo trains a group")
            found = build(cache)
        lost += not _same(found, expected)
    return lost


def _same(one: skmeta.Population, other: skmeta.Population) -> bool:
    pairs = zip(one.architectures, other.architectures, strict=True)
    rows = ((to_rows(one[[i]]), to_rows(other[[i]])) for i in range(len(one)))
    return all(a == b for a, b in pairs) and all(a.tobytes() == b.tobytes() for a, b in rows)


def _run_and_kill(work: Callable[[], object], seconds: float) -> None:
    """Run work in a process of its own, which is killed after some time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads, of which there is one
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
