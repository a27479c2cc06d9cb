"""Networks whose weights tell a number and a class."""

import numpy as np
import pandas as pd

from skmeta import Population
from skmeta.networks import Architecture

ARCHITECTURES = (
    Architecture.mlp((4, 6, 2)),
    Architecture.mlp((4, 8, 2)),
    Architecture.mlp((4, 5, 6, 2)),
)


def reading_zoo(n=90, architectures=ARCHITECTURES, random_state=0):
    """Networks with weights of a scale, the logarithm of the scale, and a label; 3 per run."""
    rng = np.random.default_rng(random_state)
    specs = [architectures[i % len(architectures)] for i in range(n)]
    y = rng.uniform(-1, 1, size=n)
    metadata = pd.DataFrame({"run": np.arange(n) // 3})
    population = Population.initialize(specs, random_state=random_state)
    blocks = []
    for positions, stack in population.blocks:
        scale = np.exp(y[positions])
        blocks.append((positions, stack.with_weights(_times(stack.weights, scale))))
    scaled = Population.from_blocks(blocks, metadata=metadata)
    return scaled, y, np.where(y > 0, "large", "small")


def _times(weights, factors):
    return weights * weights.flat.new_tensor(factors)
