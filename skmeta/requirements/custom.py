"""A requirement of the user's own: :class:`Custom`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skmeta.datasets import Cells
from skmeta.requirements.base import Requirement

_ROUNDING = 1e-5


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
    >>> from skmeta.datasets import Cells, Task
    >>> from skmeta.requirements import Custom
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

    def check(self, owner: str) -> None:
        """Raise unless the function is one."""
        if not callable(self.function):
            raise TypeError(
                f"The 'function' parameter of Custom in {owner} must be a function of "
                f"probabilities, labels and groups. Got {self.function!r}."
            )

    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Value of the function, which must have a gradient."""
        probabilities = logits.softmax(-1)
        value = self._value(probabilities, cells)
        if torch.is_grad_enabled() and probabilities.requires_grad:
            if not value.requires_grad:
                raise ValueError(
                    "The function of a Custom requirement must be differentiable in the "
                    "probabilities. Got a value without a gradient. Decisions (argmax, >) and "
                    "detached or converted tensors have none: use the probabilities themselves."
                )
            probabilities.register_hook(_check_gradient)
        return value

    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Value of the function."""
        return self._value(logits.softmax(-1), cells)

    def _value(self, probabilities: Tensor, cells: Cells) -> Tensor:
        n_groups = cells.frequencies.shape[1]
        labels = torch.div(cells.codes, n_groups, rounding_mode="floor")
        value = self.function(probabilities, labels, cells.codes % n_groups)
        n = len(probabilities)
        if not isinstance(value, Tensor) or value.shape != (n,):
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                "The function of a Custom requirement must return a tensor of shape "
                f"({n},), one value per network. Got {came}. Average over the rows: "
                "probabilities are (n_networks, n_samples, n_classes)."
            )
        # What is not a number already is no fault of the function.
        wrong = ~(value >= -_ROUNDING) & probabilities.isfinite().flatten(1).all(1)
        if wrong.any():
            raise ValueError(
                "The function of a Custom requirement must return numbers of at least 0, where 0 "
                f"is fulfilled. Got {value[wrong][0].item():g} for a network with finite "
                "probabilities. Look for means over no rows, logarithms of 0 and signs."
            )
        return value


def _check_gradient(gradient: Tensor) -> None:
    """Refuse gradients at finite probabilities that are not finite."""
    if not gradient.isfinite().all():
        raise ValueError(
            "The gradient of the function of a Custom requirement must be finite. Got nan or "
            "infinity. Square roots and standard deviations have such a gradient at 0: add a "
            "small number under the root."
        )
