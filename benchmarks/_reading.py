"""Zoos with accuracies, rivals and scores: what the benchmarks of reading share."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import _common  # noqa: F401  (sets one thread)
import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from skmeta import Population, WeightSpaceRegressor, WeightStatistics, make_zoo
from skmeta.datasets import split_tasks

Settings = Mapping[str, Mapping[str, Any]]
Copies = Mapping[str, Callable[[Population], Population]]

BOOSTING = "boosting"
# Better on validation runs than the defaults.
BOOSTING_PARAMS = {"max_iter": 400, "learning_rate": 0.05, "max_features": 0.3}


def reading_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that both benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="the sizes of the docs")
    parser.add_argument("--seeds", type=int, help="of readers and splits; default is 5 or 1")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument(
        "--validate", action="store_true", help="on a part of the training runs, to choose settings"
    )
    parser.add_argument("--data-home")
    parser.add_argument("--cache", type=Path, default=Path("benchmarks/results/cache"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser


def labelled_zoo(
    bunch: Bunch, n_runs: int, cache: Path, **options: Any
) -> tuple[Population, np.ndarray]:
    """Train a zoo on two fifths of the images; the others measure the accuracies."""
    cache.mkdir(parents=True, exist_ok=True)
    train, *others = split_tasks(bunch)
    zoo = make_zoo(train, n_runs, cache_dir=cache, random_state=0, progress=False, **options)
    scores = [zoo.score(task.X, task.y) for task in others]
    accuracy = np.average(scores, axis=0, weights=[task.n_samples for task in others])
    low, median, high = np.quantile(accuracy, (0.05, 0.5, 0.95))
    seconds = zoo.metadata.drop_duplicates("run")["seconds"].sum()
    print(
        f"{zoo}: {n_runs} runs in {seconds:.0f} CPU seconds, accuracies {low:.3f} (5 %), "
        f"{median:.3f} (50 %), {high:.3f} (95 %)",
        flush=True,
    )
    return zoo, accuracy


def split_by_run(
    zoo: Population, seed: int = 0, *, validate: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of the networks to fit on and of those to score on.

    A fifth of the runs is for testing, another one with every seed. To validate, a fifth of
    the runs that seed 0 fits on takes its place.
    """
    runs = zoo.metadata["run"].to_numpy()
    split = GroupShuffleSplit(1, test_size=0.2, random_state=0 if validate else seed)
    [(train, test)] = split.split(runs, groups=runs)
    if not validate:
        return train, test
    split = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
    [(fit, validation)] = split.split(train, groups=runs[train])
    return train[fit], train[validation]


def build(params: Mapping[str, Any], seed: int) -> Any:
    """Return an unfitted reader: gradient boosting if no metanetwork is named."""
    if "metanet" in params:
        return WeightSpaceRegressor(**params, random_state=seed)
    return make_pipeline(
        WeightStatistics(), HistGradientBoostingRegressor(**params, random_state=seed)
    )


def measure(
    zoo: Population,
    accuracy: np.ndarray,
    settings: Settings,
    path: Path,
    args: argparse.Namespace,
    copies: Copies | None = None,
) -> pd.DataFrame:
    """Fit every reader on training runs and score it on the others, seed by seed.

    A row is written when it is measured. What ``path`` holds already, with the same settings,
    is not measured again.

    Parameters
    ----------
    zoo : Population
        With runs.
    accuracy : ndarray of shape (n,)
        What is read.
    settings : mapping of str to mapping
        Parameters of :class:`WeightSpaceRegressor` by name of the method; gradient boosting
        on weight statistics is added.
    path : Path
        A CSV file.
    args : Namespace
        Options of :func:`reading_parser`.
    copies : mapping of str to callable, optional
        How held-out networks are changed before they are read; nothing by default.

    Returns
    -------
    DataFrame
        A row per seed, method and copy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["seed", "method"])
    changes = copies or {"original": lambda networks: networks}
    contestants = {**settings, BOOSTING: BOOSTING_PARAMS}
    for seed in range(args.seeds or (5 if args.full else 1)):
        train, test = split_by_run(zoo, seed, validate=args.validate)
        held_out = {name: change(zoo[test]) for name, change in changes.items()}
        for name, params in contestants.items():
            if args.methods and name not in args.methods:
                continue
            same = (frame["seed"] == seed) & (frame["method"] == name)
            if same.any() and (frame.loc[same, "settings"] == str(params)).all():
                continue
            model, start = build(params, seed), time.process_time()
            model.fit(zoo[train], accuracy[train])
            row = {"seed": seed, "method": name, "parameters": n_parameters(model)}
            row["fit_seconds"] = time.process_time() - start
            rows = [
                {**row, "copy": copy, **scores(model, networks, accuracy[test])}
                for copy, networks in held_out.items()
            ]
            print(pd.DataFrame(rows).to_string(index=False, header=False), flush=True)
            new = pd.DataFrame(rows).assign(settings=str(params))
            frame = pd.DataFrame([*frame[~same].to_dict("records"), *new.to_dict("records")])
            frame.to_csv(path, index=False)
    return frame


def scores(model: Any, networks: Population, accuracy: np.ndarray) -> dict[str, float]:
    """Return Kendall's tau, R^2 and the CPU seconds of predicting."""
    start = time.process_time()
    predicted = model.predict(networks)
    seconds = time.process_time() - start
    tau = float(np.nan_to_num(kendalltau(accuracy, predicted).statistic))
    return {"tau": tau, "r2": r2_score(accuracy, predicted), "predict_seconds": seconds}


def n_parameters(model: Any) -> float:
    """Return the number of parameters of a metanetwork; gradient boosting has none to count."""
    if not hasattr(model, "metanet_"):
        return np.nan
    return sum(parameter.numel() for parameter in model.metanet_.parameters())


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return means and, of the scores, standard deviations over the seeds."""
    groups = frame.groupby(["copy", "method"], sort=False)
    table = groups[["tau", "r2", "parameters", "fit_seconds", "predict_seconds"]].mean()
    for name in ("tau", "r2"):
        table.insert(table.columns.get_loc(name) + 1, f"{name}_std", groups[name].std())
    table.insert(0, "seeds", groups.size())
    return table
