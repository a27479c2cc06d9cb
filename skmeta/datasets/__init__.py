"""Tasks: the data that networks live on, and where to get some."""

from skmeta.datasets.biased import make_biased_classification
from skmeta.datasets.cells import Cells
from skmeta.datasets.folds import stratified_folds
from skmeta.datasets.groups import merge_rare
from skmeta.datasets.images import fetch_cifar10, fetch_mnist
from skmeta.datasets.losses import CrossEntropy, Loss, SquaredError
from skmeta.datasets.split import split_tasks
from skmeta.datasets.task import Task
from skmeta.datasets.uci import fetch_adult, fetch_bank

__all__ = [
    "Cells",
    "CrossEntropy",
    "Loss",
    "SquaredError",
    "Task",
    "fetch_adult",
    "fetch_bank",
    "fetch_cifar10",
    "fetch_mnist",
    "make_biased_classification",
    "merge_rare",
    "split_tasks",
    "stratified_folds",
]
