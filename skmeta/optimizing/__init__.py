"""Learn how to train: recipes for rules, their search, and what torch makes of them."""

from skmeta.optimizing.attaching import AttachModule
from skmeta.optimizing.meta_training import MetaTraining
from skmeta.optimizing.optimizer import PRETRAINED, Optimizer
from skmeta.optimizing.pes import PersistentES
from skmeta.optimizing.problems import Problem
from skmeta.optimizing.recipe import Recipe
from skmeta.optimizing.residual import LearnedRule, Residual
from skmeta.optimizing.search import Progress, Search
from skmeta.optimizing.torch_optimizer import LearnedOptimizer, OptimizerFactory
from skmeta.optimizing.unrolling import Training, Unrolled, unroll

__all__ = [
    "PRETRAINED",
    "AttachModule",
    "LearnedOptimizer",
    "LearnedRule",
    "MetaTraining",
    "Optimizer",
    "OptimizerFactory",
    "PersistentES",
    "Problem",
    "Progress",
    "Recipe",
    "Residual",
    "Search",
    "Training",
    "Unrolled",
    "unroll",
]
