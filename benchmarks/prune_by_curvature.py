"""Pruning by curvature from a few rows, on Adult: divergence and accuracy on test rows.

    python benchmarks/prune_by_curvature.py            # 2 CPU minutes

Weights with the smallest ``w**2 F`` go. The Fisher diagonal F is exact (4,096 rows), or from 32:
their mean, shrunk, or by a CurvatureRegressor that was trained on other networks. Beside
it magnitude, SNIP and Wanda, on 1,024 rows and on the 32.
"""

from __future__ import annotations

import argparse

import _common  # noqa: F401  (sets one thread)
import numpy as np
import pandas as pd
import torch

from skmeta import CurvatureRegressor, Population, Task, make_zoo
from skmeta.baselines import Prune
from skmeta.datasets import fetch_adult, split_tasks
from skmeta.editing import measure_edits
from skmeta.population import Stack
from skmeta.requirements import Pruning
from skmeta.requirements.masks import keep_largest, masked
from skmeta.zoo import MLPSearchSpace


def by_curvature(networks: Population, curvature: Population, budget: float) -> Population:
    """Drop the weights whose squares times curvature are smallest."""
    mask = Pruning(budget=budget)

    def pruned(stack: Stack, found: Stack) -> Stack:
        exact, costs = stack.to(dtype=torch.float64), found.to(dtype=torch.float64)
        products = exact.weights.map(lambda flat: flat.square() * costs.weights.flat)
        keep = keep_largest(
            products.of_field("weight"), mask.candidates(exact), mask.n_kept(exact, budget)
        )
        return stack.with_weights(masked(exact.weights, keep).map(lambda flat: flat.float()))

    return networks.map(pruned, curvature)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=256)
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
    learned = CurvatureRegressor(n_gradients=32, n_target=4096, random_state=0).fit(zoo, task=many)
    rows = []
    for budget in (0.1, 0.25, 0.5):
        edits = dict(_edits(new, many, few, learned, budget))
        for name, edited in edits.items():
            found = measure_edits(new, edited, test, None)
            rows.append({"kept": budget, "by": name, **found[["divergence", "accuracy"]].mean()})
    table = pd.DataFrame(rows).pivot(index="by", columns="kept")
    print(table.sort_values(("divergence", 0.25)).round(4).to_string())


def _edits(new: Population, many: Task, few: Task, learned: CurvatureRegressor, budget: float):
    """Yield pruned networks by name."""
    for name, task in (("1,024 rows", many), ("32 rows", few)):
        for criterion in ("snip", "wanda"):
            rival = Prune(criterion, budget=budget, random_state=0).fit(new, task=task)
            yield f"{criterion}, {name}", rival.transform(new)
    yield "magnitude", Prune("magnitude", budget=budget).fit(new, task=few).transform(new)
    exact = CurvatureRegressor("standard", n_gradients=4096, n_target=4096, random_state=0)
    found = exact.fit(new, task=many).predict(new, task=many)
    yield "curvature, exact", by_curvature(new, found, budget)
    for method in ("standard", "shrunk"):
        reader = CurvatureRegressor(method, n_gradients=32, n_target=32, random_state=0)
        found = reader.fit(new, task=few).predict(new, task=few)
        yield f"curvature, {method}, 32 rows", by_curvature(new, found, budget)
    found = learned.predict(new, task=few)
    yield "curvature, learned, 32 rows", by_curvature(new, found, budget)


if __name__ == "__main__":
    main()
