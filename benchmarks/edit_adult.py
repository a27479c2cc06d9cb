"""Learned editing against its rivals on Adult (or Bank), held-out networks, test rows.

    python benchmarks/edit_adult.py                      # a small run
    python benchmarks/edit_adult.py --full --seeds 3     # the figures of the docs

Zoo, networks and editors are cached in ``--cache``; tables go to ``--output``. Nothing is
selected on the test rows. The zoo trains on three quarters of the train split; the last quarter
trains the networks "on other rows".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _experiment import Experiment, data_parser
from _fronts import At

from skmeta import ComplianceEditor, Population
from skmeta.baselines import (
    FineTune,
    GroupShift,
    GroupThresholds,
    Nothing,
    RejectOption,
    Swap,
    ThresholdOptimizer,
)
from skmeta.editing import measure_edits
from skmeta.editing.intervals import bootstrap_interval
from skmeta.evaluation import compare
from skmeta.population import run_networks

LAMS = (0.03, 0.1, 0.3)
LAM_RANGE = (0.02, 0.5)
COLUMNS = ["divergence", "measure", "measure_over_thresholds", "measure_soft", "accuracy_change"]


def arguments() -> argparse.Namespace:
    parser = data_parser(__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="480 runs, 60 epochs of the editor")
    parser.add_argument("--seeds", type=int, default=1, help="editors of the main kind")
    parser.add_argument("--part", choices=["all", "main", "features", "fixed"], default="all")
    return parser.parse_args()


def rivals(experiment: Experiment, lam: float) -> dict:
    """All baselines at one lam, fitted on the reference rows."""
    methods = {
        "nothing": Nothing(),
        "swap": Swap(lam=lam),
        "reject option, flipped (needs group)": RejectOption(lam=lam),
        "ThresholdOptimizer (needs group)": ThresholdOptimizer(random_state=0),
        "group thresholds + clipping (needs group, games .5)": GroupThresholds(lam=lam),
        "group shift (needs group)": GroupShift(lam=lam),
        "group shift, predicted group": GroupShift(lam=lam, predicted=True),
        **{f"fine-tune {k}": FineTune(lam=lam, n_steps=k, random_state=0) for k in (10, 40, 150)},
    }
    for method in methods.values():
        method.fit(experiment.zoo, task=experiment.reference)
    return methods


def captured(
    experiment: Experiment, networks: Population, methods: dict, lam: float
) -> pd.DataFrame:
    """Share of the 150-step fine-tuning gain, with intervals over networks."""
    task = experiment.test
    tuned = FineTune(lam=lam, n_steps=150, random_state=0)
    tuned.fit(experiment.zoo, task=experiment.reference)
    before = run_networks(networks, task)

    def objective(edited):
        frame = measure_edits(before, run_networks(edited, task), task)
        return (frame["divergence"] + lam * frame["measure"]).to_numpy()

    nothing, best = objective(networks), objective(tuned.transform(networks))
    rows = []
    for name, method in methods.items():
        mine = objective(method.transform(networks))
        gain = (nothing - mine) / (nothing - best).mean()
        share, low, high = bootstrap_interval(gain, random_state=0)
        rows.append([name, lam, share, low, high, np.mean(mine < nothing)])
    return pd.DataFrame(
        rows, columns=["method", "lam", "captured", "captured_low", "captured_high", "improved"]
    )


def main() -> None:
    args = arguments()
    experiment = Experiment(args, *((480, 80) if args.full else (48, 16)))
    options = {"max_epochs": 60 if args.full else 15, "lam_range": LAM_RANGE}
    name = f"edit_{experiment.name}_{args.part}.csv"
    seeds = {f"editor, seed {s}": experiment.editor(seed=s, **options) for s in range(args.seeds)}
    if args.part in ("all", "main"):
        main_tables(experiment, seeds, args.output / name)
    frames = []
    if args.part in ("all", "features"):
        editors = {
            f: experiment.editor(features=f, **options) for f in ("weights", "probes", "cells")
        }
        methods = {**{f"features={f}": e for f, e in editors.items()}, **seeds}
        kinds = {"held-out runs": experiment.held_out, **experiment.unseen_kinds()}
        for kind, networks in kinds.items():
            for lam in LAMS:
                at = {n: At(e, lam) for n, e in methods.items()}
                frames.append(captured(experiment, networks, at, lam).assign(networks=kind))
    if args.part in ("all", "fixed"):
        for lam in LAMS:
            fixed = experiment.editor(lam=lam, max_epochs=options["max_epochs"])
            at = {"fixed lam": At(fixed, lam), **{n: At(e, lam) for n, e in seeds.items()}}
            frames.append(captured(experiment, experiment.held_out, at, lam))
    if frames:
        table = pd.concat(frames)
        table.to_csv(args.output / name.replace("edit_", "captured_"), index=False)
        print(table.to_string(index=False, float_format="%.3f"))


def main_tables(experiment: Experiment, seeds: dict[str, ComplianceEditor], path: Path) -> None:
    """All methods at every lam, and what the editors capture."""
    first = next(iter(seeds.values()))
    tables, shares = [], []
    for lam in LAMS:
        methods = rivals(experiment, lam)
        methods |= {name: At(editor, lam) for name, editor in seeds.items()}
        methods["editor + 40 steps"] = At(first, lam, 40)
        table = compare(methods, experiment.held_out, experiment.test, lam=lam)
        tables.append(table.assign(lam=lam))
        print(f"\nlam {lam}")
        shown = ["objective", "objective_low", "objective_high", *COLUMNS, "improved", "seconds"]
        print(table[shown].to_string(float_format="%.4f"))
        at = {name: At(editor, lam) for name, editor in seeds.items()}
        at |= {"editor + 40 steps": At(first, lam, 40), "fine-tune 40": methods["fine-tune 40"]}
        shares.append(captured(experiment, experiment.held_out, at, lam))
    pd.concat(tables).to_csv(path)
    table = pd.concat(shares)
    print(table.to_string(index=False, float_format="%.3f"))
    table.to_csv(path.with_name(path.name.replace("edit_", "captured_")), index=False)
    print("cost:", first.cost_)


if __name__ == "__main__":
    main()
