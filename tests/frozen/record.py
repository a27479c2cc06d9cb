"""Write the frozen table: ``python -m tests.frozen.record``, or only some of its cases by name.

Only what is new may be recorded again: the table says what the package computed before its core
was rebuilt. The networks stay where they are there already.
"""

import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch

from skmeta.datasets import Task
from skmeta.zoo import MLPSearchSpace, ZooWarning, make_zoo
from tests.frozen import cases

# Some ulps: what other orders of sums leave of them.
NOISE, N_DRAWS = 3e-7, 4
# Numbers that move by more say little; they are reported.
MOST = 1e-3


def train_networks():
    """One network per architecture, as rows of numbers."""
    rows = []
    for seed, architecture in enumerate(cases.architectures()):
        space = MLPSearchSpace(architecture=architecture, learning_rate=(5e-3, 2e-2))
        settings = {"epochs": 8, "n_checkpoints": 1, "progress": False, "random_state": seed}
        rows += cases.rows_of(make_zoo(cases.tasks()[0], 1, search_space=space, **settings))
    return {"rows": np.concatenate(rows), "ends": np.cumsum([len(row) for row in rows])}


def noisy(X, rng):
    return (X * (1 + NOISE * rng.uniform(-1, 1, X.shape))).astype(np.float32)


def noisy_task(task, rng):
    X = pd.DataFrame(noisy(task.X, rng), columns=task.feature_names)
    groups = None if task.groups is None else task.groups[task.sensitive]
    return Task(X, task.classes[task.y], sensitive_features=groups)


@contextmanager
def noisy_tasks(rng):
    kept = cases.tasks, cases.image_task
    tables = tuple(noisy_task(task, rng) for task in cases.tasks())
    images = noisy_task(cases.image_task(), rng)
    cases.tasks, cases.image_task = (lambda: tables), (lambda: images)
    try:
        yield
    finally:
        cases.tasks, cases.image_task = kept


def sensitivity(name, arrays):
    """How far each array moves with its inputs, per first index; exact ones may not move."""
    moved = {}
    for seed in range(N_DRAWS):
        rng = np.random.default_rng(seed)
        networks = cases.networks()
        # Other weights would seed other batches.
        if name != "fine_tuned":
            rows = [noisy(row, rng) for row in cases.rows_of(networks)]
            networks = cases.from_many_rows(rows)
        with noisy_tasks(rng):
            again = cases.CASES[name](networks)
        for key, wanted in arrays.items():
            if wanted.dtype.kind != "f":
                if not np.array_equal(again[key], wanted):
                    raise ValueError(f"{name}: {key!r} depends on rounding.")
                continue
            by = cases.deviation(again[key], wanted)
            moved[f"{key} ~"] = np.maximum(moved.get(f"{key} ~", 0.0), by).astype(np.float16)
    return moved


def main(names):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ZooWarning)
    if not (cases.HERE / "networks.npz").exists():
        np.savez_compressed(cases.HERE / "networks.npz", **train_networks())
    for name in names or cases.CASES:
        arrays = cases.CASES[name](cases.networks())
        arrays = {k: v.astype(np.float32) if v.dtype == float else v for k, v in arrays.items()}
        moved = sensitivity(name, arrays)
        for key, by in moved.items():
            if by.max() > MOST:
                print(f"{name}: {key[:-2]} moves by {by.max():.0e}, {np.median(by):.0e} in median")
        np.savez_compressed(cases.HERE / f"{name}.npz", **arrays, **moved)


if __name__ == "__main__":
    main(sys.argv[1:])
