"""A requirement of the user's own: :class:`Custom`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skmeta.requirements.base import Cells, Requirement


class Custom(Requirement):
    """A requirement from a function of probabilities, labels and groups.

    Parameters
    ----------
    function : callable
        ``function(probabilities, labels, groups) -> (n,)``, differentiable in the
        probabilities, a tensor ``(n, n_samples, n_classes)``; labels and groups are codes,
        ``(n_samples,)``. It must be at least 0, where 0 is fulfilled, and say the same of a
        random sample of rows, as means do.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Task
    >>> from skmeta.requirements import Cells, Custom
    >>> def too_many_positives(probabilities, labels, groups):
    ...     return (probabilities[..., 1].mean(1) - 0.25).relu()
    >>> task = Task(torch.zeros(4, 1).numpy(), [0, 0, 1, 1], sensitive_features=["a", "b"] * 2)
    >>> Custom(too_many_positives).measure(torch.zeros(1, 4, 2), Cells.of(task))
    tensor([0.2500])
    """

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        self.function = function

    @property
    def needs_sensitive(self) -> bool:
        """False: the function may do without groups."""
        return False

    @property
    def proportional_rows(self) -> bool:
        """True: the function averages over rows as they come."""
        return True

    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Value of the function."""
        n_groups = cells.frequencies.shape[1]
        labels = torch.div(cells.codes, n_groups, rounding_mode="floor")
        value = self.function(logits.softmax(-1), labels, cells.codes % n_groups)
        if not isinstance(value, Tensor) or value.shape != logits.shape[:1]:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                "The function of a Custom requirement must return a tensor of shape "
                f"({len(logits)},), one value per network. Got {came}. Average over the rows: "
                "probabilities are (n_networks, n_samples, n_classes)."
            )
        return value

    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Value of the function."""
        return self.violation(logits, cells)
