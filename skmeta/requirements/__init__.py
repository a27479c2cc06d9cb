"""What an edit must bring about, and how far it may move a network."""

from skmeta.requirements.base import Cells, Requirement
from skmeta.requirements.divergence import jensen_shannon
from skmeta.requirements.equalized_odds import EqualizedOdds
from skmeta.requirements.objective import Objective, resolve_requirement

__all__ = [
    "Cells",
    "EqualizedOdds",
    "Objective",
    "Requirement",
    "jensen_shannon",
    "resolve_requirement",
]
