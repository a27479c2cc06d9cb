"""Measuring edits, comparing methods, choosing and ranking: scores, intervals, fronts, pictures."""

from skmeta.evaluation.choosing import least_divergence, least_violation
from skmeta.evaluation.comparison import compare
from skmeta.evaluation.displays import EditDisplay, GroupRatesDisplay, ParetoFrontDisplay
from skmeta.evaluation.frames import metric_frames
from skmeta.evaluation.fronts import hypervolume, pareto_front
from skmeta.evaluation.gap_scorer import GapScorer
from skmeta.evaluation.ranking import kendall_tau
from skmeta.evaluation.scorers import (
    EditScorer,
    accuracy_change_scorer,
    divergence_scorer,
    measure_scorer,
)

__all__ = [
    "EditDisplay",
    "EditScorer",
    "GapScorer",
    "GroupRatesDisplay",
    "ParetoFrontDisplay",
    "accuracy_change_scorer",
    "compare",
    "divergence_scorer",
    "hypervolume",
    "kendall_tau",
    "least_divergence",
    "least_violation",
    "measure_scorer",
    "metric_frames",
    "pareto_front",
]
