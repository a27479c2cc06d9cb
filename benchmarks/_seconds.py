"""Seconds per network of every method (table 1 of the paper on learned editing)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from _common import interleaved
from _experiment import Experiment

from skmeta import Population
from skmeta.baselines import (
    AdditiveCorrection,
    CalibratedEqOdds,
    FineTune,
    GroupShift,
    GroupThresholds,
    LayerwiseOptimization,
    LinearPost,
    LotteryTicket,
    PermutationSelection,
    Prune,
    RandomPerturbation,
    RejectOption,
    Swap,
    ThresholdOptimizer,
)
from skmeta.requirements import DataMinimization, Pruning

OURS = "editor"
SLOW = ("PFI + 100 epochs", "random perturbation", "layerwise search")


def contestants(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """All methods by what they are for, fitted; an edit takes as long however well it learned."""
    seed = {"random_state": 0}
    epochs = {"max_epochs": 1}
    fair = experiment.editor(lam_range=(0.01, 0.64), **epochs)
    kinds: dict[str, dict[str, Any]] = {
        "fairness": {
            OURS: fair,
            **{f"fine-tune {k}": FineTune(n_steps=k, **seed) for k in (10, 40, 150)},
            "additive r(x)": AdditiveCorrection(**seed),
            "shift, predicted group": GroupShift(predicted=True, **seed),
            "shift, known group": GroupShift(**seed),
            "group thresholds": GroupThresholds(**seed),
            "swap": Swap(**seed),
            "LinearPost, blind": LinearPost(**seed),
            "ThresholdOptimizer": ThresholdOptimizer(**seed),
            "CalibratedEqOdds": CalibratedEqOdds(**seed),
            "reject option": RejectOption(),
            "random perturbation": RandomPerturbation(**seed),
            "layerwise search": LayerwiseOptimization(**seed),
        },
        "pruning": {
            OURS: experiment.editor(Pruning(budget=0.25), **epochs),
            **{
                name: Prune(name, budget=0.25, **seed)
                for name in ("random", "magnitude", "gradient", "snip", "wanda")
            },
            "wanda + 80 steps": Prune("wanda", budget=0.25, n_steps=80, **seed),
            "lottery ticket": LotteryTicket(budget=0.25, **seed),
        },
        "inputs": {
            OURS: experiment.editor(DataMinimization(budget=7), **epochs),
            "PFI": PermutationSelection(budget=7, **seed),
            "PFI + 100 epochs": PermutationSelection(budget=7, n_epochs=100, **seed),
        },
    }
    for methods in kinds.values():
        for name, method in methods.items():
            if name != OURS:
                method.fit(experiment.zoo, task=experiment.reference)
    return kinds


def seconds(experiment: Experiment) -> pd.DataFrame:
    """CPU milliseconds per network, one alone and all held-out networks at once.

    What a method does before it sees the networks to edit (zoo, editor, the model that
    predicts groups) is left out; a post-processor's time includes running the networks on
    the reference rows, which it looks at, and on one row to predict.
    """
    one_row = experiment.test.subset([0])
    batch = experiment.held_out
    frames = []
    for kind, methods in contestants(experiment).items():
        columns = {}
        for label, networks in (("alone", batch[:1]), ("in a batch", batch)):
            # What takes a second or more per network is timed alone.
            slow = {n for n in methods if label != "alone" and n in SLOW}
            runs = {n: _run(m, networks, one_row) for n, m in methods.items() if n not in slow}
            columns[label] = pd.Series(interleaved(runs, rounds=2)) * 1e3 / len(networks)
        frame = pd.DataFrame(columns)
        frame[["alone / editor", "batch / editor"]] = frame / frame.loc[OURS]
        frames.append(frame.assign(kind=kind))
    return pd.concat(frames).rename_axis("method").set_index("kind", append=True).swaplevel()


def _run(method: Any, networks: Population, one_row: Any) -> Callable[[], object]:
    if hasattr(method, "transform"):
        return lambda: method.transform(networks)
    return lambda: method.predict_logits(networks, one_row)
