"""What a learned perceptron adds to a rule, and what it learns from single gradients.

    python benchmarks/meta_residual.py --tasks digits --bases sgdm      # 4 CPU minutes

The numbers of a rule are searched, then a perceptron is learned on top by persistent evolution
strategies (paper on learning on gradients, eq. 10 and 11), once from the mean gradient and its
history alone and once with squares of the gradients of single rows. Differences are those of
logarithms of test losses behind the last step, network by network on the same fresh networks and
batches, in percent: mean and 95 % of a normal distribution; negative is better.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _common  # noqa: F401  (sets one thread)
import pandas as pd
from _contenders import BATCH
from _meta_tasks import TASKS
from torch import Tensor

from skmeta import Population
from skmeta.optimizing import MetaTraining, Problem, Progress, Recipe, Search, Training, unroll


def percent(a: Tensor, b: Tensor) -> tuple[float, float, float]:
    """Mean difference of logarithms, and its interval."""
    gain = 100 * (a / b).log().double()
    half = 1.96 * float(gain.std()) / len(gain) ** 0.5
    return float(gain.mean()), float(gain.mean()) - half, float(gain.mean()) + half


def compare(name: str, base: str, args: argparse.Namespace) -> list[dict[str, object]]:
    """Learn both kinds on a task and test them."""
    setting = TASKS[name](args.data_home)
    networks = Population.initialize(setting.architecture, 64, random_state=1)
    fresh = Population.initialize(setting.architecture, args.networks, random_state=2)
    problems, training = [Problem(networks, setting.train)], Training(args.horizon, BATCH)
    search = Search(base, training, 6, 12, 4, args.seed)
    *_, progress = search.rounds(problems, Progress.start(base))
    recipe, _ = search.winner(problems, progress)

    def losses(one: Recipe) -> Tensor:
        n = args.networks
        unrolled = unroll(
            fresh,
            setting.train,
            one.select([0] * n),
            training,
            seeds=range(n),
            held_out=setting.test,
        )
        return unrolled.curves[:, -1]

    found, seconds = {"rule alone": losses(recipe)}, {}
    for label, features in (("mean gradient", False), ("single gradients", True)):
        start = time.process_time()
        plan = MetaTraining(
            base, recipe.floats[0], features, training, 50, args.unrolls, 16, args.seed
        )
        *_, learned = plan.rounds(problems, plan.start())
        found[label], seconds[label] = (
            losses(plan.recipe(learned.best)),
            time.process_time() - start,
        )
    rows: list[dict[str, object]] = []
    for a, b in (
        ("mean gradient", "rule alone"),
        ("single gradients", "rule alone"),
        ("single gradients", "mean gradient"),
    ):
        mean, low, high = percent(found[a], found[b])
        rows.append(
            {
                "task": name,
                "rule": base,
                "with": a,
                "against": b,
                "percent": mean,
                "low": low,
                "high": high,
                "loss": float(found[a].mean()),
                "seconds": seconds[a],
            }
        )
        print(
            f"  {name:10}{base:6}{a:18} against {b:15} {mean:6.2f} % ({low:.2f} to {high:.2f})  "
            f"loss {float(found[a].mean()):.4f}  {seconds[a]:.0f} s",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["digits", "adult", "bank"])
    parser.add_argument("--bases", nargs="+", default=["sgdm", "kfac"])
    parser.add_argument("--horizon", type=int, default=250)
    parser.add_argument("--unrolls", type=int, default=60)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-home", type=Path)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    for name in args.tasks:
        for base in args.bases:
            frame = pd.DataFrame(compare(name, base, args))
            if args.csv is not None:
                frame.to_csv(args.csv, mode="a", header=not args.csv.exists(), index=False)


if __name__ == "__main__":
    main()
