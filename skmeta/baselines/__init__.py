"""The rivals of the learned editors, with the editors' own signature."""

from skmeta.baselines.additive import AdditiveCorrection
from skmeta.baselines.base import Baseline
from skmeta.baselines.blind_optimum import BlindOptimum
from skmeta.baselines.calibrated_eq_odds import CalibratedEqOdds
from skmeta.baselines.distillation import distill
from skmeta.baselines.feature_selection import PermutationSelection
from skmeta.baselines.finetune import FineTune
from skmeta.baselines.group_shift import GroupShift
from skmeta.baselines.group_thresholds import GroupThresholds
from skmeta.baselines.linear_post import LinearPost
from skmeta.baselines.nothing import Nothing
from skmeta.baselines.perturbation import LayerwiseOptimization, RandomPerturbation
from skmeta.baselines.pruning import LotteryTicket, Prune
from skmeta.baselines.reject_option import RejectOption
from skmeta.baselines.swap import Swap
from skmeta.baselines.threshold_optimizer import ThresholdOptimizer

__all__ = [
    "AdditiveCorrection",
    "Baseline",
    "BlindOptimum",
    "CalibratedEqOdds",
    "FineTune",
    "GroupShift",
    "GroupThresholds",
    "LayerwiseOptimization",
    "LinearPost",
    "LotteryTicket",
    "Nothing",
    "PermutationSelection",
    "Prune",
    "RandomPerturbation",
    "RejectOption",
    "Swap",
    "ThresholdOptimizer",
    "distill",
]
