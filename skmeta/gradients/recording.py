"""A forward pass that any gradient at the outputs can be pulled back through: :class:`Recording`.

Factors are linear in the gradient at the outputs: with two classes, one backward pass serves
every objective.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from skmeta.gradients.factors import Factors
from skmeta.gradients.program import Program
from skmeta.population import Stack


class Recording:
    """A forward pass of a stack on some rows.

    Parameters
    ----------
    stack : Stack
        The networks.
    X : Tensor of shape (n_samples, n_inputs)
        Rows.

    Attributes
    ----------
    states : list of Tensor
        State ``l`` is ``(n, n_samples, width)``; state 0 is the input, the last the outputs.
    logits : Tensor of shape (n, n_samples, n_classes)
        Outputs of the networks.

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
    >>> recording.pull_back(error).gradient()["0.weight"].shape
    torch.Size([5, 8, 3])
    """

    def __init__(self, stack: Stack, X: Tensor) -> None:
        self.stack, self._program = stack, Program(stack)
        self.logits, self._trace = self._program.forward(X)
        self.states = [*self._trace.states, self.logits]

    @property
    def _first(self) -> int:
        """Logits count by their differences only, values one by one."""
        return int(all(a.output == "logits" for a in self.stack.architectures))

    @cached_property
    def _jacobians(self) -> list[Factors]:
        """Factors of each output; of logits, of ``logit_k - logit_0`` for k > 0."""
        found = []
        for k in range(self._first, self.logits.shape[-1]):
            cotangent = torch.zeros_like(self.logits)
            cotangent[..., 0] = -float(self._first)
            cotangent[..., k] = 1.0
            found.append(self._program.backward(self._trace, cotangent))
        return found

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
        few.logits = self.logits[:, ::every]
        n_rows = self.logits.shape[1]
        few.states = [h.unflatten(1, (n_rows, -1))[:, ::every].flatten(1, 2) for h in self.states]
        few._jacobians = [factors.thinned(every) for factors in self._jacobians]
        return few

    def pull_back(self, cotangent: Tensor) -> Factors:
        """Return the gradients of all weights, as factors.

        Parameters
        ----------
        cotangent : Tensor of shape (n, n_samples, n_classes)
            Gradient at the outputs. At logits it must sum to zero over the classes, as that of
            any function of the probabilities does.

        Returns
        -------
        Factors
            Of each row.
        """
        return Factors.combined(self._jacobians, cotangent.unbind(-1)[self._first :])
