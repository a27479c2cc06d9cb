"""Learn how to train: recipes for rules, their search, and what torch makes of them."""

from skmeta.optimizing.attaching import AttachModule
from skmeta.optimizing.optimizer import Optimizer
from skmeta.optimizing.recipe import Recipe
from skmeta.optimizing.search import Problem, Progress, Search
from skmeta.optimizing.torch_optimizer import LearnedOptimizer, OptimizerFactory
from skmeta.optimizing.unrolling import Training, Unrolled, unroll

__all__ = [
    "AttachModule",
    "LearnedOptimizer",
    "Optimizer",
    "OptimizerFactory",
    "Problem",
    "Progress",
    "Recipe",
    "Search",
    "Training",
    "Unrolled",
    "unroll",
]
