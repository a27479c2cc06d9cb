"""How many steps, and seconds, learned optimizers take to what tuned Adam reaches at its best.

    python benchmarks/meta_optimizer.py --tasks digits --seeds 3             # 4 CPU minutes
    python benchmarks/meta_optimizer.py --csv docs/measured/optimizers.csv   # 2 CPU hours

Each optimizer is tuned on initial networks and a random fifth of the training rows, each with
about as many trainings, and tested on fresh networks and other rows. What has a schedule or
averages is tuned for a sixteenth, an eighth, a quarter and a half of Adam's steps; the length that
takes fewest steps to 99.7 % of Adam's best loss on held-out rows is taken (of images, these are
shifted or mirrored copies of others). As in tables 1 and 6 of the paper on learning on gradients,
the mark is the best test loss of Adam with the best of 20 constant learning rates, the mean over
networks, and the factor is the number of Adam's steps to it over that of the other; in brackets,
95 % of the factors of networks that are drawn again.
"best" is the least loss of that length or of the longest
one; "ms" what a step takes of a network in a stack of 16.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _common
import numpy as np
import pandas as pd
import torch
from _contenders import BATCH, CONTENDERS, EVERY, Contender, Tuned
from _meta_tasks import TASKS, Setting

from skmeta import Population
from skmeta.optimizing import Recipe
from skmeta.optimizing.problems import split_rows
from skmeta.training import StackTrainer

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
MARGIN = 0.997
"""A length is taken that reaches a little less than the mark, so that it does on other rows."""


def steps_to(curves: np.ndarray, mark: np.ndarray) -> np.ndarray:
    """Steps to a loss, inf where it is not reached."""
    reached = curves <= np.reshape(mark, (-1, 1))
    first = (reached.argmax(1) + 1) * float(EVERY)
    return np.where(reached.any(1), first, np.inf)


def tuned(
    contender: Contender, setting: Setting, networks: Population, mark: float | None, seed: int
) -> list[Tuned]:
    """Tune for some lengths of training; the best for reaching the mark comes first."""
    shares = SHARES if contender.scheduled else (1.0,) if mark is None else (0.5,)
    train, held_out = split_rows(setting.train, np.random.default_rng(seed))
    found = []
    for share in shares:
        n_steps = round(setting.n_steps * share / EVERY) * EVERY
        one = contender.tune(networks, setting.train, n_steps, seed)
        curve = one.curves(networks[:6], train, held_out, list(range(6))).mean(0, keepdims=True)
        steps = np.inf if mark is None else steps_to(curve, np.array([MARGIN * mark]))[0]
        found.append((steps, float(curve[:, -1].item()), one))
    found.sort(key=lambda x: x[:2])
    return [one for *_, one in found]


def adams_mark(setting: Setting, networks: Population, adam: Tuned, seed: int) -> float:
    """Adam's best loss on held-out rows."""
    train, held_out = split_rows(setting.train, np.random.default_rng(seed))
    return float(adam.curves(networks[:6], train, held_out, list(range(6))).mean(0).min())


def milliseconds(name: str, setting: Setting, tuned: Tuned) -> float:
    """What a step of a network takes, in a stack of 16."""
    base = {"Adam": "adam", "SGDM": "sgdm", "AdamW": "adam", "Muon": "muon", "K-FAC": "kfac"}
    base |= {f"learned {rule}": rule for rule in ("sgdm", "adam", "muon", "kfac")}
    base = base.get(name) or base.get(name.split(",")[0])
    if base is None:
        return np.nan
    n = 16
    ((_, stack),) = Population.initialize(setting.architecture, n, random_state=0).blocks
    recipe = Recipe.of(base, tuned.settings, n).to("cpu", torch.float32)
    trainer = StackTrainer(
        stack,
        lr=recipe.numbers["lr"],
        weight_decay=recipe.numbers["weight_decay"],
        seeds=range(n),
        rule=recipe.rule,
        schedule=recipe.schedule(1000),
    )
    X, loss = setting.train.tensors()[0], setting.train.loss()
    rows = torch.randint(len(X), (n, min(BATCH, len(X))), generator=torch.Generator())
    state = trainer.start()

    def run() -> None:
        nonlocal state
        for _ in range(40):
            state, _ = trainer.step(state, X, rows, loss)

    return _common.interleaved({"it": run})["it"] / 40 / n * 1e3


def factor(curves: np.ndarray, adam: np.ndarray) -> float:
    """How many times fewer steps the mean over networks takes to the least mean of Adam."""
    theirs = adam.mean(0, keepdims=True)
    mark = theirs.min(1)
    ratio = steps_to(theirs, mark) / steps_to(curves.mean(0, keepdims=True), mark)
    return float(ratio[0])


def interval(curves: np.ndarray, adam: np.ndarray) -> tuple[float, float]:
    """95 % of the factors of networks that are drawn with replacement, the same for both."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(adam), size=(500, len(adam)))
    low, high = np.quantile([factor(curves[draw], adam[draw]) for draw in draws], [0.025, 0.975])
    return float(low), float(high)


def compare(name: str, args: argparse.Namespace) -> pd.DataFrame:
    """Run all contenders on a task; one row for each."""
    setting = TASKS[name](args.data_home)
    networks = Population.initialize(setting.architecture, 64, random_state=1)
    fresh = Population.initialize(setting.architecture, args.seeds, random_state=2)
    seeds, rows, mark, adam = list(range(100, 100 + args.seeds)), [], None, None
    for label in dict.fromkeys(["Adam", *args.optimizers]):
        options = tuned(CONTENDERS[label], setting, networks, mark, args.seed)
        one = options[0]
        curves = one.curves(fresh, setting.train, setting.test, seeds)
        if adam is None:
            mark, adam = adams_mark(setting, networks, one, args.seed), curves
        longest = max(options, key=lambda option: option.n_steps)
        best = curves.mean(0).min()
        if longest is not one:
            more = longest.curves(fresh, setting.train, setting.test, seeds)
            best = min(best, more.mean(0).min())
        low, high = interval(curves, adam)
        rows.append(
            {
                "task": name,
                "optimizer": label,
                "length": one.n_steps,
                "factor": factor(curves, adam),
                "low": low,
                "high": high,
                "best_loss": best,
                "ms": milliseconds(label, setting, one),
                "tuning_seconds": sum(option.seconds for option in options),
                **one.settings,
            }
        )
        shown = {k: float(f"{v:.3g}") for k, v in one.settings.items()}
        row = rows[-1]
        print(
            f"  {name:14}{label:20} length {one.n_steps:4d}  factor {row['factor']:5.2f} "
            f"({low:.2f} to {high:.2f})  best {best:.4f}  {row['ms']:.3f} ms  tuned in "
            f"{row['tuning_seconds']:.0f} s  {shown}",
            flush=True,
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--optimizers", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of tuning")
    parser.add_argument("--data-home", type=Path)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    for name in args.tasks:
        frame = compare(name, args)
        if args.csv is not None:
            frame.to_csv(args.csv, mode="a", header=not args.csv.exists(), index=False)


if __name__ == "__main__":
    main()
