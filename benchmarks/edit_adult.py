"""Learned editing against its rivals on Adult (or Bank), held-out networks, test rows.

    python benchmarks/edit_adult.py                      # a small run
    python benchmarks/edit_adult.py --full --seeds 3     # the figures of the docs

Zoo, networks and editors are cached in ``--cache``; tables go to ``--output``. Nothing is
selected on the test rows. The zoo trains on three quarters of the train split; the last quarter
trains the networks "on other rows".
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import _common  # noqa: F401  (sets one thread)
import joblib
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from skmeta import ComplianceEditor, Population, make_zoo
from skmeta.baselines import (
    FineTune,
    GroupShift,
    GroupThresholds,
    Nothing,
    RejectOption,
    Swap,
    ThresholdOptimizer,
    run_networks,
)
from skmeta.datasets import fetch_adult, fetch_bank, split_tasks
from skmeta.evaluation import compare, measure_edits
from skmeta.evaluation.intervals import bootstrap_interval

LAMS = (0.03, 0.1, 0.3)
LAM_RANGE = (0.02, 0.5)
COLUMNS = ["divergence", "measure", "measure_over_thresholds", "measure_soft", "accuracy_change"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["adult", "bank"], default="adult")
    parser.add_argument("--data-home")
    parser.add_argument("--cache", type=Path, default=Path("benchmarks/results/cache"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--full", action="store_true", help="480 runs, 60 epochs of the editor")
    parser.add_argument("--drop-sensitive", action="store_true", help="leave the group out of X")
    parser.add_argument("--seeds", type=int, default=1, help="editors of the main kind")
    parser.add_argument("--part", choices=["all", "main", "features", "fixed"], default="all")
    return parser.parse_args()


class Experiment:
    """Tasks, networks and cached editors of one setting."""

    def __init__(self, args: argparse.Namespace) -> None:
        fetch = {"adult": fetch_adult, "bank": fetch_bank}[args.data]
        bunch = fetch(data_home=args.data_home)
        sensitive = {"adult": "sex", "bank": "age"}[args.data]
        whole, self.reference, self.test = split_tasks(
            bunch, sensitive, drop_sensitive=args.drop_sensitive
        )
        order = np.random.default_rng(0).permutation(whole.n_samples)
        cut = 3 * len(order) // 4
        self.train, self.other_rows = (
            whole.subset(np.sort(part)) for part in np.split(order, [cut])
        )
        self.n_runs, self.n_held_out = (480, 80) if args.full else (48, 16)
        self.max_epochs = 60 if args.full else 15
        name = f"{args.data}{'-dropped' if args.drop_sensitive else ''}-{self.n_runs}"
        self.cache = args.cache / name
        self.cache.mkdir(parents=True, exist_ok=True)
        zoo = make_zoo(
            self.train, self.n_runs + self.n_held_out, cache_dir=self.cache, random_state=0
        )
        last = zoo.metadata["epoch"] == zoo.metadata["epoch"].max()
        seen = zoo.metadata["run"] < self.n_runs
        self.zoo, self.held_out = zoo[seen.to_numpy()], zoo[(~seen & last).to_numpy()]

    def editor(self, seed: int = 0, **params) -> ComplianceEditor:
        """Fit an editor, or load it from the cache."""
        options = {"max_epochs": self.max_epochs, "lam_range": LAM_RANGE, **params}
        name = "-".join(f"{k}={v}" for k, v in sorted(options.items()))
        path = self.cache / f"editor-{name}-{seed}.joblib".replace(" ", "").replace("/", "")
        if path.exists():
            return joblib.load(path)
        start = time.time()
        editor = ComplianceEditor(**options, random_state=seed, verbose=1)
        editor.fit(self.zoo, task=self.reference)
        print(f"{name} seed {seed}: {editor.cost_}, {time.time() - start:.0f} s on the clock")
        joblib.dump(editor, path)
        return editor

    def unseen_kinds(self) -> dict[str, Population]:
        """Networks that differ from the zoo's: on other rows, by scikit-learn."""
        others = make_zoo(
            self.other_rows,
            len(self.held_out),
            n_checkpoints=1,
            cache_dir=self.cache,
            random_state=1,
        )
        path = self.cache / "sklearn.joblib"
        if not path.exists():
            joblib.dump([self._mlp_classifier(i) for i in range(24)], path)
        return {"other rows": others, "MLPClassifier": Population(joblib.load(path))}

    def _mlp_classifier(self, seed: int) -> MLPClassifier:
        rng = np.random.default_rng(seed)
        hidden = tuple(np.sort(rng.choice([32, 48, 64], rng.integers(1, 4))).tolist())
        model = MLPClassifier(
            hidden_layer_sizes=hidden,
            activation=str(rng.choice(["relu", "tanh", "logistic"])),
            max_iter=10,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(self.train.X, self.train.y)


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


class At:
    """A fitted editor at one lam, with gradient steps behind it if asked for."""

    def __init__(self, editor: ComplianceEditor, lam: float, refine_steps: int = 0) -> None:
        self.editor, self.lam, self.refine_steps = editor, lam, refine_steps

    def transform(self, networks):
        self.editor.refine_steps = self.refine_steps
        try:
            return self.editor.transform(networks, lam=self.lam)
        finally:
            self.editor.refine_steps = 0


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
    experiment = Experiment(args)
    args.output.mkdir(parents=True, exist_ok=True)
    name = f"edit_{experiment.cache.name}_{args.part}.csv"
    seeds = {f"editor, seed {s}": experiment.editor(s) for s in range(args.seeds)}
    if args.part in ("all", "main"):
        main_tables(experiment, seeds, args.output / name)
    frames = []
    if args.part in ("all", "features"):
        editors = {f: experiment.editor(features=f) for f in ("weights", "probes", "cells")}
        methods = {**{f"features={f}": e for f, e in editors.items()}, **seeds}
        kinds = {"held-out runs": experiment.held_out, **experiment.unseen_kinds()}
        for kind, networks in kinds.items():
            for lam in LAMS:
                at = {n: At(e, lam) for n, e in methods.items()}
                frames.append(captured(experiment, networks, at, lam).assign(networks=kind))
    if args.part in ("all", "fixed"):
        for lam in LAMS:
            fixed = experiment.editor(lam=lam, lam_range=None)
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
