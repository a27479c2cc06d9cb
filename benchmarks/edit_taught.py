"""An editor that learns from a teacher, beside one that stays close, and fine-tuning on both.

    python benchmarks/edit_taught.py                              # Adult by sex, 6 CPU minutes
    python benchmarks/edit_taught.py --table "strong proxies"

Twenty networks that no editor has seen; gaps, accuracies and milliseconds per network on test rows.
"""

from __future__ import annotations

import argparse
import time

import _common  # noqa: F401  (sets one thread)
import _owned
import numpy as np
import pandas as pd

from skmeta import ComplianceEditor, Population, Task, make_zoo
from skmeta.baselines import FineTune
from skmeta.datasets import Cells
from skmeta.population import run_networks
from skmeta.requirements import EqualizedOdds, FairTeacher

STEPS = {"n_steps": 150, "lr": 1e-2, "n_per_cell": 256}


def measured(networks: Population, test: Task) -> dict:
    """Mean gap, accuracies and recalls on test rows."""
    logits = run_networks(networks, test)
    decided = logits.argmax(-1).numpy()
    recalls = [(decided[:, test.y == k] == k).mean() for k in range(test.n_classes)]
    return {
        "gap": EqualizedOdds().measure(logits, Cells.of(test)).mean().item(),
        "accuracy": (decided == test.y).mean(),
        "balanced_accuracy": np.mean(recalls),
        **{f"recall_{k}": recall for k, recall in enumerate(recalls)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="adult, sex", choices=_owned.NAMES)
    parser.add_argument("--networks", type=int, default=120, help="runs in the zoo")
    parser.add_argument("--epochs", type=int, default=60, help="of the editors")
    parser.add_argument("--data-home")
    args = parser.parse_args()
    task, test = _owned.tasks_of(_owned.load(args.table, 0, args.data_home), 0)
    order = np.random.default_rng(0).permutation(task.n_samples)
    train, reference = (task.subset(rows) for rows in np.array_split(order, 2))
    options = {"epochs": 10, "progress": False}
    zoo = make_zoo(train, args.networks, random_state=0, **options)
    new = make_zoo(train, 20, n_checkpoints=1, random_state=1, **options)
    teacher = FairTeacher(random_state=0)
    methods = {
        "editor, close": ComplianceEditor(lam=0.1, max_epochs=args.epochs, random_state=0),
        "editor, taught": ComplianceEditor(
            lam=0.5, teacher=teacher, max_epochs=args.epochs, random_state=0
        ),
        "150 steps, close": FineTune(lam=0.1, n_steps=150, random_state=0),
        "150 steps, taught": FineTune(lam=0.5, teacher=teacher, random_state=0, **STEPS),
    }
    rows = {"nothing": measured(new, test)}
    for name, method in methods.items():
        started = time.process_time()
        method.fit(zoo if isinstance(method, ComplianceEditor) else new, task=reference)
        fitted = time.process_time()
        edited = method.transform(new)
        each = (time.process_time() - fitted) / len(new)
        seconds = {"fit_seconds": fitted - started, "ms_each": 1e3 * each}
        rows[name] = measured(edited, test) | seconds
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()
