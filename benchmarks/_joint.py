"""Equalized odds and pruning in one edit, against an editor for each of them."""

from __future__ import annotations

import pandas as pd
from _experiment import Experiment
from _fronts import At

from skmeta.baselines import Nothing
from skmeta.evaluation import compare
from skmeta.requirements import EqualizedOdds, Pruning

LAM = 0.1
BUDGET = 0.25


def joint(experiment: Experiment, max_epochs: int) -> pd.DataFrame:
    """Divergence, equalized odds and their objective on test rows; share of weights kept."""
    epochs = {"max_epochs": max_epochs}
    fair = experiment.editor(lam_range=(0.01, 0.64), **epochs)
    pruning = experiment.editor(Pruning(budget=BUDGET), **epochs)
    both = experiment.editor([EqualizedOdds(), Pruning(budget=BUDGET)], lam=LAM, **epochs)
    nothing = Nothing().fit(experiment.zoo, task=experiment.reference)
    methods = {
        "nothing": nothing,
        "equalized odds": At(fair, LAM),
        "pruning": pruning,
        "both in one edit": both,
        "both, + 40 steps": At(both, LAM, 40),
    }
    table = compare(methods, experiment.held_out, experiment.test, lam=LAM)
    weights = compare(methods, experiment.held_out, experiment.test, Pruning(budget=BUDGET))
    columns = ["objective", "objective_low", "objective_high", "divergence", "measure", "seconds"]
    return table[columns].assign(kept=weights["measure"])
