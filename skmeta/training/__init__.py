"""The one vectorised training loop for data networks."""

from skmeta.training.loop import TrainingResult, per_network, train_stack
from skmeta.training.rules import RULES, SGD, Adam, Matrix, Muon, RMSprop
from skmeta.training.sampling import ShuffledRows, StratifiedRows
from skmeta.training.threads import keep_freed_memory, single_thread
from skmeta.training.trainer import Snapshot, StackTrainer, TrainState

__all__ = [
    "RULES",
    "SGD",
    "Adam",
    "Matrix",
    "Muon",
    "RMSprop",
    "ShuffledRows",
    "Snapshot",
    "StackTrainer",
    "StratifiedRows",
    "TrainState",
    "TrainingResult",
    "keep_freed_memory",
    "per_network",
    "single_thread",
    "train_stack",
]
