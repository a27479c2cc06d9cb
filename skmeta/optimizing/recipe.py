"""The numbers that make an optimizer of a rule: :class:`Recipe`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta.optimizing.residual import LearnedRule, Residual
from skmeta.training import RULES, Kfac, Schedule
from skmeta.training.rule import Rule


class Scale(NamedTuple):
    """Which values a number is searched among.

    Attributes
    ----------
    low, high : float
        Bounds.
    start : float
        Where the search begins.
    log : bool
        Whether equal ratios are equally far.
    """

    low: float
    high: float
    start: float
    log: bool = True

    def at(self, unit: Tensor) -> Tensor:
        """Return values at places between 0 and 1."""
        if self.log:
            return self.low * (self.high / self.low) ** unit
        return self.low + (self.high - self.low) * unit

    @property
    def place(self) -> float:
        """Where the start is, between 0 and 1."""
        if self.log:
            return math.log(self.start / self.low) / math.log(self.high / self.low)
        return (self.start - self.low) / (self.high - self.low)


SCALES = {
    "lr": Scale(3e-4, 3.0, 0.03),
    "decay": Scale(0.0, 2.0, 0.5, log=False),
    "window": Scale(1e-3, 0.5, 0.05),
    "weight_decay": Scale(1e-6, 0.3, 1e-3),
    "damping": Scale(1e-3, 3.0, 0.3),
}
"""The numbers of recipes: the learning rate behind the warm-up, the power of its decay, the share
of the steps over which weights are averaged, the decay of weights, the damping of curvature."""

_ALL = ("lr", "decay", "window", "weight_decay")

BASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sgdm": ("sgd", _ALL),
    "adam": ("adamw", _ALL),
    "muon": ("muon", _ALL),
    "kfac": ("kfac", (*_ALL, "damping")),
}
"""For each rule that is learned, the one of :data:`~skmeta.training.RULES` that gives the direction
of its steps, and the numbers of its recipe."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """The numbers of a learned rule, for each network of a stack.

    Parameters
    ----------
    base : str
        One of :data:`BASES`.
    numbers : dict of str to Tensor of shape (n,)
        By name.
    residual : Residual, optional
        What a perceptron adds to the steps.

    Examples
    --------
    >>> from skmeta.optimizing import Recipe
    >>> recipe = Recipe.start("adam", 2)
    >>> recipe.numbers["lr"]
    tensor([0.0300, 0.0300], dtype=torch.float64)
    >>> recipe.schedule(100).factor(75).T
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """

    base: str
    numbers: Mapping[str, Tensor]
    residual: Residual | None = None

    @classmethod
    def of(
        cls,
        base: str,
        numbers: Mapping[str, float],
        n: int = 1,
        residual: Residual | None = None,
    ) -> Recipe:
        """Give networks the same numbers.

        Parameters
        ----------
        base : str
            One of :data:`BASES`.
        numbers : mapping of str to float
            By name.
        n : int, default=1
            How many networks.
        residual : Residual, optional
            What a perceptron adds to the steps.

        Returns
        -------
        Recipe
        """
        values = {k: torch.full((n,), v, dtype=torch.float64) for k, v in numbers.items()}
        return cls(base, values, residual)

    @classmethod
    def start(cls, base: str, n: int = 1) -> Recipe:
        """Give networks the numbers that a search begins with.

        Parameters
        ----------
        base : str
            One of :data:`BASES`.
        n : int, default=1
            How many networks.

        Returns
        -------
        Recipe
        """
        return cls.of(base, {name: SCALES[name].start for name in BASES[base][1]}, n)

    @classmethod
    def at(cls, base: str, units: Tensor) -> Recipe:
        """Give networks the numbers at places on their scales.

        Parameters
        ----------
        base : str
            One of :data:`BASES`.
        units : Tensor of shape (n, n_numbers)
            Between 0 and 1.

        Returns
        -------
        Recipe
        """
        columns = zip(BASES[base][1], units.double().T, strict=True)
        return cls(base, {name: SCALES[name].at(column) for name, column in columns})

    def __len__(self) -> int:
        return len(self.numbers["lr"])

    def select(self, networks: Sequence[int] | Tensor) -> Recipe:
        """Return the recipe for some networks, in that order.

        Parameters
        ----------
        networks : sequence of int or Tensor of int
            Which.

        Returns
        -------
        Recipe
        """
        index = torch.as_tensor(networks)
        return replace(self, numbers={k: v[index] for k, v in self.numbers.items()})

    def to(self, device: Any, dtype: torch.dtype) -> Recipe:
        """Move the numbers.

        Parameters
        ----------
        device : device
            Where.
        dtype : dtype
            What.

        Returns
        -------
        Recipe
        """
        moved = {name: value.to(device, dtype) for name, value in self.numbers.items()}
        return replace(self, numbers=moved)

    @property
    def rule(self) -> Rule[Any]:
        """What gives the direction of steps."""
        rule = RULES[BASES[self.base][0]]
        if isinstance(rule, Kfac):
            rule = replace(rule, damping=self.numbers["damping"])
        if self.residual is None:
            return rule
        return LearnedRule(rule, self.residual.of(len(self)), self.residual.gradient_features)

    def schedule(self, n_steps: int) -> Schedule:
        """Return how learning rates and averages change.

        Parameters
        ----------
        n_steps : int
            Length of the training.

        Returns
        -------
        Schedule
        """
        decay, window = (self.numbers[name][:, None] for name in ("decay", "window"))
        return Schedule(n_steps, decay, window)

    @property
    def floats(self) -> list[dict[str, float]]:
        """The numbers of each network."""
        names, columns = self.numbers.keys(), self.numbers.values()
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]
