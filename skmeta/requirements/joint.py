"""Several requirements at once: :class:`Joint`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skmeta._checks import check_in_range, shown
from skmeta.datasets import Cells
from skmeta.requirements.base import Requirement
from skmeta.requirements.group_fairness import GroupFairness


class Joint(Requirement):
    """A weighted sum of requirements on predictions.

    Parameters
    ----------
    requirements : sequence of Requirement
        The parts.
    weights : sequence of float
        One per part; ``lam`` multiplies the sum.

    Examples
    --------
    >>> import torch
    >>> from skmeta.datasets import Cells, Task
    >>> from skmeta.requirements import DemographicParity, EqualizedOdds, Joint
    >>> task = Task(torch.zeros(4, 1).numpy(), [0, 0, 1, 1], sensitive_features=["a", "b"] * 2)
    >>> logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> Joint([EqualizedOdds(), DemographicParity()], [1, 0.5]).measure(logits, Cells.of(task))
    tensor([1.2500])
    """

    def __init__(self, requirements: Sequence[Requirement], weights: Sequence[float]) -> None:
        self.requirements = requirements
        self.weights = weights

    def check(self, owner: str) -> None:
        """Raise unless there are requirements on predictions, each with a weight."""
        parts, weights, name = self.requirements, self.weights, f"Joint in {owner}"
        good = isinstance(parts, list | tuple) and bool(parts)
        if not good or not all(isinstance(part, Requirement) for part in parts):
            raise TypeError(
                f"The 'requirements' parameter of {name} must be a list of one or more "
                f"requirements on predictions, such as [EqualizedOdds()]. Got {parts!r}."
            )
        if not isinstance(weights, Sequence) or len(weights) != len(parts):
            raise TypeError(
                f"The 'weights' parameter of {name} must be one number for each of the "
                f"{len(parts)} requirements. Got {shown(weights)}."
            )
        for part, weight in zip(parts, weights, strict=True):
            check_in_range("weights", weight, owner=name, low=0, closed="neither")
            part.check(owner)

    @property
    def needs_sensitive(self) -> bool:
        """Whether a part compares groups."""
        return any(part.needs_sensitive for part in self.requirements)

    @property
    def needs_labels(self) -> bool:
        """Whether a part compares groups label by label."""
        return any(part.needs_labels for part in self.requirements if part.needs_sensitive)

    @property
    def proportional_rows(self) -> bool:
        """Whether a part must see cells at their frequencies."""
        return any(part.proportional_rows for part in self.requirements)

    def violation(self, logits: Tensor, cells: Cells) -> Tensor:
        """Weighted sum of the violations."""
        return self._sum([part.violation(logits, cells) for part in self.requirements])

    def measure(self, logits: Tensor, cells: Cells) -> Tensor:
        """Weighted sum of the measures."""
        return self._sum([part.measure(logits, cells) for part in self.requirements])

    def directions(self, logits: Tensor, cells: Cells) -> Tensor:
        """Weighted directions of all parts, side by side."""
        parts = zip(self.requirements, self.weights, strict=True)
        return torch.cat([w * part.directions(logits, cells) for part, w in parts], 1)

    def _sum(self, values: list[Tensor]) -> Tensor:
        return sum((w * v for w, v in zip(self.weights, values, strict=True)), 0 * values[0])


def group_parts(requirement: Requirement | None) -> list[tuple[float, GroupFairness]]:
    """Take a requirement apart that does nothing but compare rates of groups.

    Parameters
    ----------
    requirement : Requirement or None
        One of groups, or several.

    Returns
    -------
    list of (float, GroupFairness)
        Weights and parts; empty if it looks at anything else.
    """
    if isinstance(requirement, GroupFairness):
        return [(1.0, requirement)]
    if not isinstance(requirement, Joint):
        return []
    parts = []
    for weight, part in zip(requirement.weights, requirement.requirements, strict=True):
        if not isinstance(part, GroupFairness):
            return []
        parts.append((weight, part))
    return parts
