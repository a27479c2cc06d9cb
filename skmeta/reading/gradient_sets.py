"""From gradients on a few rows to what networks over sets of gradients see, and back."""

from __future__ import annotations

from dataclasses import replace

import torch

from skmeta.gradients import FisherSamples
from skmeta.metanets import GradientSet, GradientWeights, WeightGraph
from skmeta.population import Weights
from skmeta.population.running import check_no_images

N_RELATIVE = 6
_CLIP = 5.0


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
        sets.append(torch.stack([torch.cat(states, -1), torch.cat(deltas, -1)], -1))
    return GradientSet(stack, torch.cat(sets, 1))


def relative_gradient_set(samples: FisherSamples) -> GradientSet:
    """Return the same in units of the network and the layer, with logarithms.

    States of trained networks differ in scale from network to network and from layer to layer, and
    gradients by orders of magnitude from row to row.

    Parameters
    ----------
    samples : FisherSamples
        Of networks without convolutions.

    Returns
    -------
    GradientSet
        With six features: state and gradient over their root mean square in the layer, the
        logarithms of the size of both, and those of the root mean squares, over their mean.
    """
    sets = gradient_set(samples)
    neurons, found = sets.neurons, sets.features
    sizes = neurons.means(found.square().mean(1)).clamp_min(1e-20).sqrt()
    relative = found / neurons.spread(sizes)[:, None]
    logs = sizes.log()
    layers = neurons.spread(logs - logs.mean(1, keepdim=True))[:, None].expand_as(relative)
    parts = [relative.clamp(-_CLIP, _CLIP), (relative.abs() + 1e-3).log(), layers]
    features = torch.cat(parts, -1)
    if neurons.mask is not None:
        features = features * neurons.mask[:, None]
    return GradientSet(sets.stack, features)


def gradient_graph(samples: FisherSamples) -> WeightGraph:
    """Return the graph of networks with these gradients, for a :class:`GradientTrunk`.

    Parameters
    ----------
    samples : FisherSamples
        Of networks without convolutions.

    Returns
    -------
    WeightGraph
        With the features of :func:`relative_gradient_set`.
    """
    sets = relative_gradient_set(samples)
    return replace(WeightGraph.of(samples.stack), gradients=sets.features)


def weighed(samples: FisherSamples, model: GradientWeights, amounts: torch.Tensor) -> Weights:
    """Return the curvature that a model makes of samples.

    Parameters
    ----------
    samples : FisherSamples
        Of networks without convolutions.
    model : GradientWeights
        For the features of :func:`relative_gradient_set`.
    amounts : Tensor of shape (n, depth, n_amounts)
        Of each stage, whatever says how far to shrink it.

    Returns
    -------
    Weights
        Of shape ``(n, size)``.
    """
    weights, states, gradients, shrunk = model(relative_gradient_set(samples), amounts)
    # Of several vectors at the outputs, one after the other in the set, all states are the same.
    by_vector = (len(samples.factors), samples.n_samples)
    logs = states.log().unflatten(1, by_vector).mean(1)
    scale = weights.shape[1]
    counted = (scale * weights[..., None] * gradients).unflatten(1, by_vector)
    return samples.counting(logs.exp(), counted).blended(shrunk)
