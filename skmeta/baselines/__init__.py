"""The rivals of the learned editors, with the editors' own signature."""

from skmeta.baselines.base import Baseline, run_networks
from skmeta.baselines.finetune import FineTune, fine_tune
from skmeta.baselines.group_shift import GroupShift
from skmeta.baselines.group_thresholds import GroupThresholds
from skmeta.baselines.nothing import Nothing
from skmeta.baselines.reject_option import RejectOption
from skmeta.baselines.swap import Swap
from skmeta.baselines.threshold_optimizer import ThresholdOptimizer

__all__ = [
    "Baseline",
    "FineTune",
    "GroupShift",
    "GroupThresholds",
    "Nothing",
    "RejectOption",
    "Swap",
    "ThresholdOptimizer",
    "fine_tune",
    "run_networks",
]
