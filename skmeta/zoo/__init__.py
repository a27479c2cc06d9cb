"""Make populations: search spaces, vectorised training, resumption."""

from skmeta.zoo.build import make_zoo
from skmeta.zoo.checks import ZooWarning
from skmeta.zoo.cnn_space import CNNSearchSpace
from skmeta.zoo.search_space import MLPSearchSpace, Run

__all__ = ["CNNSearchSpace", "MLPSearchSpace", "Run", "ZooWarning", "make_zoo"]
