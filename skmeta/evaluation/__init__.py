"""Measuring edits and comparing methods: measures, intervals, fronts and pictures."""

from skmeta.evaluation.comparison import compare
from skmeta.evaluation.displays import ParetoFrontDisplay
from skmeta.evaluation.fronts import pareto_front
from skmeta.evaluation.intervals import (
    Interval,
    bootstrap_interval,
    network_intervals,
    paired_interval,
)
from skmeta.evaluation.measures import measure_edits

__all__ = [
    "Interval",
    "ParetoFrontDisplay",
    "bootstrap_interval",
    "compare",
    "measure_edits",
    "network_intervals",
    "paired_interval",
    "pareto_front",
]
