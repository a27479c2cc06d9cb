"""What NFN sees of a stack."""

import math

import torch

from skmeta.metanets.monomial import path_norms, with_path_norms
from skmeta.metanets.stack_channels import StackChannels
from skmeta.networks import Architecture
from skmeta.population import Population


def stack_of_networks():
    architectures = [Architecture.mlp((5, width, 6, 2)) for width in (4, 7, 4)]
    population = Population.initialize(architectures, random_state=0).to(dtype=torch.float64)
    [(_, stack)] = population.depth_blocks()
    masks = stack.present().of_field("bias")
    bias = tuple(b + 0.1 * m for b, m in zip(stack.weights.of_field("bias"), masks, strict=True))
    return stack.with_weights(stack.weights.replaced(bias=bias))


def test_layers_come_relative_to_their_size():
    stack = stack_of_networks()
    weights, biases = (list(stack.weights.of_field(f)) for f in ("weight", "bias"))
    weights[1], biases[1] = 10 * weights[1], 10 * biases[1]
    larger = stack.with_weights(stack.weights.replaced(weight=weights, bias=biases))
    channels = StackChannels(stack, False).double()
    (weights, biases), (new_weights, new_biases) = channels(stack), channels(larger)
    for i in range(stack.depth):
        torch.testing.assert_close(new_weights[i], weights[i])
        torch.testing.assert_close(new_biases[i][:, 0], biases[i][:, 0])
        moved = (new_biases[i] - biases[i])[:, 1] * channels.bias_spread[i, 1]
        torch.testing.assert_close(moved, torch.full_like(moved, math.log(10) * (i == 1)))


def test_path_norms_of_outputs_come_as_logarithms():
    stack = stack_of_networks()
    own = [stack.weights.of_field(field) for field in ("weight", "bias")]
    weights, biases = with_path_norms(*([t[:, None] for t in tensors] for tensors in own))
    *hidden, outputs = path_norms(*own)[1:]
    for bias, norms in zip(biases, [*hidden, outputs.log()], strict=True):
        torch.testing.assert_close(bias[:, 1], norms)
