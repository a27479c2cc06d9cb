"""What estimators that read networks take: networks, or rows of numbers that are networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from skorch import NeuralNet
from torch import nn

from skmeta.networks import Architecture, Layer
from skmeta.population import Population, from_rows
from skmeta.population.checks import check_population


def are_rows(networks: Any) -> bool:
    """Whether the input is a table of numbers rather than networks.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> are_rows(np.zeros((2, 3))), are_rows([nn.Linear(1, 1)])
    (True, False)
    """
    if isinstance(networks, Population | nn.Module | BaseEstimator | NeuralNet):
        return False
    if isinstance(networks, np.ndarray | pd.Series):
        networks = networks.tolist() if networks.ndim == 1 and networks.dtype == object else None
    if not isinstance(networks, Sequence):
        return True
    return bool(len(networks)) and not isinstance(
        networks[0], nn.Module | BaseEstimator | NeuralNet
    )


class NetworksOrRows(BaseEstimator):
    """Mixin of estimators that read networks, with a parameter ``architecture``.

    Rows give them scikit-learn's ``n_features_in_`` and the attribute ``architecture_``, which is
    None after a fit on networks.
    """

    architecture: Architecture | None
    architecture_: Architecture | None

    def _networks(self, networks: Any, *, fitting: bool) -> Population:
        """Return networks or rows as a Population, in ``fit`` or later.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Rows are flattened networks of ``architecture``, in the order of
            :func:`~skmeta.population.to_rows`. Without an architecture a row counts as the
            weights of one linear map to one output: no hidden neurons, no symmetry. Rows are
            computed on in float64, like tables elsewhere in scikit-learn.
        fitting : bool
            Whether to learn what rows look like rather than to compare.
        """
        owner, given = type(self).__name__, self.architecture
        if given is not None and not isinstance(given, Architecture):
            raise TypeError(
                f"The 'architecture' parameter of {owner} must be an Architecture or None. Got "
                f"{given!r}. Widths make one: Architecture.mlp((3, 4, 2))."
            )
        if not are_rows(networks):
            if fitting:
                self._forget_rows()
            return check_population(networks, owner)
        architecture = given if fitting else self.architecture_
        if architecture is None and not fitting:
            raise ValueError(
                f"This {owner} was fitted on networks. Got rows of numbers. Pass networks, made of "
                "rows with skmeta.population.from_rows(rows, architecture)."
            )
        rows = validate_data(self, networks, reset=fitting, dtype=np.float64)
        if architecture is None:
            architecture = Architecture(rows.shape[1], (Layer(1, bias=False),), "values")
        if fitting:
            self.architecture_ = architecture
        population = check_population(from_rows(rows, architecture), owner)
        return population.to(dtype=torch.float64)

    def _forget_rows(self) -> None:
        self.architecture_ = None
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                delattr(self, name)
