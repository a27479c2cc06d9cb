"""From gradients on a few rows to what networks over sets of gradients see."""

from __future__ import annotations

import torch

from skmeta.gradients import FisherSamples
from skmeta.metanets import GradientSet
from skmeta.population.running import check_no_images


def gradient_set(samples: FisherSamples) -> GradientSet:
    """Return the state of each neuron and the gradient in front of it, sample by sample.

    Parameters
    ----------
    samples : FisherSamples
        Of networks without convolutions.

    Returns
    -------
    GradientSet
        With two features: inputs have no gradient, outputs no state. Where the outputs have
        several vectors, each of them counts as a sample.
    """
    stack, sets = samples.stack, []
    check_no_images(stack.architectures, "gradient_set")
    for factors in samples.factors:
        states = [factors.outer[i].h for i in range(stack.depth)]
        deltas = [factors.outer[i].delta for i in range(stack.depth)]
        states = [*states, torch.zeros_like(deltas[-1])]
        deltas = [torch.zeros_like(states[0]), *deltas]
        masks = [stack.true_neurons(i)[:, None] for i in range(stack.depth + 1)]
        states = [h * mask for h, mask in zip(states, masks, strict=True)]
        sets.append(torch.stack([torch.cat(states, -1), torch.cat(deltas, -1)], -1))
    return GradientSet(stack, torch.cat(sets, 1))
