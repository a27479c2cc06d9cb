"""The one vectorised training loop for data networks."""

from skmeta.training.loop import StackTrainer, TrainingResult, per_network, train_stack
from skmeta.training.losses import CrossEntropy
from skmeta.training.rules import RULES, SGD, Adam, RMSprop
from skmeta.training.sampling import ShuffledRows, StratifiedRows
from skmeta.training.threads import keep_freed_memory, single_thread

__all__ = [
    "RULES",
    "SGD",
    "Adam",
    "RMSprop",
    "ShuffledRows",
    "StackTrainer",
    "StratifiedRows",
    "TrainingResult",
    "CrossEntropy",
    "keep_freed_memory",
    "per_network",
    "single_thread",
    "train_stack",
]
