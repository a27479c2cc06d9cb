"""Learn how to train: recipes for rules, their search, and what torch makes of them."""

from skmeta.optimizing.optimizer import Optimizer
from skmeta.optimizing.recipe import Recipe
from skmeta.optimizing.search import Problem, Progress, Search
from skmeta.optimizing.unrolling import Training, Unrolled, unroll

__all__ = ["Optimizer", "Problem", "Progress", "Recipe", "Search", "Training", "Unrolled", "unroll"]
