"""What an edit must bring about, and how far it may move a network."""

from skmeta.requirements.base import Requirement
from skmeta.requirements.custom import Custom
from skmeta.requirements.divergence import jensen_shannon, kullback_leibler
from skmeta.requirements.group_fairness import (
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    GroupFairness,
)
from skmeta.requirements.joint import Joint
from skmeta.requirements.masks import DataMinimization, MaskRequirement, Pruning
from skmeta.requirements.objective import Objective
from skmeta.requirements.optimum import FairOptimum, solve_fair_optimum
from skmeta.requirements.resolve import resolve_requirement, split_requirements
from skmeta.requirements.teacher import FairTeacher

__all__ = [
    "Custom",
    "DataMinimization",
    "DemographicParity",
    "EqualOpportunity",
    "EqualizedOdds",
    "FairOptimum",
    "FairTeacher",
    "GroupFairness",
    "Joint",
    "MaskRequirement",
    "Objective",
    "Pruning",
    "Requirement",
    "kullback_leibler",
    "jensen_shannon",
    "resolve_requirement",
    "solve_fair_optimum",
    "split_requirements",
]
