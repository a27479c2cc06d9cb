"""What is read off a traced graph: operations, the values between them, a topology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skmeta.networks.adapters._common import InputScaling
from skmeta.networks.stage import Stage


@dataclass(frozen=True)
class Op:
    """An operation behind a linear layer.

    ``kind`` is "norm", "skip", "activation", "dropout", "pool", "maximum", "flatten", "times" or
    one of the tails, before the first linear layer also "scale"; ``what`` is the path of the
    normalisation, the source of the skip connection, the name of the activation, the rate of
    the dropout, an :class:`InputScaling`, a :class:`Pool`, a factor, or "flat" of a pooling
    that leaves no axes.
    """

    kind: str
    what: Any = None


@dataclass(frozen=True)
class Value:
    """State ``state`` with the operations since its linear layer."""

    state: int
    ops: tuple[Op, ...] = ()

    @property
    def lasting(self) -> tuple[Op, ...]:
        """The operations that act in evaluation: neither dropout nor changes of the shape."""
        return tuple(op for op in self.ops if op.kind not in ("dropout", "flatten"))

    @property
    def scaled(self) -> list[InputScaling]:
        """The scalings of the inputs among the operations."""
        return [op.what for op in self.ops if op.kind == "scale"]

    @property
    def pooled(self) -> bool:
        """Whether there is a pooling among the operations."""
        return any(op.kind == "pool" for op in self.ops)


@dataclass(frozen=True)
class Topology:
    """What a module computes and where it keeps its tensors.

    ``names`` maps slots of a record to entries of the module's ``state_dict``; ``tail`` is "none",
    "softmax", "log_softmax" or "sigmoid", the operation behind the outputs. ``n_inputs`` of a
    convolutional network are the channels; ``input_shape`` is known if the network itself makes
    images of rows; ``scaling`` is what it does to its inputs first.
    """

    n_inputs: int
    stages: tuple[Stage, ...]
    names: dict[str, str]
    tail: str
    input_shape: tuple[int, int, int] | None = None
    scaling: InputScaling | None = None
