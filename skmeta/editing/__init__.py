"""Edits of networks towards a requirement: features, the edit, masks, guard, report, card."""

from skmeta.editing.fine_tuning import fine_tune
from skmeta.editing.intervals import (
    Interval,
    bootstrap_interval,
    network_intervals,
    paired_interval,
)
from skmeta.editing.measures import measure_edits

__all__ = [
    "Interval",
    "bootstrap_interval",
    "fine_tune",
    "measure_edits",
    "network_intervals",
    "paired_interval",
]
