"""The one vectorised training loop for data networks."""

from skmeta.training.elementwise import SGD, Adam, RMSprop
from skmeta.training.kfac import Kfac
from skmeta.training.loop import TrainingResult, per_network, train_stack
from skmeta.training.muon import Muon
from skmeta.training.recalibration import recalibrated
from skmeta.training.rule import Matrix, Moments
from skmeta.training.rules import RULES
from skmeta.training.sampling import ShuffledRows, ShuffledSteps, StratifiedRows
from skmeta.training.schedule import Schedule
from skmeta.training.threads import keep_freed_memory, single_thread
from skmeta.training.trainer import Snapshot, StackTrainer, TrainState

__all__ = [
    "RULES",
    "SGD",
    "Adam",
    "Kfac",
    "Matrix",
    "Moments",
    "Muon",
    "RMSprop",
    "Schedule",
    "ShuffledRows",
    "ShuffledSteps",
    "Snapshot",
    "StackTrainer",
    "StratifiedRows",
    "TrainState",
    "TrainingResult",
    "keep_freed_memory",
    "per_network",
    "recalibrated",
    "single_thread",
    "train_stack",
]
