"""Numbers read off the weights and the gradients of networks."""

from skmeta.reading.curvature import CurvatureReader, train_curvature
from skmeta.reading.reader import Reader
from skmeta.reading.training import train_reader

__all__ = ["CurvatureReader", "Reader", "train_curvature", "train_reader"]
