"""Gradients of all weights of a stack from one recorded forward pass.

The gradient of a linear layer on a batch is ``delta.T @ h``, with ``h`` the layer's inputs
and ``delta`` the gradient at its outputs. Keeping the two factors costs O(neurons) per row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skmeta.population import Parameters, Stack
from skmeta.population.forward import Tape, forward


class Recording(Tape):
    """A forward pass that keeps the states and makes outputs of linear layers differentiable.

    Attributes
    ----------
    states : list of Tensor
        State ``l`` is ``(n, n_samples, width)``; state 0 is the input.
    preactivations : list of Tensor
        Outputs of the linear layers.
    logits : Tensor of shape (n, n_samples, n_outputs)
        Outputs of the networks.
    """

    def __init__(self, stack: Stack, X: Tensor) -> None:
        self.stack = stack
        self.states: list[Tensor] = []
        self.preactivations: list[Tensor] = []
        # Only scales and shifts need to be leaves: weights and biases follow from the factors.
        self.scales = [t.detach().requires_grad_() for t in stack.params.scale]
        self.shifts = [t.detach().requires_grad_() for t in stack.params.shift]
        params = stack.params.map(lambda t: t.detach())
        params = params._replace(scale=tuple(self.scales), shift=tuple(self.shifts))
        with torch.enable_grad():
            self.logits = forward(stack, X, params, tape=self)

    def preactivation(self, index: int, z: Tensor) -> Tensor:
        """Keep the output of a linear layer as a point to differentiate at."""
        z = z if z.requires_grad else z.detach().requires_grad_()
        self.preactivations.append(z)
        return z

    def state(self, index: int, h: Tensor) -> Tensor:
        """Keep a state."""
        self.states.append(h.detach())
        return h

    def gradient(self, values: Tensor) -> tuple[Parameters, list[Tensor]]:
        """Differentiate one value per network with respect to its own weights.

        Parameters
        ----------
        values : Tensor of shape (n,)
            Computed from :attr:`logits`; the graph is kept.

        Returns
        -------
        gradient : Parameters
            In the shapes of the stack's parameters, zero where it has none.
        deltas : list of Tensor
            Gradients at the outputs of the linear layers, ``(n, n_samples, width)``.
        """
        leaves = [*self.preactivations, *self.scales, *self.shifts]
        found = torch.autograd.grad(
            values,
            leaves,
            torch.ones_like(values),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        depth = self.stack.depth
        deltas, scale, shift = found[:depth], found[depth : 2 * depth], found[2 * depth :]
        weight = tuple(
            torch.bmm(d.transpose(1, 2), h) for d, h in zip(deltas, self.states, strict=False)
        )
        bias = tuple(d.sum(1) for d in deltas)
        gradient = Parameters(weight, bias, tuple(scale), tuple(shift))
        return gradient.map(torch.mul, self.stack.trainable()), list(deltas)

    def deltas(self, cotangent: Tensor) -> list[Tensor]:
        """Pull a gradient at the logits back to the outputs of the linear layers.

        Parameters
        ----------
        cotangent : Tensor of shape (n, n_samples, n_outputs)
            Gradient at the logits, row by row.
        """
        return list(
            torch.autograd.grad(self.logits, self.preactivations, cotangent, retain_graph=True)
        )
