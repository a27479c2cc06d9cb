"""The optimizer that comes with the package against default settings, where it has never been.

    python benchmarks/pretrained_optimizer.py            # 5 CPU minutes

First, steps to the best test loss that Adam with its default learning rate (.001) reaches in 2,000
steps, on Adult and Bank with networks of 64 and 48 neurons, gelu and layer normalisation. The
pretrained one has a schedule of 500 steps, as it was learned with. Then test losses on ten tables
of other shapes (``make_classification``, ``make_biased_classification``) relative to those of AdamW
at its defaults, behind as many passes over the rows, and in brackets of the least losses on the
way, where early stopping would end. Averages of rivals go over 100 steps (a decay of .99), which is
better for them than torch's .999. Means over networks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _common
import numpy as np
from _meta_tasks import TASKS
from sklearn.datasets import make_classification

from skmeta import GradientMetaOptimizer, Population, Task
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.networks import Activate, Architecture, Linear, Norm, Stage
from skmeta.optimizing import Recipe, Training, unroll

EVERY, STEPS = 10, 2000


def rivals(n_steps: int) -> dict[str, Recipe]:
    """Default settings of torch's optimizers."""
    window = 100 / n_steps

    def recipe(base: str, decay: float, window: float) -> Recipe:
        numbers = {"lr": 0.001, "decay": 0.0, "window": window, "weight_decay": decay}
        return Recipe.of(base, numbers)

    return {
        "Adam": recipe("adam", 0.0, 1e-6),
        "AdamW": recipe("adam", 0.01, 1e-6),
        "AdamW, averaged": recipe("adam", 0.01, window),
        "Muon, averaged": recipe("muon", 0.1, window),
    }


def curves(
    recipe: Recipe, networks: Population, train: Task, test: Task, n_steps: int
) -> np.ndarray:
    """Mean test losses every ten steps."""
    n = len(networks)
    unrolled = unroll(
        networks,
        train,
        recipe.select([0] * n),
        Training(n_steps, 128, n_steps // EVERY),
        seeds=range(n),
        held_out=test,
    )
    return unrolled.curves.mean(0).numpy()


def to_the_mark(name: str, pretrained: Recipe, args: argparse.Namespace) -> None:
    """Print how many times fewer steps each takes to Adam's best loss."""
    train, test, *_ = TASKS[name](args.data_home)
    stages = [Stage(Linear(width), Norm("layer"), Activate("gelu")) for width in (64, 48)]
    architecture = Architecture(train.n_features, (*stages, Stage(Linear(train.n_classes))))
    networks = Population.initialize(architecture, args.networks, random_state=3)
    found = {
        label: curves(recipe, networks, train, test, STEPS)
        for label, recipe in rivals(STEPS).items()
    }
    found["pretrained"] = curves(pretrained, networks, train, test, 500)
    mark = found["Adam"].min()
    theirs = float(found["Adam"].argmin() + 1)
    rows: list[tuple[object, ...]] = []
    for label, curve in found.items():
        reached = curve <= mark
        factor = theirs / (reached.argmax() + 1) if reached.any() else 0.0
        rows.append((label, f"{factor:.2f}", f"{curve.min():.4f}", len(curve) * EVERY))
    title = f"{name}: times fewer steps to {mark:.4f}, which Adam has behind {theirs * EVERY:.0f}"
    _common.print_table(title, ("", "factor", "best loss", "steps"), rows)


def tables() -> dict[str, Task]:
    """Ten tables of other generators than those that it was learned on, most of other shapes."""
    found = {}
    shapes = [
        (500, 8, 2),
        (2000, 80, 2),
        (1000, 25, 3),
        (5000, 12, 6),
        (8000, 40, 4),
        (30000, 20, 2),
    ]
    for number, (n_rows, n_columns, n_classes) in enumerate(shapes):
        X, y = make_classification(
            n_rows,
            n_columns,
            n_informative=max(4, n_columns // 4),
            n_classes=n_classes,
            n_clusters_per_class=1 + number % 3 if n_columns > 20 else 1,
            flip_y=0.02 * number,
            random_state=100 + number,
        )
        found[f"classification {n_rows} x {n_columns}, {n_classes}"] = Task(
            (X - X.mean(0)) / X.std(0), y
        )
    for number, n_rows in enumerate((400, 1500, 6000, 20000)):
        bunch = make_biased_classification(n_rows, random_state=200 + number)
        task, *_ = split_tasks(bunch, "group", random_state=0)
        found[f"biased {n_rows}"] = Task(task.X, task.y)
    return found


def ratios(pretrained: Recipe, args: argparse.Namespace) -> None:
    """Print test losses relative to those of AdamW."""
    rows: list[tuple[object, ...]] = []
    for name, task in tables().items():
        order = np.random.default_rng(0).permutation(task.n_samples)
        cut = round(0.7 * len(order))
        train, test = task.subset(order[:cut]), task.subset(order[cut:])
        cells: list[object] = [name]
        for widths in ((24,), (100, 50)):
            architecture = Architecture.mlp((task.n_features, *widths, task.n_classes))
            networks = Population.initialize(architecture, args.networks, random_state=4)
            passes = -(-10 * train.n_samples // 128 // EVERY) * EVERY
            for n_steps in (passes, 3 * passes):
                some = rivals(n_steps)
                recipes = {"AdamW": some["AdamW"], "it": pretrained}
                found = {
                    label: curves(recipe, networks, train, test, n_steps)
                    for label, recipe in recipes.items()
                }
                last, best = (found["it"] / found["AdamW"])[-1], found["it"].min()
                cells.append(f"{last:.2f} ({best / found['AdamW'].min():.2f})")
        rows.append(tuple(cells))
    header = ("", "24: 10", "30 passes", "100-50: 10", "30 passes")
    _common.print_table("Test loss over that of AdamW at its defaults", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--data-home", type=Path)
    args = parser.parse_args()
    pretrained = GradientMetaOptimizer.from_pretrained("tabular-mlp").optimizer_.recipe
    for name in ("adult", "bank"):
        to_the_mark(name, pretrained, args)
    ratios(pretrained, args)


if __name__ == "__main__":
    main()
