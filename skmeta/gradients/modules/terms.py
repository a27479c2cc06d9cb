"""Gradients of the parameters of a live module, sample by sample, kept as small as they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skmeta.population.mapping import at_once

_REACH = 8.0
"""Of normalised states: they are rarely larger."""


class Target(NamedTuple):
    """The part of a parameter that a gradient belongs to.

    Attributes
    ----------
    name : str
        Of the parameter.
    shape : tuple of int
        Of the whole parameter.
    start, size : int
        Rows of it, along its first axis.
    transposed : bool
        Whether rows were multiplied by its transpose, as usual.
    seen : tuple of int, optional
        Shape of what was used, if the parameter was first cut, reshaped or looked up in.
    path : tuple of callable
        They take a gradient of that shape to one of the parameter, one after another.
    """

    name: str
    shape: tuple[int, ...]
    start: int
    size: int
    transposed: bool
    seen: tuple[int, ...] | None = None
    path: tuple[Callable[[Tensor], Tensor], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is all of the parameter."""
        return not self.shape or self.size == self.shape[0]


@dataclass
class Term(ABC):
    """What one place in a module adds to the gradient of a parameter.

    Attributes
    ----------
    target : Target
        Which parameter.
    """

    target: Target

    @property
    def reach(self) -> float:
        """How large what a gradient is multiplied with may be."""
        return _REACH

    @abstractmethod
    def per_sample(self, samples: slice) -> Tensor:
        """Return gradients of some samples, ``(n, *shape of the target)``."""

    @abstractmethod
    def total(self) -> Tensor:
        """Return the sum over all samples."""


@dataclass
class Outer(Term):
    """Of a matrix: products of inputs and of gradients at outputs, summed over positions.

    Attributes
    ----------
    h : Tensor of shape (n_samples, n_positions, n_inputs)
        What was multiplied.
    delta : Tensor of shape (n_samples, n_positions, n_outputs)
        Gradient at the products.
    """

    h: Tensor
    delta: Tensor

    @property
    def reach(self) -> float:
        """The largest input."""
        return float(self.h.abs().max())

    def _oriented(self) -> tuple[Tensor, Tensor]:
        """What the second and the first axis of the parameter belong to."""
        return (self.h, self.delta) if self.target.transposed else (self.delta, self.h)

    def per_sample(self, samples: slice) -> Tensor:
        """Return gradients of some samples."""
        right, left = self._oriented()
        return left[samples].transpose(1, 2) @ right[samples]

    def total(self) -> Tensor:
        """Return the sum over all samples."""
        right, left = self._oriented()
        return left.flatten(0, 1).T @ right.flatten(0, 1)

    def squares(self) -> Tensor:
        """Return squared gradients of single samples, summed, without positions to add up."""
        right, left = self._oriented()
        return exact(left[:, 0]).square().T @ exact(right[:, 0]).square()


@dataclass
class Direct(Term):
    """Of a bias, a scale, a shift: numbers that are there for each sample.

    Attributes
    ----------
    gradient : Tensor of shape (n_samples, *shape)
        Of each sample.
    """

    gradient: Tensor

    def per_sample(self, samples: slice) -> Tensor:
        """Return gradients of some samples."""
        return self.gradient[samples]

    def total(self) -> Tensor:
        """Return the sum over all samples."""
        return self.gradient.sum(0)


@dataclass
class Passed(Term):
    """Of what was cut out of a parameter, reshaped or looked up, the same for all samples.

    Attributes
    ----------
    gradient : Tensor of shape (n_samples, *shape)
        Of each sample, for what was used.
    """

    gradient: Tensor

    def _through(self, gradient: Tensor) -> Tensor:
        with torch.no_grad():
            for step in self.target.path:
                gradient = step(gradient)
        return gradient

    def per_sample(self, samples: slice) -> Tensor:
        """Return gradients of some samples."""
        return torch.stack([self._through(one) for one in self.gradient[samples]])

    def total(self) -> Tensor:
        """Return the sum over all samples."""
        return self._through(self.gradient.sum(0))


@dataclass
class Lookup(Term):
    """Of an embedding: rows of the table that a sample has used.

    Attributes
    ----------
    index : Tensor of int of shape (n_samples, n_positions)
        Which rows.
    delta : Tensor of shape (n_samples, n_positions, width)
        Gradient at them.
    """

    index: Tensor
    delta: Tensor

    def per_sample(self, samples: slice) -> Tensor:
        """Return gradients of some samples."""
        index, delta = self.index[samples], self.delta[samples]
        table = delta.new_zeros(len(delta), self.target.size, delta.shape[2])
        return table.scatter_add_(1, index[..., None].expand_as(delta), delta)

    def total(self) -> Tensor:
        """Return the sum over all samples."""
        table = self.delta.new_zeros(self.target.size, self.delta.shape[2])
        return table.index_add_(0, self.index.flatten(), self.delta.flatten(0, 1))

    def squares(self) -> Tensor:
        """Return squared gradients of single samples, summed: equal rows of a sample add up."""
        n, size = len(self.index), self.target.size
        keys = (self.index + size * torch.arange(n, device=self.index.device)[:, None]).flatten()
        used, place = keys.unique(return_inverse=True)
        sums = self.delta.new_zeros(len(used), self.delta.shape[2])
        sums.index_add_(0, place, self.delta.flatten(0, 1))
        table = exact(self.delta.new_zeros(size, self.delta.shape[2]))
        return table.index_add_(0, used % size, exact(sums).square())


