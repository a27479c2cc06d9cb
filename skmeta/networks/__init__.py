"""One network: operations, architecture, tensors, module, and adapters for those of users."""

from skmeta.networks.activations import ACTIVATIONS
from skmeta.networks.adapters import UnsupportedNetworkError
from skmeta.networks.architecture import Architecture
from skmeta.networks.initialization import INITIALIZATIONS, initial_records
from skmeta.networks.modules import CNN, MLP, to_module
from skmeta.networks.ops import Activate, Conv, Dropout, Linear, Norm, Pool, Skip
from skmeta.networks.ops.norm import NORMS
from skmeta.networks.record import Record
from skmeta.networks.slots import Slot
from skmeta.networks.stage import Stage

__all__ = [
    "ACTIVATIONS",
    "CNN",
    "INITIALIZATIONS",
    "MLP",
    "NORMS",
    "Activate",
    "Architecture",
    "Conv",
    "Dropout",
    "Linear",
    "Norm",
    "Pool",
    "Record",
    "Skip",
    "Slot",
    "Stage",
    "UnsupportedNetworkError",
    "initial_records",
    "to_module",
]
