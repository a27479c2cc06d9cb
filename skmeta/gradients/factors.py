"""Gradients of all weights of a stack from one recorded forward and one backward pass.

The gradient of a linear layer on a batch is ``delta.T @ h``, with ``h`` the layer's inputs
and ``delta`` the gradient at its outputs. Keeping the two factors costs O(neurons) per row,
and deltas are linear in the gradient at the logits: with two classes, one backward pass
serves every objective.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from skmeta.population import Stack
from skmeta.population.direction import Direction
from skmeta.population.forward import Tape, forward
from skmeta.population.running import check_no_images


class Recording(Tape):
    """A forward pass that keeps its states and can be pulled back from the logits.

    Parameters
    ----------
    stack : Stack
        Networks without convolutions.
    X : Tensor of shape (n_samples, n_inputs)
        Rows.

    Attributes
    ----------
    states : list of Tensor
        State ``l`` is ``(n, n_samples, width)``; state 0 is the input.
    preactivations : list of Tensor
        Outputs of the linear layers.
    logits : Tensor of shape (n, n_samples, n_classes)
        Outputs of the networks, detached.

    Examples
    --------
    >>> import torch
    >>> from skmeta.gradients import Recording
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> population = Population.initialize(Architecture.mlp((3, 8, 2)), 5, random_state=0)
    >>> ((_, stack),) = population.blocks
    >>> recording = Recording(stack, torch.ones(10, 3))
    >>> error = recording.logits.softmax(-1) - torch.tensor([1.0, 0.0])
    >>> recording.gradient(recording.pull_back(error)).weight[0].shape
    torch.Size([5, 8, 3])
    """

    def __init__(self, stack: Stack, X: Tensor) -> None:
        check_no_images(stack.architectures, "Recording")
        self.stack = stack
        self.states: list[Tensor] = []
        self.preactivations: list[Tensor] = []
        with torch.enable_grad():
            self._outputs = forward(stack, X, stack.params.map(torch.detach), tape=self)
        self.logits = self._outputs.detach()

    def preactivation(self, index: int, z: Tensor) -> Tensor:
        """Keep the output of a linear layer as a point to differentiate at."""
        z = z if z.requires_grad else z.detach().requires_grad_()
        self.preactivations.append(z)
        return z

    def state(self, index: int, h: Tensor) -> Tensor:
        """Keep a state."""
        self.states.append(h.detach())
        return h

    def thinned(self, every: int) -> Recording:
        """Return the recording of every k-th row.

        Parameters
        ----------
        every : int
            That k; 1 returns this very recording.

        Returns
        -------
        Recording
            Of rows 0, k, 2 k and so on.
        """
        if every == 1:
            return self
        few = copy(self)
        few.states = [h[:, ::every] for h in self.states]
        few.logits = self.logits[:, ::every]
        few._jacobians = [[delta[:, ::every] for delta in deltas] for deltas in self._jacobians]
        return few

    @property
    def _first(self) -> int:
        """Logits count by their differences only, values one by one."""
        return int(all(a.output == "logits" for a in self.stack.architectures))

    @cached_property
    def _jacobians(self) -> list[list[Tensor]]:
        """Deltas of each output, layer by layer; of logits, of ``logit_k - logit_0`` for k > 0."""
        found = []
        for k in range(self._first, self.logits.shape[-1]):
            cotangent = torch.zeros_like(self.logits)
            cotangent[..., 0] = -float(self._first)
            cotangent[..., k] = 1.0
            found.append(
                list(
                    torch.autograd.grad(
                        self._outputs, self.preactivations, cotangent, retain_graph=True
                    )
                )
            )
        return found

    def pull_back(self, cotangent: Tensor) -> list[Tensor]:
        """Return the gradients at the outputs of the linear layers, row by row.

        Parameters
        ----------
        cotangent : Tensor of shape (n, n_samples, n_classes)
            Gradient at the outputs. At logits it must sum to zero over the classes, as that of
            any function of the probabilities does.

        Returns
        -------
        list of Tensor
            ``(n, n_samples, width)`` per layer.
        """
        parts = [
            [delta * cotangent[..., k, None] for delta in deltas]
            for k, deltas in enumerate(self._jacobians, start=self._first)
        ]
        return parts[0] if len(parts) == 1 else [sum(p[1:], p[0]) for p in zip(*parts, strict=True)]

    def gradient(self, deltas: list[Tensor]) -> Direction:
        """Return the gradient with respect to weights and biases.

        Parameters
        ----------
        deltas : list of Tensor
            From :meth:`pull_back`.

        Returns
        -------
        Direction
            Summed over the rows.
        """
        weight = (
            torch.bmm(d.transpose(1, 2), h) for d, h in zip(deltas, self.states, strict=False)
        )
        # At padding both factors are zero; only absent biases need a mask.
        present = self.stack.trainable().bias
        bias = (d.sum(1) * mask for d, mask in zip(deltas, present, strict=True))
        return Direction(tuple(weight), tuple(bias))