@dataclass
class Convolved(Term):
    """Of a convolution of any number of axes and groups.

    Attributes
    ----------
    x : Tensor of shape (n_samples, n_images, channels, ...)
        Images that entered.
    delta : Tensor of shape (n_samples, n_images, width, ...)
        Gradient at the outputs.
    options : dict
        Of ``torch.nn.functional.conv2d`` and its like.
    """

    x: Tensor
    delta: Tensor
    options: dict[str, Any]

    @property
    def reach(self) -> float:
        """The largest input."""
        return float(self.x.abs().max())

    def _weight_gradient(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return gradients of images ``(n, ...)``, each as a group of channels of one image."""
        n, (width, fan_in, *kernel) = len(x), self.target.shape
        n_axes = len(kernel)
        weight = x.new_empty(n * width, fan_in, *kernel)
        _, gradient, _ = torch.ops.aten.convolution_backward(
            delta.reshape(1, -1, *delta.shape[2:]),
            x.reshape(1, -1, *x.shape[2:]),
            weight,
            None,
            self.options["stride"],
            self.options["padding"],
            self.options["dilation"],
            False,
            [0] * n_axes,
            n * self.options["groups"],
            [False, True, False],
        )
        return gradient.unflatten(0, (n, width))

    def per_sample(self, samples: slice) -> Tensor:
        """Return gradients of some samples."""
        x, delta = self.x[samples], self.delta[samples]
        n, n_images = x.shape[:2]
        gradients = self._weight_gradient(x.flatten(0, 1), delta.flatten(0, 1))
        return gradients.unflatten(0, (n, n_images)).sum(1)

    def total(self) -> Tensor:
        """Return the sum over all samples."""
        n_axes = len(self.target.shape) - 2
        _, gradient, _ = torch.ops.aten.convolution_backward(
            self.delta.flatten(0, 1),
            self.x.flatten(0, 1),
            self.x.new_empty(self.target.shape),
            None,
            self.options["stride"],
            self.options["padding"],
            self.options["dilation"],
            False,
            [0] * n_axes,
            self.options["groups"],
            [False, True, False],
        )
        return gradient

    @property
    def outer(self) -> Outer | None:
        """Patches as inputs of a matrix; None for groups and for more than two axes."""
        width, fan_in, *kernel = self.target.shape
        if self.options["groups"] != 1 or len(kernel) > 2:
            return None
        x, delta = self.x.flatten(0, 1), self.delta.flatten(0, 1)
        stride, padding, dilation = (tuple(self.options[name]) for name in SIZES)
        if len(kernel) == 1:  # an image of one line
            x, kernel, padding = x[:, :, None], [1, *kernel], (0, *padding)
            stride, dilation = (1, *stride), (1, *dilation)
        patches = torch.nn.functional.unfold(
            x, tuple(kernel), stride=stride, padding=padding, dilation=dilation
        )
        n, n_images = self.x.shape[:2]
        h = patches.transpose(1, 2).reshape(n, -1, patches.shape[1])
        flat = self.target._replace(shape=(width, fan_in * torch.Size(kernel).numel()))
        return Outer(flat, h, delta.flatten(2).transpose(1, 2).reshape(n, -1, width))


SIZES = ("stride", "padding", "dilation")


def exact(values: Tensor) -> Tensor:
    """Return numbers whose squares neither overflow nor vanish."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def per_sample(terms: Sequence[Term], samples: slice, n: int) -> Tensor:
    """Add up what places of a parameter give, sample by sample.

    Parameters
    ----------
    terms : sequence of Term
        Of one parameter.
    samples : slice
        Which samples.
    n : int
        How many these are.

    Returns
    -------
    Tensor of shape (n, *shape)
    """
    if len(terms) == 1 and terms[0].target.whole:
        return terms[0].per_sample(samples)
    found: Tensor | None = None
    for term in terms:
        value = term.per_sample(samples)
        found = value.new_zeros(n, *term.target.shape) if found is None else found
        found[:, term.target.start : term.target.start + term.target.size] += value
    assert found is not None
    return found


def total(terms: Sequence[Term]) -> Tensor:
    """Add up what places of a parameter give, over all samples, ``shape``."""
    if len(terms) == 1 and terms[0].target.whole:
        return terms[0].total()
    found: Tensor | None = None
    for term in terms:
        value = term.total()
        found = value.new_zeros(term.target.shape) if found is None else found
        found[term.target.start : term.target.start + term.target.size] += value
    assert found is not None
    return found


def squares(terms: Sequence[Term], n_samples: int) -> Tensor:
    """Square the gradients of single samples, and add these up, ``shape``.

    Parameters
    ----------
    terms : sequence of Term
        Of one parameter.
    n_samples : int
        Size of the batch.
    """
    only = terms[0]
    if len(terms) == 1 and only.target.whole:
        if isinstance(only, Lookup) or (isinstance(only, Outer) and only.h.shape[1] == 1):
            return only.squares()
    count = torch.Size(only.target.shape).numel()
    step, found = at_once(2 * count), None
    for start in range(0, n_samples, step):
        part = slice(start, min(start + step, n_samples))
        value = exact(per_sample(terms, part, part.stop - start)).square().sum(0)
        found = value if found is None else found + value
    assert found is not None
    return found
