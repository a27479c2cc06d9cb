"""Networks as a table of weight statistics: :func:`statistics_table`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skmeta.metanets import weight_statistics
from skmeta.population import Population, Stack
from skmeta.population.mapping import n_numbers


def statistics_table(population: Population, depth: int) -> np.ndarray:
    """Return the statistics of each network.

    Parameters
    ----------
    population : Population
        Any number of networks.
    depth : int
        For how many layers there are columns.

    Returns
    -------
    ndarray of shape (n, n_statistics)
        Columns are those of :func:`skmeta.metanets.statistic_names`.
    """

    def of(stack: Stack) -> Tensor:
        # In double precision the rounding does not depend on the other networks.
        return weight_statistics(stack.to(dtype=torch.float64), depth)

    return population.map(of, numbers=n_numbers).cpu().numpy()
