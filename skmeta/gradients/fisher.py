"""What each row adds to the Fisher information of many networks: :class:`FisherSamples`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skmeta.gradients.factors import Factors
from skmeta.gradients.natural import fisher_vectors
from skmeta.gradients.program import Program
from skmeta.population import Stack, Weights
from skmeta.population.mapping import at_once


@dataclass(frozen=True, eq=False)
class FisherSamples:
    """Gradients of the outputs of a stack on a few rows, from which curvature is estimated.

    The Fisher information of a network on one row is a sum of outer products of gradients: of the
    outputs if these are values (with errors of variance 1), of ``sqrt(p_k) log p_k`` if they are
    logits (see :func:`fisher_vectors`). Its diagonal, averaged over rows, says how much the
    predictions depend on each weight.

    Attributes
    ----------
    stack : Stack
        The networks.
    factors : list of Factors
        Of the gradients, one for each vector at the outputs.
    n_samples : int
        Number of rows.

    Examples
    --------
    >>> import torch
    >>> from skmeta.gradients import FisherSamples
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 5, random_state=0)
    >>> [(_, stack)] = networks.blocks
    >>> samples = FisherSamples.of(stack, torch.randn(32, 3, generator=torch.Generator()))
    >>> samples.diagonal()["0.weight"].shape
    torch.Size([5, 8, 3])
    """

    stack: Stack
    factors: list[Factors]
    n_samples: int

    @classmethod
    def of(cls, stack: Stack, X: Tensor) -> FisherSamples:
        """Run networks on rows, and go back.

        Parameters
        ----------
        stack : Stack
            The networks; their outputs are all logits or all values.
        X : Tensor of shape (n_samples, n_inputs) or (n, n_samples, n_inputs)
            Rows, the same for all networks or of each.

        Returns
        -------
        FisherSamples
        """
        kinds = {a.output for a in stack.architectures}
        if not kinds <= {"logits", "values"} or len(kinds) > 1:
            raise ValueError(
                "The Fisher information is known of networks whose outputs are all logits, or all "
                f"values. Got {sorted(kinds)}."
            )
        program = Program(stack)
        outputs, trace = program.forward(X)
        if kinds == {"logits"}:
            vectors = fisher_vectors(outputs)
        else:
            eye = torch.eye(outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)
            vectors = [eye[k].expand_as(outputs) for k in range(outputs.shape[-1])]
        factors = [program.backward(trace, vector) for vector in vectors]
        return cls(stack, factors, outputs.shape[1])

    def diagonal(self, weights: Tensor | None = None) -> Weights:
        """Return the diagonal of the Fisher information.

        Parameters
        ----------
        weights : Tensor of shape (n, n_samples), optional
            Of the rows; the mean by default.

        Returns
        -------
        Weights
            Of shape ``(n, size)``; differentiable in the weights.
        """
        if weights is None:
            like = self.stack.weights.flat
            weights = like.new_full((len(self.stack), self.n_samples), 1 / self.n_samples)
        first, *others = (f.fisher_diagonal(weights) for f in self.factors)
        for other in others:
            first = first + other
        return first

    def kfac_diagonal(self, weights: Tensor | None = None) -> Weights:
        """Return the diagonal of the Kronecker-factored Fisher information.

        Of the weight from j to i it is the mean square of what enters at j times that of the
        gradient at i; of biases, scales and shifts it is the diagonal itself.

        Parameters
        ----------
        weights : Tensor of shape (n, n_samples), optional
            Of the rows; the mean by default.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.
        """
        plain, tensors = self.diagonal(weights), {}
        for stage, squares in self.squares.items():
            h, delta, n_positions = squares
            if weights is None:
                left, right = delta.mean(1), h.mean(1)
            else:
                left, right = ((weights[..., None] * x).sum(1) for x in (delta, h))
            matrix = left[:, :, None] * right[:, None] / n_positions
            tensors[f"{stage}.weight"] = self.stack.plan[stage].mix.as_weight(matrix)
        found = dict(plain.items()) | tensors
        present = self.stack.present().flat
        return Weights.of(plain.layout, found).map(lambda flat: flat * present)

    @cached_property
    def squares(self) -> dict[int, tuple[Tensor, Tensor, int]]:
        """By stage, squares summed over positions: of what enters, of all gradients behind it."""
        found = {}
        for stage, (h, _) in self.factors[0].outer.items():
            plan = self.stack.plan[stage]
            x = plan.mix.inputs(h, plan.size).square().unflatten(1, (self.n_samples, -1))
            deltas = [f.outer[stage].delta.square() for f in self.factors]
            delta = torch.stack(deltas).sum(0).unflatten(1, (self.n_samples, -1))
            found[stage] = x.sum(2), delta.sum(2), x.shape[2]
        return found

    def shrinkage(self) -> Tensor:
        """Return how far to go from the diagonal to the Kronecker-factored one, in closed form.

        As in Ledoit and Wolf's estimator of covariances, the amount with the least expected squared
        error: the variance of the mean over the rows, less its covariance with the target, which
        is estimated from the same rows (to first order), against the squared distance of both;
        all summed over the weights of a stage.

        Returns
        -------
        Tensor of shape (n, depth)
            Between 0 and 1.
        """
        plain = self.diagonal()
        variance = (self._second_moment() - plain.map(torch.square)) * (1 / (self.n_samples - 1))
        apart = (plain - self.kfac_diagonal()).map(torch.square)
        amounts = []
        for stage, squares in sorted(self.squares.items()):
            name = f"{stage}.weight"
            gained = variance[name].flatten(1).sum(1) - self._covariance(*squares)
            amounts.append(gained / apart[name].flatten(1).sum(1).clamp_min(1e-30))
        return torch.stack(amounts, 1).clamp(0, 1)

    def _covariance(self, h: Tensor, delta: Tensor, n_positions: int) -> Tensor:
        """Return the covariance of a stage's two estimates, summed over its weights, ``(n,)``.

        With a row's squares h and delta, H and D their means, the row's share in the one is
        ``delta h`` and in the other, to first order, ``D (h - H) + (delta - D) H``.
        """
        H, D = h.mean(1, keepdim=True), delta.mean(1, keepdim=True)
        along, across = (h * H).sum(-1), (delta * D).sum(-1)
        shares = across * (h.square().sum(-1) - along)
        shares = shares + along * (delta.square().sum(-1) - across)
        n = self.n_samples
        return shares.sum(1) / (n * (n - 1) * n_positions**2)

    def _second_moment(self) -> Weights:
        """Return the mean over the rows of each row's squared diagonal."""
        layout, total = self.stack.weights.layout, None
        step = at_once(2 * self.stack.weights.flat.numel(), self.stack.device)
        for start in range(0, self.n_samples, step):
            part = slice(start, start + step)
            rows = [f.rows(part).per_sample().flat.square() for f in self.factors]
            squares = torch.stack(rows).sum(0).square().sum(1)
            total = squares if total is None else total + squares
        assert total is not None
        return Weights(layout, total / self.n_samples)

    def blended(self, amount: Tensor, weights: Tensor | None = None) -> Weights:
        """Return the diagonal, shrunk towards the Kronecker-factored one stage by stage.

        Parameters
        ----------
        amount : Tensor of shape (n, depth)
            0 leaves a stage as it is, 1 replaces it.
        weights : Tensor of shape (n, n_samples), optional
            Of the rows; the mean by default.

        Returns
        -------
        Weights
            Of shape ``(n, size)``, not negative.
        """
        plain, smooth = self.diagonal(weights), self.kfac_diagonal(weights)
        tensors = {}
        for slot, a, b in zip(plain.layout.slots, plain.views, smooth.views, strict=True):
            share = amount[:, slot.stage].view(-1, *[1] * (a.ndim - 1))
            tensors[slot.name] = a + share * (b - a)
        return Weights.of(plain.layout, tensors)
