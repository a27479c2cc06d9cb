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
    masks = stack.present().bias
    bias = tuple(b + 0.1 * m for b, m in zip(stack.weights.of_field("bias"), masks, strict=True))
    return stack.with_weights(stack.params._replace(bias=bias))


def test_layers_come_relative_to_their_size():
    stack = stack_of_networks()
    params = stack.params
    larger = stack.with_weights(
        params._replace(
            weight=(params.weight[0], 10 * params.weight[1], params.weight[2]),
            bias=(params.bias[0], 10 * params.bias[1], params.bias[2]),
        )
    )
    channels = StackChannels(stack, False).double()
    (weights, biases), (new_weights, new_biases) = channels(stack), channels(larger)
    for i in range(stack.depth):
        torch.testing.assert_close(new_weights[i], weights[i])
        torch.testing.assert_close(new_biases[i][:, 0], biases[i][:, 0])
        moved = (new_biases[i] - biases[i])[:, 1] * channels.bias_spread[i, 1]
        torch.testing.assert_close(moved, torch.full_like(moved, math.log(10) * (i == 1)))


def test_path_norms_of_outputs_come_as_logarithms():
    params = stack_of_networks().params
    weights, biases = with_path_norms(
        [w[:, None] for w in params.weight], [b[:, None] for b in params.bias]
    )
    *hidden, outputs = path_norms(params.weight, params.bias)[1:]
    for bias, norms in zip(biases, [*hidden, outputs.log()], strict=True):
        torch.testing.assert_close(bias[:, 1], norms)
