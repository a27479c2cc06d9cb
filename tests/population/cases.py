"""Architectures that tests run over: every feature of a Layer, alone and mixed."""

import torch

from skmeta.networks import Architecture, Record, initial_records
from skmeta.population import Population
from tests.stages import layer

CASES = [
    ("linear", Architecture(5, [layer(2)])),
    ("plain relu", Architecture.mlp((5, 8, 2))),
    ("deep tanh", Architecture.mlp((5, 8, 8, 6, 7, 2), activation="tanh")),
    (
        "all activations",
        Architecture(
            5,
            [
                layer(6, "leaky_relu"),
                layer(7, "gelu"),
                layer(6, "silu"),
                layer(6, "elu"),
                layer(2),
            ],
        ),
    ),
    ("sigmoid, softplus", Architecture(5, [layer(9, "sigmoid"), layer(4, "softplus"), layer(2)])),
    ("identity, no bias", Architecture(5, [layer(8, bias=False), layer(2, bias=False)])),
    (
        "batch norm",
        Architecture(
            5, [layer(8, "relu", "batch", dropout=0.2), layer(8, "relu", "batch"), layer(2)]
        ),
    ),
    (
        "layer norm",
        Architecture(5, [layer(8, "gelu", "layer"), layer(6, "relu", "layer", eps=1e-3), layer(2)]),
    ),
    (
        "norm after",
        Architecture(
            5,
            [
                layer(8, "relu", "batch", norm_after=True),
                layer(6, "tanh", "layer", norm_after=True),
                layer(2),
            ],
        ),
    ),
    (
        "norm without affine",
        Architecture(
            5,
            [
                layer(8, "relu", "batch", affine=False, bias=False),
                layer(8, "relu", "layer", affine=False, norm_after=True),
                layer(2),
            ],
        ),
    ),
    (
        "skips behind the activation",
        Architecture(
            5,
            [layer(8, "relu"), layer(8, "relu", skips=(1,)), layer(8, "relu", skips=(1, 2))]
            + [layer(2)],
        ),
    ),
    (
        "skips before the activation",
        Architecture(
            5,
            [
                layer(8, "relu", "batch"),
                layer(8, "relu", "batch", skips=(1,), skip_before=True),
                layer(8, "gelu", "layer", norm_after=True, skips=(2,), skip_before=True),
                layer(2),
            ],
        ),
    ),
    (
        "padded skips",
        Architecture(
            5,
            [layer(6, "relu"), layer(8, "relu", skips=(1,)), layer(9, "tanh"), layer(9, "relu")]
            + [layer(2)],
        ),
    ),
    (
        "padded chain",
        Architecture(
            5,
            [
                layer(6, "relu"),
                layer(8, "leaky_relu", skips=(1,)),
                layer(10, "relu", "layer", norm_after=True, skips=(2,)),
                layer(2),
            ],
        ),
    ),
    ("skip from the input", Architecture(5, [layer(5, "relu", skips=(0,)), layer(7), layer(2)])),
    (
        "padded skip from the input",
        Architecture(5, [layer(8, "relu", skips=(0,)), layer(8, "relu", skips=(1,)), layer(2)]),
    ),
    (
        "skip into the output",
        Architecture(5, [layer(2, "relu"), layer(6, "relu"), layer(2, skips=(1,))]),
    ),
    (
        "everything",
        Architecture(
            5,
            [
                layer(6, "gelu", "batch", norm_after=True, skips=(0,)),
                layer(8, "relu", "layer", skips=(1,), skip_before=True, dropout=0.1),
                layer(8, "leaky_relu", "batch", skips=(1, 2), bias=False),
                layer(2),
            ],
        ),
    ),
]
"""Pairs of a name and an Architecture, all with 5 inputs and 2 outputs."""

NAMES = [name for name, _ in CASES]
ARCHITECTURES = [architecture for _, architecture in CASES]


def trained_looking(architecture: Architecture, seed: int = 0) -> Record:
    """Initialise a network and make its normalisations and biases non-neutral."""
    (record,) = initial_records([architecture], seed)
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, low, high):
        tensor.uniform_(low, high, generator=generator)

    ranges = {"scale": (0.5, 1.5), "shift": (-0.5, 0.5), "mean": (-0.5, 0.5), "var": (0.5, 1.5)}
    for slot in architecture.slots:
        if slot.field in ranges:
            draw(record.tensors[slot.name], *ranges[slot.field])
    return record


def mixed_population(n_each: int = 2) -> Population:
    """Return networks of all cases in one population, none next to its like."""
    records = [trained_looking(a, seed) for seed in range(n_each) for a in ARCHITECTURES]
    return Population.from_records(records)
