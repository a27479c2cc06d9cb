"""One network: its architecture, its tensors, its module, and adapters for those of users."""

from skmeta.networks.adapters import UnsupportedNetworkError
from skmeta.networks.architecture import ACTIVATIONS, NORMS, Architecture, Layer
from skmeta.networks.initialization import INITIALIZATIONS, initial_records
from skmeta.networks.modules import CNN, MLP, to_module
from skmeta.networks.record import Record

__all__ = [
    "ACTIVATIONS",
    "CNN",
    "INITIALIZATIONS",
    "MLP",
    "NORMS",
    "Architecture",
    "Layer",
    "Record",
    "UnsupportedNetworkError",
    "initial_records",
    "to_module",
]
