"""All neurons of a stack side by side: :class:`Neurons`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skmeta.population import Stack


@dataclass(frozen=True, eq=False)
class Neurons:
    """Tensors ``(n, all neurons, c)`` from the inputs to the outputs, one operation for all states.

    Attributes
    ----------
    widths : tuple of int
        Padded sizes of the states.
    state : Tensor of shape (all neurons,)
        Number of each neuron's state.
    counts : Tensor of shape (n, n_states)
        True sizes of the states.
    mask : Tensor of shape (n, all neurons, 1), optional
        Zeros at padding; None if there is none.
    shares : Tensor of shape (n, n_states, all neurons)
        What each neuron weighs in the mean of its state.
    """

    widths: tuple[int, ...]
    state: Tensor
    counts: Tensor
    mask: Tensor | None
    shares: Tensor

    @classmethod
    def of(cls, stack: Stack) -> Neurons:
        """Return the neurons of a stack."""
        key = ("neurons", stack.device, stack.dtype)
        if key not in stack._cache:
            states = range(stack.depth + 1)
            present = torch.cat([stack.true_neurons(i) for i in states], 1)
            # A list of all neurons would take memory where, on the meta device, there are none.
            number = torch.arange(len(stack.widths), device=stack.device)
            sizes = torch.tensor(stack.widths, device=stack.device)
            state = number.repeat_interleave(sizes, output_size=sum(stack.widths))
            members = state == number[:, None]
            shares = members * present[:, None]
            counts = shares.sum(2)
            padded = any(stack.state_mask(i) is not None for i in states)
            mask = present[..., None] if padded else None
            shares = shares / counts[..., None]
            stack._cache[key] = cls(stack.widths, state, counts, mask, shares)
        return stack._cache[key]

    def hide(self, values: Tensor) -> Tensor:
        """Zero the padding of ``(n, all neurons, c)``."""
        return values if self.mask is None else values * self.mask

    def means(self, values: Tensor) -> Tensor:
        """Mean over the true neurons of each state, ``(n, n_states, c)``."""
        return self.shares @ values

    def spread(self, values: Tensor) -> Tensor:
        """Give each neuron what belongs to its state, ``(n, n_states, ...)``."""
        return values.index_select(1, self.state)

    def spread_layers(self, values: Tensor) -> Tensor:
        """Give each neuron behind the inputs what belongs to its layer, ``(n, n_layers, ...)``."""
        return values.index_select(1, self.state[self.widths[0] :] - 1)

    def split(self, values: Tensor) -> Sequence[Tensor]:
        """Cut into one tensor ``(n, width, c)`` per state."""
        return values.split(self.widths, 1)

    def edge_mask(self, index: int) -> Tensor | None:
        """Ones at the true weights ``(n, out, in)`` of a layer; None if nothing is padded."""
        if self.mask is None:
            return None
        masks = self.mask[..., 0].split(self.widths, 1)
        return masks[index + 1][:, :, None] * masks[index][:, None]
