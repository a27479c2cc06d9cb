"""Fairness fronts: the editor against its rivals at several lam, and the area below them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from _experiment import Experiment

from skmeta import ComplianceEditor
from skmeta.baselines import (
    AdditiveCorrection,
    CalibratedEqOdds,
    FineTune,
    GroupShift,
    GroupThresholds,
    LayerwiseOptimization,
    LinearPost,
    Nothing,
    RandomPerturbation,
    RejectOption,
    Swap,
    ThresholdOptimizer,
)
from skmeta.datasets import Task
from skmeta.editing import measure_edits
from skmeta.evaluation import hypervolume, pareto_front
from skmeta.population import run_networks
from skmeta.requirements import EqualizedOdds
from skmeta.requirements.rates import THRESHOLDS

LAMS = (0.01, 0.03, 0.08, 0.2, 0.5, 1.2, 3.0)
TOLERANCES = (0.2, 0.1, 0.05, 0.0)
LARGEST_DIVERGENCE = 0.004
AXIS = "measure_over_thresholds"
REQUIREMENT = EqualizedOdds(thresholds=THRESHOLDS)
OURS = "editor"


@dataclass
class Method:
    """A way to edit at several settings; ``note`` says what a table must say of it."""

    make: Callable[[float], Any]
    settings: Sequence[float] = LAMS
    note: str = ""


class At:
    """A fitted editor at one lam, with gradient steps behind it if asked for."""

    def __init__(self, editor: ComplianceEditor, lam: float, refine_steps: int = 0) -> None:
        self.editor, self.lam, self.refine_steps = editor, lam, refine_steps

    def fit(self, networks: Any, *, task: Task) -> At:
        """Do nothing: it is fitted."""
        return self

    def transform(self, networks: Any) -> Any:
        """Edit networks."""
        self.editor.refine_steps = self.refine_steps
        try:
            return self.editor.transform(networks, lam=self.lam)
        finally:
            self.editor.refine_steps = 0


def methods(editor: ComplianceEditor, *, slow: bool, with_group: bool) -> dict[str, Method]:
    """The editor and its rivals; those that need the group or game the threshold .5 say so.

    Whoever takes a requirement gets the editor's, but the one that games: it cannot game
    several thresholds.
    """
    seed = {"random_state": 0}
    same = {"requirement": REQUIREMENT, **seed}
    few, once = LAMS[::2], (np.nan,)
    needs, games = "needs group", "games .5"
    blind = {
        OURS: Method(lambda lam: At(editor, lam)),
        **{f"editor + {k} steps": Method(lambda lam, k=k: At(editor, lam, k)) for k in (10, 40)},
        "fine-tune 3": Method(lambda lam: FineTune(lam=lam, n_steps=3, **same)),
        "fine-tune 40": Method(lambda lam: FineTune(lam=lam, n_steps=40, **same)),
        "additive r(x)": Method(lambda lam: AdditiveCorrection(lam=lam, **same)),
        "shift, predicted group": Method(lambda lam: GroupShift(lam=lam, predicted=True, **same)),
        "swap": Method(lambda lam: Swap(lam=lam, **same)),
        "LinearPost, blind": Method(
            lambda tolerance: LinearPost(tolerance=tolerance, **seed), TOLERANCES, games
        ),
    }
    if slow:
        blind["random perturbation"] = Method(lambda lam: RandomPerturbation(lam=lam, **same), few)
        blind["layerwise search"] = Method(lambda lam: LayerwiseOptimization(lam=lam, **same), few)
    aware = {
        "shift, known group": Method(lambda lam: GroupShift(lam=lam, **same), few, needs),
        "group thresholds": Method(
            lambda lam: GroupThresholds(lam=lam, **seed), few, f"{needs}, {games}"
        ),
        "reject option": Method(lambda lam: RejectOption(REQUIREMENT, lam=lam), few, needs),
        "LinearPost, aware": Method(
            lambda tolerance: LinearPost(tolerance=tolerance, aware=True, **seed),
            TOLERANCES,
            f"{needs}, {games}",
        ),
        "ThresholdOptimizer": Method(
            lambda _: ThresholdOptimizer(**seed), once, f"{needs}, {games}"
        ),
        "CalibratedEqOdds": Method(lambda _: CalibratedEqOdds(**seed), once, needs),
    }
    return {"nothing": Method(lambda _: Nothing(), once), **blind, **(aware if with_group else {})}


def joined(first: Task, second: Task) -> Task:
    """Rows of both tasks, so that what needs choosing per network is chosen once."""
    X = pd.DataFrame(np.vstack([first.X, second.X]), columns=first.feature_names)
    y, groups = (
        names[np.concatenate([getattr(task, codes) for task in (first, second)])]
        for names, codes in ((first.classes, "y"), (first.groups, "sensitive"))
    )
    return Task(X, y, sensitive_features=groups)


def measure(experiment: Experiment, contestants: Mapping[str, Method]) -> pd.DataFrame:
    """One row per method, setting, split and held-out network."""
    networks, validation = experiment.held_out, experiment.other_rows
    both = joined(validation, experiment.test)
    before = run_networks(networks, both)
    cut = validation.n_samples
    splits = {
        "validation": (slice(None, cut), validation),
        "test": (slice(cut, None), experiment.test),
    }
    frames = []
    for name, contestant in contestants.items():
        for setting in contestant.settings:
            method = contestant.make(setting).fit(experiment.zoo, task=experiment.reference)
            start = time.process_time()
            if hasattr(method, "transform"):
                edited = method.transform(networks)
                seconds = time.process_time() - start
                after = run_networks(edited, both)
            else:
                after = method.predict_logits(networks, both)
                seconds = time.process_time() - start
            for split, (rows, task) in splits.items():
                frame = measure_edits(before[:, rows], after[:, rows], task)
                frame = frame.assign(
                    method=name,
                    note=contestant.note,
                    lam=setting,
                    split=split,
                    network=range(len(networks)),
                    seconds=seconds / len(networks),
                )
                frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def areas(frame: pd.DataFrame, axis: str = AXIS) -> pd.DataFrame:
    """Share of the box below the largest divergence and "nothing" that each front dominates.

    A front is the mean over the networks at each setting. Which settings are on it is decided
    on validation rows, the area is that of the test rows. ``hypervolume`` counts the settings
    that were tried alone; ``area`` joins neighbours by straight lines, since settings are
    continuous, so that it does not depend on where on the front they happen to lie.
    """
    rows = []
    for seed, part in frame.groupby("seed"):
        means = part.groupby(["split", "method", "lam"], dropna=False)[["divergence", axis]].mean()
        worst = means.loc["test", "nothing"][axis].iloc[0]
        box = np.array([LARGEST_DIVERGENCE, worst])
        for name in part["method"].unique():
            chosen = pareto_front(means.loc["validation", name])
            points = means.loc["test", name][chosen].to_numpy()
            row = {"seed": seed, "method": name, "area": _area_between(points, box) / box.prod()}
            rows.append(row | {"hypervolume": hypervolume(points, box) / box.prod()})
    return pd.DataFrame(rows)


def _area_between(points: np.ndarray, box: np.ndarray) -> float:
    """Area between a front with straight lines from point to point and the top of a box."""
    points = np.vstack([[0.0, box[1]], points])
    points = points[points[:, 0].argsort(kind="stable")]
    x = np.linspace(0, box[0], 1001)
    y = np.interp(x, points[:, 0], np.minimum.accumulate(points[:, 1]))
    return float(np.trapezoid(box[1] - y, x))


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Area of each method, against the editor's, seed by seed."""
    by_seed = areas(frame).set_index(["seed", "method"])
    area = by_seed["area"].unstack()
    difference = area.rsub(area[OURS], axis=0)
    first = frame.drop_duplicates("method").set_index("method")
    table = pd.DataFrame(
        {
            "area": area.mean(),
            "editor minus it": difference.mean(),
            "least": difference.min(),
            "most": difference.max(),
            "editor larger": (difference > 0).sum(),
            "seeds": area.count(),
            "hypervolume": by_seed["hypervolume"].unstack().mean(),
            "area at .5": areas(frame, "measure").groupby("method")["area"].mean(),
            "ms": 1e3 * frame.groupby("method")["seconds"].mean(),
            "note": first["note"],
        }
    )
    return table.sort_values("area", ascending=False)


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Draw mean fronts on test rows: without the group at prediction, and with it."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    test = frame[frame["split"] == "test"]
    means = test.groupby(["method", "lam"], dropna=False, sort=False)[["divergence", AXIS]].mean()
    notes = test.drop_duplicates("method").set_index("method")["note"]
    aware = notes.index[notes.str.contains("needs")]
    figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharex=True, sharey=True)
    panels = {
        "without the group at prediction": [m for m in notes.index if m not in aware],
        "with the group at prediction": ["nothing", OURS, *aware],
    }
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        for number, name in enumerate(names):
            label = f"{name} (games .5)" if "games" in notes[name] else name
            style = {"color": "black", "linewidth": 2.5} if name == OURS else {}
            points = means.loc[name].sort_values("divergence")
            marker = "o^svDP*X<>"[number % 10]
            ax.plot(points[AXIS], points["divergence"], marker=marker, label=label, **style)
        ax.set(title=title, xlabel="equalized odds difference, mean over thresholds .3 to .7")
        ax.axhline(LARGEST_DIVERGENCE, color="grey", linewidth=0.8, linestyle=":")
        ax.legend(frameon=False, fontsize=9)
    axes[0].set(ylabel="divergence from the original [nats]")
    axes[0].set_ylim(0, 1.5 * LARGEST_DIVERGENCE)
    axes[0].set_xlim(left=0)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
