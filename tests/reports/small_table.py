"""A small table with a gap between two groups."""

import numpy as np


def table(n=240, n_features=4, rng=None):
    """Return rows, labels and groups; a generator that is passed draws them and moves on."""
    rng = np.random.default_rng(0) if rng is None else rng
    groups = np.arange(n) % 2
    X = rng.normal(size=(n, n_features)) + groups[:, None]
    return X, (X[:, 0] + rng.normal(size=n) > 0.5).astype(int), groups
