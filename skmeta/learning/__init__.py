"""The one skorch shell that trains any metanetwork over a population."""

from skmeta.learning.nets import train
from skmeta.learning.on_positions import OnPositions
from skmeta.learning.settings import TrainingSettings

__all__ = ["OnPositions", "TrainingSettings", "train"]
