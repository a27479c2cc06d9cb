"""Fresh weights: :func:`initial_records`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from skmeta._validation import check_generator
from skmeta.population.architecture import Architecture
from skmeta.population.stack import Record


def network_seeds(n: int, random_state: Any) -> list[int]:
    """Draw one seed per network; the first seeds do not depend on ``n``."""
    generator = check_generator(random_state)
    return [int(torch.randint(2**62, (), generator=generator)) for _ in range(n)]


def initial_records(
    architectures: Sequence[Architecture], random_state: Any = None, seeds: Sequence[int] = ()
) -> list[Record]:
    """Initialise networks as ``torch.nn.Linear`` and ``Conv2d`` do, each from a seed of its own.

    Weights and biases are uniform in +-1/sqrt(fan_in); scales are 1, shifts 0.
    """
    seeds = seeds or network_seeds(len(architectures), random_state)
    return [_initial(a, seed) for a, seed in zip(architectures, seeds, strict=True)]


def _initial(architecture: Architecture, seed: int) -> Record:
    generator = torch.Generator().manual_seed(seed)
    record = Record.blank(architecture)
    for layer, weight, bias in zip(
        architecture.layers, record.tensors["weight"], record.tensors["bias"], strict=True
    ):
        bound = 1.0 / math.sqrt(weight[0].numel())
        weight.uniform_(-bound, bound, generator=generator)
        if layer.bias:
            bias.uniform_(-bound, bound, generator=generator)
    return record
