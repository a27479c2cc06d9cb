"""How much a network's predictions depend on each weight: :func:`saliency`."""

from __future__ import annotations

import torch
from torch import Tensor

from skmeta.gradients.natural import fisher_vectors
from skmeta.gradients.recording import Recording


def saliency(recording: Recording, weights: Tensor) -> tuple[Tensor, ...]:
    """Estimate what setting each weight to zero costs, in nats of divergence.

    Optimal brain damage [1]_ with the Fisher information as the curvature: ``w**2 F / 8``,
    where F is the diagonal entry of the Fisher information and the Jensen-Shannon
    divergence of a small change ``d`` is ``d F d / 8``.

    Parameters
    ----------
    recording : Recording
        Forward pass on some rows.
    weights : Tensor of shape (n_samples,)
        Weights of the rows; they sum to 1.

    Returns
    -------
    tuple of Tensor
        ``(n, out, in)`` per layer.

    References
    ----------
    .. [1] Y. LeCun, J. Denker, S. Solla, "Optimal brain damage", 1989.

    Examples
    --------
    >>> import torch
    >>> from skmeta.gradients import Recording, saliency
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> population = Population.initialize(Architecture.mlp((3, 8, 2)), 5, random_state=0)
    >>> ((_, stack),) = population.blocks
    >>> X = torch.tensor([[1.0, 0.0, 2.0]])
    >>> costs = saliency(Recording(stack, X), torch.ones(1))
    >>> bool((costs[0][:, :, 1] == 0).all())  # an input that is always zero
    True
    """
    root = weights.sqrt()[:, None]
    pulled = [recording.pull_back(v * root) for v in fisher_vectors(recording.logits)]
    stack = recording.stack
    fisher = torch.stack([factors.fisher_diagonal().flat for factors in pulled]).sum(0)
    costs = stack.weights.with_flat(stack.weights.flat.square() * fisher / 8)
    return tuple(costs.of_field("weight"))
