"""What scikit-learn's array API dispatch asks of a container: :data:`NAMESPACE`."""

from __future__ import annotations

from typing import Any

import numpy as np


class _Namespace:
    """numpy, except that populations are taken from as populations.

    With ``array_api_dispatch`` scikit-learn asks the data of a search for its namespace, moves
    the numbers of the folds into it and takes them from the data.
    """

    __name__ = "numpy"

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def take(self, x: Any, indices: Any, *, axis: int | None = None) -> Any:
        """Return some of the networks, or entries of an array."""
        return np.take(x, indices, axis=axis) if isinstance(x, np.ndarray) else x[indices]

    def asarray(self, x: Any, *, dtype: Any = None, device: Any = None) -> np.ndarray:
        """Return an array of positions, which are in memory wherever the networks are."""
        return np.asarray(x, dtype=dtype)

    def arange(self, *args: Any, dtype: Any = None, device: Any = None) -> np.ndarray:
        """Count."""
        return np.arange(*args, dtype=dtype)


NAMESPACE = _Namespace()
