"""What operations have in common: :class:`Op`, :class:`Mix`, :class:`TailOp`, :class:`RunOp`.

An operation works on the states of all networks of a stack that share it, ``(n, rows, width)``:
of images, positions are rows as well, those of one image side by side, and ``width`` are the
channels. It never sees a single network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from skmeta.networks.slots import Slot

Size = tuple[int, int] | None
"""Height and width of images; None of rows of numbers."""

Affine = Callable[[Tensor, Tensor], None]
"""Told what a scale multiplies and the gradient behind it, both ``(n, rows, width)``."""

Values = Mapping[str, Tensor]
"""The tensors of an operation by field, ``(n, width)``; what no network has is missing."""


class Run(NamedTuple):
    """Networks that share an operation, and what is to be done.

    Attributes
    ----------
    mask : Tensor of shape (n, width) or None
        Ones at true neurons; None if there is no padding.
    size : (int, int) or None
        Height and width of the images in front of the operation.
    train : bool
        Whether to use the statistics of the batch.
    keep : bool
        Whether a backward pass by hand will follow.
    in_place : bool
        Whether the states may be overwritten.
    """

    mask: Tensor | None
    size: Size
    train: bool = False
    keep: bool = False
    in_place: bool = False


class Op(ABC):
    """An operation without its numbers; all of it is in the fields of a frozen dataclass."""

    def output_size(self, size: Size) -> Size:
        """Return the size of the images that leave.

        Parameters
        ----------
        size : (int, int) or None
            Height and width of the images that enter.

        Returns
        -------
        (int, int) or None
            Height and width; None of rows of numbers.
        """
        return size

    @abstractmethod
    def commutes(self, group: str) -> bool:
        """Say whether factors of neurons may pass.

        Parameters
        ----------
        group : {"scale", "sign"}
            Positive factors, or signs.

        Returns
        -------
        bool
            True if the operation of scaled states is the scaled operation.
        """


class Mix(Op):
    """The first operation of a stage: the only one that mixes neurons."""

    width: int
    bias: bool

    @abstractmethod
    def slots(self, stage: int, width_in: int) -> tuple[Slot, ...]:
        """Return the weight, and the bias if there is one.

        Parameters
        ----------
        stage : int
            Number of the stage.
        width_in : int
            Neurons of the state that enters.
        """

    @abstractmethod
    def forward(self, h: Tensor, weight: Tensor, bias: Tensor | None, size: Size) -> Tensor:
        """Mix neurons, differentiably.

        Parameters
        ----------
        h : Tensor of shape (n, rows, width_in)
            States that enter.
        weight : Tensor of shape (n, width, ...)
            Weights.
        bias : Tensor of shape (n, width) or None
            Biases.
        size : (int, int) or None
            Height and width of the images that enter.

        Returns
        -------
        Tensor of shape (n, rows, width)
            States; of images, the rows of another size.
        """

    @abstractmethod
    def gradient(self, h: Tensor, g: Tensor, size: Size) -> Tensor:
        """Return the gradient of the weight, summed over rows.

        Parameters
        ----------
        h : Tensor of shape (n, rows, width_in)
            States that entered.
        g : Tensor of shape (n, rows, width)
            Gradient of what left.
        size : (int, int) or None
            Height and width of the images that enter.

        Returns
        -------
        Tensor of shape (n, width, ...)
            As the weight.
        """

    @abstractmethod
    def pull(self, g: Tensor, weight: Tensor, size: Size, into: Tensor | None) -> Tensor:
        """Return the gradient of the states that entered.

        Parameters
        ----------
        g : Tensor of shape (n, rows, width)
            Gradient of what left.
        weight : Tensor of shape (n, width, ...)
            Weights.
        size : (int, int) or None
            Height and width of the images that enter.
        into : Tensor of shape (n, rows, width_in) or None
            What it is added to, in place.

        Returns
        -------
        Tensor of shape (n, rows, width_in)
            The gradient, or the sum.
        """

    @abstractmethod
    def inputs(self, h: Tensor, size: Size) -> Tensor:
        """Return what each output is linear in.

        Parameters
        ----------
        h : Tensor of shape (n, rows, width_in)
            States that enter.
        size : (int, int) or None
            Height and width of the images that enter.

        Returns
        -------
        Tensor of shape (n, rows, fan_in)
            One vector for each row of outputs: of images, the patches.
        """

    @abstractmethod
    def as_weight(self, matrix: Tensor) -> Tensor:
        """Return maps of :meth:`inputs` in the shape of weights.

        Parameters
        ----------
        matrix : Tensor of shape (..., width, fan_in)
            Linear maps.

        Returns
        -------
        Tensor of shape (..., width, width_in, ...)
            The same numbers, as a weight has them.
        """

    @abstractmethod
    def module(self, width_in: int) -> nn.Module:
        """Return the module of torch.

        Parameters
        ----------
        width_in : int
            Neurons of the state that enters.

        Returns
        -------
        Module
            With parameters ``weight`` and ``bias``.
        """

    def commutes(self, group: str) -> bool:
        """Say yes: the weight and the bias can take up factors."""
        return True


class TailOp(Op):
    """An operation behind the mix of a stage: it leaves neurons apart."""

    fields: ClassVar[Mapping[str, float]] = {}
    """Fields of its tensors ``(width,)`` and their neutral values."""

    def has(self, name: str) -> bool:
        """Say whether it has a field.

        Parameters
        ----------
        name : str
            One of ``fields``.

        Returns
        -------
        bool
            Whether there is such a tensor.
        """
        return True

    def trains(self, name: str) -> bool:
        """Say whether gradients reach a field.

        Parameters
        ----------
        name : str
            One of ``fields``.

        Returns
        -------
        bool
            False of running statistics.
        """
        return True

    @abstractmethod
    def module(self, width: int, size: Size) -> nn.Module | None:
        """Return the module of torch.

        Parameters
        ----------
        width : int
            Neurons of the state.
        size : (int, int) or None
            Height and width of the images that enter.

        Returns
        -------
        Module or None
            None if it takes more than one state.
        """


class RunOp(TailOp):
    """An operation that is applied at once for all networks that share it."""

    @abstractmethod
    def apply(self, x: Tensor, values: Values, run: Run) -> tuple[Tensor, Any]:
        """Compute.

        Parameters
        ----------
        x : Tensor of shape (n, rows, width)
            States.
        values : mapping of str to Tensor
            The operation's own tensors.
        run : Run
            What is to be done; without ``keep`` it is differentiable.

        Returns
        -------
        y : Tensor of shape (n, rows, width)
            New states; perhaps in the memory of the old ones.
        saved : object
            What :meth:`pull` needs, with ``keep``.
        """

    @abstractmethod
    def pull(self, g: Tensor, saved: Any, values: Values, run: Run, affine: Affine) -> Tensor:
        """Return the gradient in front.

        Parameters
        ----------
        g : Tensor of shape (n, rows, width)
            Gradient of what left; it may be overwritten.
        saved : object
            What :meth:`apply` kept.
        values : mapping of str to Tensor
            The operation's own tensors.
        run : Run
            As :meth:`apply` had it.
        affine : callable
            Called with what a scale multiplied and the gradient behind it, by operations that
            have a scale and a shift.

        Returns
        -------
        Tensor of shape (n, rows, width)
            Gradient of what entered.
        """

    overwritable: ClassVar[bool] = False
    """Whether what :meth:`apply` returns is not looked at by :meth:`pull`."""


class AutogradOp(RunOp):
    """An operation whose gradient is left to autograd."""

    overwritable: ClassVar[bool] = True

    @abstractmethod
    def compute(self, x: Tensor, values: Values, run: Run) -> Tensor:
        """Compute, differentiably and in new memory.

        Parameters
        ----------
        x : Tensor of shape (n, rows, width)
            States.
        values : mapping of str to Tensor
            The operation's own tensors.
        run : Run
            What is to be done.

        Returns
        -------
        Tensor of shape (n, rows, width)
            New states.
        """

    def apply(self, x: Tensor, values: Values, run: Run) -> tuple[Tensor, Any]:
        """Compute; keep the graph of this operation alone."""
        if not run.keep:
            return self.compute(x, values, run), None
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self.compute(x, values, run)
        return y.detach(), (x, y)

    def pull(self, g: Tensor, saved: Any, values: Values, run: Run, affine: Affine) -> Tensor:
        """Differentiate."""
        x, y = saved
        return torch.autograd.grad(y, x, g, retain_graph=True)[0]
