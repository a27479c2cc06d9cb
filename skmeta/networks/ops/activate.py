"""Activations: :class:`Activate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from skmeta._checks import check_in_range, check_option
from skmeta.networks.activations import ACTIVATIONS, Activation
from skmeta.networks.ops.base import Affine, Run, RunOp, Size, Values


@dataclass(frozen=True)
class Activate(RunOp):
    """An elementwise function.

    Parameters
    ----------
    function : str
        One of ``ACTIVATIONS``.
    parameter : float, optional
        The number that the function takes, of "sin" the frequency w in sin(w z); the default is
        that of the table. Other functions take none.
    """

    function: str
    parameter: float | None = None

    def __post_init__(self) -> None:
        check_option("function", self.function, ACTIVATIONS, owner="Activate")
        default = self.table.parameter
        if default is None and self.parameter is not None:
            raise ValueError(
                f"The 'parameter' of Activate belongs to functions with a number, such as 'sin'. "
                f"Got {self.parameter!r} for {self.function!r}. Leave it out."
            )
        value = default if self.parameter is None else self.parameter
        if value is not None:
            check_in_range("parameter", value, owner="Activate", low=0, closed="neither")
            value = float(value)
        object.__setattr__(self, "parameter", value)

    @property
    def table(self) -> Activation:
        """What is known of the function."""
        return ACTIVATIONS[self.function]

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Whether its gradient is computed from the input."""
        return not self.table.reads_output

    @property
    def _options(self) -> tuple[float, ...]:
        return () if self.parameter is None else (self.parameter,)

    def commutes(self, group: str) -> bool:
        """Whether the function lets factors pass."""
        return group in self.table.groups

    def module(self, width: int, size: Size) -> nn.Module:
        """Return a module that computes the function."""
        return nn.Identity() if self.function == "identity" else ActivationModule(self)

    def apply(self, x: Tensor, values: Values, run: Run) -> tuple[Tensor, Any]:
        """Activate; keep the input or the output."""
        table, saved = self.table, None
        if run.keep and not table.reads_output:
            saved = x.clone() if run.in_place else x
        y = (table.in_place if run.in_place else table.forward)(x, *self._options)
        if table.lifts_zero and run.mask is not None:
            y = y.mul_(run.mask[:, None]) if run.in_place else y * run.mask[:, None]
        return y, y if run.keep and table.reads_output else saved

    def pull(self, g: Tensor, saved: Any, values: Values, run: Run, affine: Affine) -> Tensor:
        """Go back, in place."""
        self.table.backward(g, saved, g, *self._options)
        return g


class ActivationModule(nn.Module):
    """An activation of the table as a module.

    Parameters
    ----------
    op : Activate
        The activation.
    """

    def __init__(self, op: Activate) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        """Activate."""
        return self.op.table.forward(x, *self.op._options)

    def extra_repr(self) -> str:
        """Name the function."""
        return self.op.function
