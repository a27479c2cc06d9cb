"""Networks as stacked tensors: the Population, its architectures, adapters, symmetries, files."""

from skmeta.population.checks import run_networks
from skmeta.population.forward import forward
from skmeta.population.population import Population
from skmeta.population.rows import from_rows, to_rows
from skmeta.population.running import run_stack
from skmeta.population.shrinking import Shrunk, shrink
from skmeta.population.stack import Stack
from skmeta.population.symmetries import apply_permutations, random_permutations
from skmeta.population.weights import Layout, Weights

__all__ = [
    "Layout",
    "Population",
    "Shrunk",
    "Stack",
    "Weights",
    "apply_permutations",
    "forward",
    "from_rows",
    "random_permutations",
    "run_networks",
    "run_stack",
    "shrink",
    "to_rows",
]
