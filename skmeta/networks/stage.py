"""A mix of neurons and what follows it: :class:`Stage`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from skmeta._checks import shown
from skmeta.networks.ops import OPS, Activate, Dropout, Linear, Mix, Norm, Op, Skip, TailOp
from skmeta.networks.slots import Slot

_ONCE = (Norm, Activate, Dropout)
AnyOp = TypeVar("AnyOp", bound=Op)


@dataclass(frozen=True, init=False)
class Stage:
    """One linear map or convolution, and the operations behind it in their order.

    Parameters
    ----------
    mix : Linear or Conv
        The only operation that mixes neurons.
    *tail : Norm, Skip, Activate, Dropout or Pool
        What follows; at most one normalisation, activation and dropout.

    Examples
    --------
    >>> from skmeta.networks import Activate, Linear, Norm, Stage
    >>> Stage(Linear(64), Norm("batch"), Activate("relu")).activation
    'relu'
    """

    mix: Mix
    tail: tuple[TailOp, ...]

    def __init__(self, mix: Mix, *tail: TailOp) -> None:
        if not isinstance(mix, Mix) or not all(isinstance(op, TailOp) for op in tail):
            raise TypeError(
                "A Stage is a Linear or a Conv and the operations behind it, as in "
                f"Stage(Linear(64), Activate('relu')). Got {shown((mix, *tail))}."
            )
        # What changes nothing is left out: equal functions have equal stages.
        tail = tuple(op for op in tail if op not in (Activate("identity"), Dropout(0.0)))
        for kind in _ONCE:
            if sum(isinstance(op, kind) for op in tail) > 1:
                raise ValueError(
                    f"A Stage has at most one {kind.__name__}. Got {shown(tail)}. Put a Linear "
                    "between them, or leave one out."
                )
        sources = [op.source for op in tail if isinstance(op, Skip)]
        if len(set(sources)) < len(sources):
            raise ValueError(f"A Stage adds each earlier state once. Got {shown(tail)}.")
        object.__setattr__(self, "mix", mix)
        object.__setattr__(self, "tail", tail)

    @classmethod
    def dense(
        cls,
        width: int,
        activation: str = "identity",
        *,
        norm: str = "none",
        skips: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> Stage:
        """Return a dense layer with the usual order of what follows.

        Parameters
        ----------
        width : int
            Number of neurons.
        activation : str, default="identity"
            One of ``ACTIVATIONS``.
        norm : {"none", "batch", "layer"}, default="none"
            Normalisation in front of the activation.
        skips : sequence of int, default=()
            States that are added behind the activation.
        dropout : float, default=0.0
            Share of the outputs that are set to zero in training.

        Returns
        -------
        Stage
            Without operations that change nothing.
        """
        if not isinstance(skips, Iterable):
            raise TypeError(
                "The 'skips' of a Stage must be a tuple of the states that are added to its "
                f"output. Got {shown(skips)}. For one state pass (state,)."
            )
        norms = [] if norm == "none" else [Norm(norm)]
        tail = (*norms, Activate(activation), *map(Skip, skips), Dropout(dropout))
        return cls(Linear(width), *tail)

    @property
    def ops(self) -> tuple[Op, ...]:
        """All operations, the mix first."""
        return (self.mix, *self.tail)

    @property
    def width(self) -> int:
        """Number of neurons, of a convolution the channels."""
        return self.mix.width

    def find(self, kind: type[AnyOp]) -> AnyOp | None:
        """Return the first operation of a kind.

        Parameters
        ----------
        kind : type
            Of an operation.

        Returns
        -------
        Op or None
            None if there is none.
        """
        return next((op for op in self.ops if isinstance(op, kind)), None)

    @property
    def activation(self) -> str:
        """Name of the activation."""
        op = self.find(Activate)
        return "identity" if op is None else op.function

    @property
    def norm(self) -> str:
        """Kind of the normalisation, or "none"."""
        op = self.find(Norm)
        return "none" if op is None else op.kind

    @property
    def skips(self) -> tuple[int, ...]:
        """States that are added."""
        return tuple(sorted(op.source for op in self.tail if isinstance(op, Skip)))

    @property
    def dropout(self) -> float:
        """Share of the outputs that are set to zero in training."""
        op = self.find(Dropout)
        return 0.0 if op is None else op.rate

    def without(self, *kinds: type[TailOp]) -> Stage:
        """Return the stage without some kinds of operations.

        Parameters
        ----------
        *kinds : type
            Of operations.

        Returns
        -------
        Stage
            The others, in order.
        """
        return Stage(self.mix, *(op for op in self.tail if not isinstance(op, kinds)))

    def with_width(self, width: int, *, bias: bool | None = None) -> Stage:
        """Return the stage with another number of neurons.

        Parameters
        ----------
        width : int
            That number.
        bias : bool, optional
            Whether it has a bias; as it has by default.

        Returns
        -------
        Stage
            With the same tail.
        """
        options = {f.name: getattr(self.mix, f.name) for f in fields(self.mix)}  # type: ignore[arg-type]
        options |= {"width": width} | ({} if bias is None else {"bias": bias})
        return Stage(type(self.mix)(**options), *self.tail)

    def slots(self, number: int, width_in: int) -> tuple[Slot, ...]:
        """Return the tensors of the stage.

        Parameters
        ----------
        number : int
            Of the stage.
        width_in : int
            Neurons of the state that enters.

        Returns
        -------
        tuple of Slot
            Weight and bias, then those of the tail.
        """
        found = list(self.mix.slots(number, width_in))
        for op in self.tail:
            found += [
                Slot(f"{number}.{name}", (number + 1,), (self.width,), op.trains(name), neutral)
                for name, neutral in op.fields.items()
                if op.has(name)
            ]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Describe the stage in plain JSON types.

        Returns
        -------
        dict
            What :meth:`from_dict` reads.
        """
        mix, *tail = ({"op": type(op).__name__, **_plain(op)} for op in self.ops)
        return {"mix": mix, "tail": tail}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> Stage:
        """Build a stage from what :meth:`to_dict` returned.

        Parameters
        ----------
        spec : dict
            Also after a round trip through JSON, with lists for tuples.

        Returns
        -------
        Stage
            Equal to the one that was described.
        """
        return cls(*(_op(op) for op in (spec["mix"], *spec["tail"])))  # type: ignore[arg-type]


def _plain(op: Any) -> dict[str, Any]:
    return {f.name: getattr(op, f.name) for f in fields(op)}


def _op(spec: Mapping[str, Any]) -> Op:
    # JSON knows no tuples.
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k != "op"}
    return OPS[spec["op"]](**options)
