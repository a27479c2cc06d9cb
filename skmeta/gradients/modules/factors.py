"""Gradients of each sample of a live module, as factors: :class:`ModuleFactors`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skmeta.gradients.modules.terms import Convolved, Outer, Term, exact, per_sample, squares, total


class ModuleFactors:
    """The gradient of each sample's loss with respect to the parameters of a module.

    Parameters
    ----------
    terms : mapping of str to list of Term
        By parameter; those without any have no gradient.
    parameters : mapping of str to Parameter
        All that count.
    n_samples : int
        Size of the batch.

    Attributes
    ----------
    names : tuple of str
        Of the parameters, in the order of the module.
    """

    def __init__(
        self,
        terms: Mapping[str, list[Term]],
        parameters: Mapping[str, nn.Parameter],
        n_samples: int,
    ) -> None:
        self.terms, self.n_samples = terms, n_samples
        self.names = tuple(parameters)
        self._like = {name: p.detach() for name, p in parameters.items()}

    def per_sample(self) -> dict[str, Tensor]:
        """Return the gradient of each sample's loss.

        Returns
        -------
        dict of str to Tensor
            Of shape ``(n_samples, *shape)``.
        """
        everything, n = slice(0, self.n_samples), self.n_samples
        return {
            name: per_sample(self.terms[name], everything, n)
            if name in self.terms
            else like.new_zeros(n, *like.shape)
            for name, like in self._like.items()
        }

    def mean(self) -> dict[str, Tensor]:
        """Return the mean of the samples' gradients.

        Returns
        -------
        dict of str to Tensor
            Of the shapes of the parameters; what ``backward`` adds to ``grad``, if the loss is a
            mean.
        """
        return {
            name: total(self.terms[name]) / self.n_samples
            if name in self.terms
            else torch.zeros_like(like)
            for name, like in self._like.items()
        }

    def fisher_diagonal(self) -> dict[str, Tensor]:
        """Return squared gradients of single samples, summed over the samples.

        Returns
        -------
        dict of str to Tensor
            Of the shapes of the parameters. Divided by ``n_samples`` it is the diagonal of the
            empirical Fisher information.
        """
        return {
            name: squares(self.terms[name], self.n_samples)
            if name in self.terms
            else torch.zeros_like(like)
            for name, like in self._like.items()
        }

    def kfac(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return Kronecker factors of the Fisher information of matrices and convolutions.

        Returns
        -------
        dict of str to (Tensor, Tensor)
            By the name of the weight: second moments of what enters, ``(fan_in, fan_in)``, and of
            the gradients at what leaves, ``(width, width)``, summed over samples and positions.
            Weights that are used several times, in groups, or by lookup have none.
        """
        pairs = {}
        for name, terms in self.terms.items():
            one: Term | None = terms[0] if len(terms) == 1 else None
            one = one.outer if isinstance(one, Convolved) else one
            if isinstance(one, Outer) and one.target.whole:
                h, delta = exact(one.h.flatten(0, 1)), exact(one.delta.flatten(0, 1))
                pairs[name] = h.T @ h, delta.T @ delta
        return pairs

    @property
    def n_numbers(self) -> int:
        """How many numbers are kept: states and gradients of neurons, not of weights."""
        kept = {
            value.data_ptr(): value.numel()
            for terms in self.terms.values()
            for term in terms
            for value in vars(term).values()
            if isinstance(value, Tensor)
        }
        return sum(kept.values())
