"""Tasks, a zoo, held-out networks and cached editors: what the benchmarks of editing share."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import _common  # noqa: F401  (sets one thread)
import joblib
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils import Bunch

from skmeta import ComplianceEditor, Population, make_zoo
from skmeta.datasets import fetch_adult, fetch_bank, split_tasks

SENSITIVE = {"adult": "sex", "bank": "age"}


def data_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that an :class:`Experiment` has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default="adult", help="adult, bank, or the path of a CSV file")
    parser.add_argument("--target", help="label column of the CSV file; default is its last")
    parser.add_argument("--sensitive", help="column that makes the groups; default sex or age")
    parser.add_argument("--drop-sensitive", action="store_true", help="leave the group out of X")
    parser.add_argument("--data-home")
    parser.add_argument("--cache", type=Path, default=Path("benchmarks/results/cache"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser


class Experiment:
    """Tasks, networks and cached editors of one setting.

    The zoo trains on three quarters of the train split. The last quarter, ``other_rows``, is
    for choosing among results, and trains the networks "on other rows".
    """

    def __init__(
        self, args: argparse.Namespace, n_runs: int, n_held_out: int, seed: int = 0
    ) -> None:
        bunch = load(args)
        sensitive = args.sensitive or SENSITIVE.get(args.data)
        whole, self.reference, self.test = split_tasks(
            bunch, sensitive, drop_sensitive=args.drop_sensitive
        )
        order = np.random.default_rng(0).permutation(whole.n_samples)
        cut = 3 * len(order) // 4
        self.train, self.other_rows = (
            whole.subset(np.sort(part)) for part in np.split(order, [cut])
        )
        dropped = "-dropped" if args.drop_sensitive else ""
        self.name = f"{Path(args.data).stem}-{sensitive}{dropped}-{n_runs}"
        self.cache = args.cache / f"{self.name}-{seed}"
        self.cache.mkdir(parents=True, exist_ok=True)
        args.output.mkdir(parents=True, exist_ok=True)
        zoo = make_zoo(
            self.train,
            n_runs + n_held_out,
            cache_dir=self.cache,
            random_state=seed,
            progress=False,
        )
        last = zoo.metadata["epoch"] == zoo.metadata["epoch"].max()
        seen = zoo.metadata["run"] < n_runs
        self.zoo, self.held_out = zoo[seen.to_numpy()], zoo[(~seen & last).to_numpy()]

    def editor(
        self, requirement: Any = "equalized_odds", seed: int = 0, **params: Any
    ) -> ComplianceEditor:
        """Fit an editor, or load it from the cache."""
        name = "-".join([str(requirement), *(f"{k}={v}" for k, v in sorted(params.items()))])
        name = "".join(c for c in name if c not in " /'\"\n")
        path = self.cache / f"editor-{name}-{seed}.joblib"
        if path.exists():
            return joblib.load(path)
        start = time.process_time()
        editor = ComplianceEditor(requirement, **params, random_state=seed)
        editor.fit(self.zoo, task=self.reference)
        joblib.dump(editor, path)
        print(f"{name}: {time.process_time() - start:.0f} CPU seconds, {editor.cost_}", flush=True)
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


def load(args: argparse.Namespace) -> Bunch:
    """Fetch a data set by name, or read a CSV file."""
    if args.data in SENSITIVE:
        fetch = {"adult": fetch_adult, "bank": fetch_bank}[args.data]
        return fetch(data_home=args.data_home)
    if args.sensitive is None:
        raise SystemExit("A CSV file needs --sensitive, the column that makes the groups.")
    frame = pd.read_csv(args.data)
    target = args.target or frame.columns[-1]
    return Bunch(
        data=frame.drop(columns=target),
        target=frame[target],
        sensitive_features=frame[[args.sensitive]],
    )
