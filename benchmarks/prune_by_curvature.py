"""Pruning by curvature from a few rows, on Adult: divergence and accuracy on test rows.

    python benchmarks/prune_by_curvature.py                  # 3 CPU minutes
    python benchmarks/prune_by_curvature.py --n-steps 40     # distilled after that

Weights with the smallest ``w**2 F`` go, at once. F is the diagonal of the Fisher information or of
an approximation of it, from 4,096 rows or from 32, where it may be learned on other networks;
"obs" as far as no other weights take over. Beside it magnitude, SNIP and Wanda.
"""

from __future__ import annotations

import argparse

import _common  # noqa: F401  (sets one thread)
import numpy as np
import pandas as pd

from skmeta import CurvatureRegressor, Population, Task, make_zoo
from skmeta.baselines import Prune
from skmeta.datasets import fetch_adult, split_tasks
from skmeta.editing import measure_edits
from skmeta.zoo import MLPSearchSpace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=256)
    parser.add_argument("--n-steps", type=int, default=0)
    parser.add_argument("--data-home")
    args = parser.parse_args()
    train, other, test = split_tasks(fetch_adult(data_home=args.data_home), "sex")
    options = {"epochs": 5, "n_checkpoints": 1, "progress": False}
    space = MLPSearchSpace(hidden_widths=(16, 32))
    zoo = make_zoo(train, args.networks, search_space=space, random_state=0, **options)
    space = MLPSearchSpace(hidden_widths=(24, 64))
    new = make_zoo(train, 40, search_space=space, random_state=1, **options)
    rng = np.random.default_rng(0)
    many = other.subset(rng.permutation(other.n_samples)[:4096])
    few = many.subset(np.arange(32))
    rows = []
    for name, task, rival in _rivals(zoo, new, many, few):
        for budget in (0.1, 0.25, 0.5):
            rival.set_params(budget=budget, n_steps=args.n_steps, random_state=0)
            edited = rival.fit(new, task=task).transform(new)
            found = measure_edits(new, edited, test, None)
            rows.append({"kept": budget, "by": name, **found[["divergence", "accuracy"]].mean()})
    table = pd.DataFrame(rows).pivot(index="by", columns="kept")
    print(table.sort_values(("divergence", 0.25)).round(4).to_string())


def _rivals(zoo: Population, new: Population, many: Task, few: Task):
    """Yield names, rows to look at, and what prunes."""
    yield "magnitude", few, Prune("magnitude")
    for n, task in ((4096, many), (32, few)):
        for criterion in ("snip", "wanda", "obd", "obs"):
            yield f"{criterion}, {n} rows", task, Prune(criterion, n_rows=n)
        for method in ("kfac", "ekfac") if task is many else ("kfac", "ekfac", "shrunk"):
            model = CurvatureRegressor(method, n_gradients=n, n_target=n, random_state=0)
            yield (
                f"obd, {method}, {n} rows",
                task,
                Prune("obd", curvature=model.fit(new, task=task)),
            )
    for method in ("sample-weights", "gradmetanet"):
        model = CurvatureRegressor(method, n_gradients=32, n_target=4096, random_state=0)
        model.fit(zoo, task=many)
        for kind in ("obd", "obs"):
            yield f"{kind}, {method}, 32 rows", few, Prune(kind, curvature=model)


if __name__ == "__main__":
    main()
