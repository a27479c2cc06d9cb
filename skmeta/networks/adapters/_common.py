"""What all adapters share: the error, what they read, deltas, scaled inputs, logistic units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from skmeta.networks.record import Record


class UnsupportedNetworkError(TypeError):
    """A network that an :class:`~skmeta.networks.Architecture` cannot describe."""


@dataclass(frozen=True, eq=False)
class InputScaling:
    """What a network does to its inputs before its first layer: ``x * factor + offset``.

    Both are float64, a number or one number per input. Folded into the first layer, the
    network takes the inputs as they came; an edit is unfolded on its way back.
    """

    factor: np.ndarray
    offset: np.ndarray

    def then(self, other: InputScaling) -> InputScaling:
        """Return this scaling followed by another."""
        return InputScaling(self.factor * other.factor, self.offset * other.factor + other.offset)

    def expanded(self, n_inputs: int, *, bias: bool) -> InputScaling:
        """Return the scaling with a number per input; refuse what cannot be folded."""
        try:
            factor, offset = (
                np.array(np.broadcast_to(a, (n_inputs,))) for a in (self.factor, self.offset)
            )
        except ValueError as error:
            raise UnsupportedNetworkError(
                f"the scaling of its inputs does not fit {n_inputs} inputs: {error}."
            ) from error
        if not (np.isfinite(factor) & np.isfinite(offset) & (factor != 0)).all():
            raise UnsupportedNetworkError(
                "the scaling of its inputs has a factor of zero, or a number that is not finite."
            )
        if not bias and offset.any():
            raise UnsupportedNetworkError(
                "it shifts its inputs, and its first layer has no bias to hold that. Give it one."
            )
        return InputScaling(factor, offset)

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of a first layer that takes the inputs unscaled."""
        factor, offset = self._tensors(weight)
        weight, bias = weight.double(), bias.double()
        return weight * factor, bias + weight @ offset

    def unfolded(self, record: Record) -> Record:
        """Return a record with the first layer behind the scaling, in float64."""
        weights, biases = (list(record.tensors[field]) for field in ("weight", "bias"))
        factor, offset = self._tensors(weights[0])
        weights[0] = weights[0].detach().double() / factor
        biases[0] = biases[0].detach().double() - weights[0] @ offset
        return Record(record.architecture, {**record.tensors, "weight": weights, "bias": biases})

    def _tensors(self, like: Tensor) -> list[Tensor]:
        return [torch.from_numpy(a).to(like.device) for a in (self.factor, self.offset)]


class Answer(NamedTuple):
    """A way to ask a network what it computes, by which an adapter checks itself.

    Attributes
    ----------
    name : str
        The method that is asked.
    ask : callable
        From float64 rows ``(n_samples, n_inputs)`` to what the network says.
    link : callable
        From the outputs of the record to what the network must say.
    rounding : float
        Relative error of the network's own arithmetic that is no difference.
    cause : str
        What else than the layers may change its values.
    """

    name: str
    ask: Callable[[Tensor], Any]
    link: Callable[[Tensor], Tensor]
    cause: str
    rounding: float = 1e-5


def same(values: Tensor) -> Tensor:
    """Return the outputs: the link of a network that says them."""
    return values


def probabilities(outputs: Tensor) -> Tensor:
    """Return class probabilities: the link of a network that says these."""
    return outputs.softmax(-1)


def check_not_replaced(network: Any, names: Sequence[str]) -> None:
    """Refuse a network with a method of its own in place of that of its class.

    A function may hold on to the network itself: an edited copy would compute what that does.
    """
    for name in names:
        if name in vars(network):
            raise UnsupportedNetworkError(
                f"the {name} of a {type(network).__name__} was replaced on the object. Take it "
                f"away (del network.{name}), or write a class with that {name}."
            )


def check_predicts_likeliest(network: Any, base: type, *names: str) -> None:
    """Refuse a classifier whose class decides in a way of its own, beside the probabilities."""
    if overrides(network, base, *names):
        raise UnsupportedNetworkError(
            f"its class has a {names[0]} of its own, but the classes of a Population are the "
            f"likeliest ones. Pass a {base.__name__}, and apply rules such as a threshold to the "
            "probabilities."
        )


def overrides(network: Any, base: type, *names: str) -> bool:
    """Whether a network does not compute with one of the methods of ``base``."""
    return any(
        name in vars(network)
        or getattr_static(type(network), name) is not getattr_static(base, name)
        for name in names
    )


def read_tensor(values: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a copy on the CPU, detached from the source."""
    return values.detach().to("cpu", dtype).clone()


def moved(source: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Return ``source`` changed by ``new - old``, in the dtype and place of ``source``.

    The difference is taken in float64; where it is zero the source stays bit by bit,
    the sign of a zero included. What became zero is written as zero: the difference would
    leave what float32 rounded off, and a pruned weight would still count.
    """
    source = source.detach()
    old, new = (value.detach().cpu().double() for value in (old, new))
    delta, gone = (value.to(source.device) for value in (new - old, new == 0))
    changed = (source.double() + delta).to(source.dtype).masked_fill(gone, 0.0)
    return torch.where(delta == 0, source, changed)


def split_logistic(value: Tensor) -> Tensor:
    """Return the rows of two logits ``(-w/2, +w/2)`` for one logistic unit ``w``."""
    return torch.cat([-value / 2, value / 2])


def join_logistic(value: Tensor) -> Tensor:
    """Return the logistic unit of two logits, their difference in float64."""
    value = value.double()
    return value[1:] - value[:1]


def check_absent(names: Sequence[dict[str, str]], old: Record, new: Record) -> None:
    """Refuse an edit of parameters that the network does not have."""
    for field in ("bias", "scale", "shift", "mean", "var"):
        for index, present in enumerate(names):
            before, after = (record.tensors[field][index] for record in (old, new))
            if field not in present and not torch.equal(before, after):
                raise ValueError(
                    f"The edit changes the {field} of layer {index + 1}, which the network does "
                    "not have. Multiply edits by Stack.trainable()."
                )
