"""Fewer weights and fewer inputs: the editor against its rivals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from _experiment import Experiment

from skmeta import ComplianceEditor, Population
from skmeta.baselines import LotteryTicket, PermutationSelection, Prune, distill
from skmeta.editing import measure_edits, paired_interval
from skmeta.population import run_networks
from skmeta.requirements import DataMinimization, Pruning

Method = Callable[[Population], Population]
PRUNING_BUDGETS = (0.35, 0.25, 0.15)
INPUT_BUDGETS = {"adult": (10, 7, 5), "bank": (8, 5)}


class WithBudget:
    """A fitted editor with a budget, whole or without some of its parts."""

    def __init__(
        self, editor: ComplianceEditor, budget: float, *, compensate=True, learned=True
    ) -> None:
        self.editor, self.budget, self.compensate = editor, budget, compensate
        self.metanet = editor.metanet_ if learned else None

    def __call__(self, networks: Population) -> Population:
        editor, trained = self.editor, self.editor.editor_
        editor.set_params(requirement__budget=self.budget, requirement__compensate=self.compensate)
        try:
            editor.editor_ = replace(trained, metanet=self.metanet)
            return editor.transform(networks)
        finally:
            editor.editor_ = trained


def rival(method: Any, experiment: Experiment) -> Method:
    return method.fit(experiment.zoo, task=experiment.reference).transform


def pruning(experiment: Experiment, full: bool) -> Iterator[tuple[float, dict[str, Method]]]:
    editor = experiment.editor(Pruning(budget=0.25), max_epochs=20 if full else 5)
    for budget in PRUNING_BUDGETS:
        options = {"budget": budget, "random_state": 0}
        methods = {
            name: rival(Prune(name, **options), experiment)
            for name in ("random", "magnitude", "gradient", "snip", "wanda")
        }
        for name in ("magnitude", "snip", "wanda"):
            tuned = Prune(name, n_steps=80, **options)
            methods[f"{name} + 80 steps"] = rival(tuned, experiment)
        if full:
            methods["lottery ticket"] = rival(LotteryTicket(**options), experiment)
        yield budget, methods | ours(editor, budget)


def inputs(
    experiment: Experiment, full: bool, budgets: tuple[int, ...]
) -> Iterator[tuple[float, dict[str, Method]]]:
    editor = experiment.editor(DataMinimization(budget=7), max_epochs=20 if full else 5)
    for budget in budgets:
        methods = {}
        for shared in (True, False):
            name = "shared PFI" if shared else "PFI"
            options = {"budget": budget, "shared": shared, "random_state": 0}
            methods[name] = rival(PermutationSelection(**options), experiment)
            if full:
                tuned = PermutationSelection(n_epochs=100, **options)
                methods[f"{name} + 100 epochs"] = rival(tuned, experiment)
        yield budget, methods | ours(editor, budget)


def ours(editor: ComplianceEditor, budget: float) -> dict[str, Method]:
    return {
        "editor's mask only": WithBudget(editor, budget, compensate=False, learned=False),
        "closed form": WithBudget(editor, budget, learned=False),
        "editor": WithBudget(editor, budget),
    }


def measure_masks(
    experiment: Experiment, budget: float, methods: dict[str, Method], same_mask: int
) -> pd.DataFrame:
    networks, task = experiment.held_out, experiment.test
    before = run_networks(networks, task)
    edited, seconds = {}, {}
    for name, method in methods.items():
        start = time.process_time()
        edited[name] = method(networks)
        seconds[name] = time.process_time() - start
    if same_mask:
        start = time.process_time()
        name = f"editor's mask + {same_mask} steps"
        masked = edited["editor's mask only"]
        edited[name] = distill(
            masked, networks, experiment.reference, n_steps=same_mask, lr=0.01, random_state=0
        )
        seconds[name] = time.process_time() - start
        start = time.process_time()
        edited["editor + 40 steps"] = distill(
            edited["editor"], networks, experiment.reference, n_steps=40, lr=3e-3, random_state=0
        )
        seconds["editor + 40 steps"] = time.process_time() - start + seconds["editor"]
    found = {
        name: measure_edits(before, run_networks(after, task), task, None)
        for name, after in edited.items()
    }
    ours = found["editor"]["divergence"]
    rows = []
    for name, frame in found.items():
        divergence = frame["divergence"]
        _, low, high = paired_interval(ours, divergence, random_state=0)
        rows.append(
            {
                "budget": budget,
                "method": name,
                "divergence": 1e3 * divergence.mean(),
                "median": 1e3 * divergence.median(),
                "editor minus it, low": 1e3 * low,
                "high": 1e3 * high,
                "editor wins": np.mean(ours < divergence),
                "accuracy change": frame["accuracy_change"].mean(),
                "ms": 1e3 * seconds[name] / len(networks),
            }
        )
    return pd.DataFrame(rows)
