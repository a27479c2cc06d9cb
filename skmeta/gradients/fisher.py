"""What each row adds to the Fisher information of many networks: :class:`FisherSamples`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skmeta.gradients.eigenbasis import KroneckerEigenbasis
from skmeta.gradients.factors import Affine, Factors, Outer
from skmeta.gradients.natural import fisher_vectors
from skmeta.gradients.program import Program
from skmeta.population import Stack, Weights
from skmeta.population.mapping import at_once
from skmeta.population.running import check_no_images


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
        weights = self._shares(weights)
        first, *others = (f.fisher_diagonal(weights) for f in self.factors)
        for other in others:
            first = first + other
        return first

    def counting(self, states: Tensor, gradients: Tensor) -> FisherSamples:
        """Return samples whose squares are multiplied, neuron by neuron.

        Parameters
        ----------
        states : Tensor of shape (n, n_samples, all neurons)
            What the squared states of neurons are multiplied with.
        gradients : Tensor of shape (n, n_vectors, n_samples, all neurons)
            What the squared gradients at them are multiplied with, for each vector at the outputs.

        Returns
        -------
        FisherSamples
            Of networks without convolutions.
        """
        check_no_images(self.stack.architectures, "FisherSamples.counting")
        sends = states.sqrt().split(self.stack.widths, 2)
        receives = gradients.sqrt().split(self.stack.widths, 3)
        first = self.factors[0]
        h = {stage: outer.h * sends[stage] for stage, outer in first.outer.items()}
        factors = []
        for k, old in enumerate(self.factors):
            new = Factors(self.stack, old.layout)
            for stage, outer in old.outer.items():
                new.outer[stage] = Outer(h[stage], outer.delta * receives[stage + 1][:, k])
            for stage, rows, normal, delta in old.affine:
                new.affine.append(Affine(stage, rows, normal, delta * receives[stage + 1][rows, k]))
            factors.append(new)
        return FisherSamples(self.stack, factors, self.n_samples)

    def _shares(self, weights: Tensor | None) -> Tensor:
        """Return weights of the rows, equal ones by default."""
        if weights is not None:
            return weights
        like = self.stack.weights.flat
        return like.new_full((len(self.stack), self.n_samples), 1 / self.n_samples)

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
        return self._with(plain, tensors)

    def ekfac_diagonal(self, weights: Tensor | None = None) -> Weights:
        """Return the diagonal of the eigenvalue-corrected Kronecker-factored Fisher information.

        See :class:`KroneckerEigenbasis`; of biases, scales and shifts it is the diagonal itself.

        Parameters
        ----------
        weights : Tensor of shape (n, n_samples), optional
            Of the rows; the mean by default.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.
        """
        found = {
            f"{stage}.weight": self._eigenbasis(stage, weights).diagonal()
            for stage in range(self.stack.depth)
        }
        return self._with(self.diagonal(weights), found)

    def conditional_diagonal(self, weights: Tensor | None = None) -> Weights:
        """Return the curvature along each weight if the others of its matrix follow.

        Optimal brain surgery [1]_ in a Kronecker-factored eigenbasis: one over the diagonal of the
        inverse. It is at most :meth:`ekfac_diagonal`, and zero for a weight whose work others can
        take over. Of biases, scales and shifts it is the diagonal itself: they are left alone.

        Parameters
        ----------
        weights : Tensor of shape (n, n_samples), optional
            Of the rows; the mean by default.

        Returns
        -------
        Weights
            Of shape ``(n, size)``.

        References
        ----------
        .. [1] Hassibi and Stork (1992), "Second order derivatives for network pruning: optimal
           brain surgeon".
        """
        found = {}
        for stage in range(self.stack.depth):
            ends = (self.stack.true_neurons(i).sum(1) for i in (stage, stage + 1))
            n_weights = torch.prod(torch.stack(list(ends)), 0)
            found[f"{stage}.weight"] = self._eigenbasis(stage, weights).conditional(n_weights)
        return self._with(self.diagonal(weights), found)

    def _eigenbasis(self, stage: int, weights: Tensor | None) -> KroneckerEigenbasis:
        check_no_images(self.stack.architectures, "The eigenbasis of Kronecker factors")
        deltas = torch.stack([f.outer[stage].delta for f in self.factors], 1)
        h = self.factors[0].outer[stage].h
        return KroneckerEigenbasis.of(h, deltas, self._shares(weights))

    def _with(self, plain: Weights, tensors: dict[str, Tensor]) -> Weights:
        """Put other numbers in the places of weights; none where a network has no weight."""
        present = self.stack.present().flat
        found = Weights.of(plain.layout, dict(plain.items()) | tensors)
        return found.map(lambda flat: flat * present)

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
        apart = (plain - self.kfac_diagonal()).map(torch.square)
        moments, amounts = self._second_moments(), []
        for stage, squares in sorted(self.squares.items()):
            own, distance = (
                w[f"{stage}.weight"].flatten(1).sum(1) for w in (plain.map(torch.square), apart)
            )
            variance = (moments[stage] - own) / (self.n_samples - 1)
            amounts.append((variance - self._covariance(*squares)) / distance.clamp_min(1e-30))
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

    def _second_moments(self) -> list[Tensor]:
        """Return means over the rows of each row's squared diagonal, summed over a stage's weights.

        Where a weight is used once, the diagonal of a row is a product of squares, and a sum of
        products over all pairs of neurons is a product of sums.
        """
        if all(n_positions == 1 for _, _, n_positions in self.squares.values()):
            pairs = [
                (h.square().sum(-1), delta.square().sum(-1))
                for _, (h, delta, _) in sorted(self.squares.items())
            ]
            return [(h * delta).mean(1) for h, delta in pairs]
        step = at_once(2 * self.stack.weights.flat.numel(), self.stack.device)
        totals: list[Tensor | float] = [0.0] * self.stack.depth
        for start in range(0, self.n_samples, step):
            part = slice(start, start + step)
            rows = [f.rows(part).per_sample().map(torch.square) for f in self.factors]
            for stage in range(self.stack.depth):
                squares = torch.stack([row[f"{stage}.weight"] for row in rows]).sum(0).square()
                totals[stage] = totals[stage] + squares.flatten(2).sum((1, 2))
        return [torch.as_tensor(total) / self.n_samples for total in totals]

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
