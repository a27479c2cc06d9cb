"""Networks as stacked tensors: the Population, its architectures, adapters, symmetries, files."""

from skmeta.population.adapters import UnsupportedNetworkError
from skmeta.population.architecture import ACTIVATIONS, NORMS, Architecture, Layer
from skmeta.population.forward import Tape, forward
from skmeta.population.initialization import INITIALIZATIONS, initial_records
from skmeta.population.modules import CNN, MLP, to_module
from skmeta.population.population import Population
from skmeta.population.rows import from_rows, to_rows
from skmeta.population.running import run_stack
from skmeta.population.shrinking import Shrunk, shrink
from skmeta.population.stack import Stack
from skmeta.population.symmetries import apply_permutations, random_permutations
from skmeta.population.tensors import Buffers, Parameters, Record

__all__ = [
    "ACTIVATIONS",
    "CNN",
    "INITIALIZATIONS",
    "MLP",
    "NORMS",
    "Architecture",
    "Buffers",
    "Layer",
    "Parameters",
    "Population",
    "Record",
    "Shrunk",
    "Stack",
    "Tape",
    "UnsupportedNetworkError",
    "apply_permutations",
    "forward",
    "from_rows",
    "initial_records",
    "random_permutations",
    "run_stack",
    "shrink",
    "to_module",
    "to_rows",
]
