"""Numbers read off the weights of networks."""

from skmeta.reading.reader import Reader
from skmeta.reading.training import train_reader

__all__ = ["Reader", "train_reader"]
