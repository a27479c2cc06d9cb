"""Convolutional networks that tests run over: as architectures and as plain torch modules."""

import torch
from torch import nn

from skmeta.networks import Architecture, Linear, Pool, Record, initial_records
from skmeta.population import Population
from tests.stages import layer

SHAPE = (2, 9, 8)
N_INPUTS = 2 * 9 * 8

CASES = [
    ("small cnn", Architecture.cnn(SHAPE, (4, 5, 6), 3, stride=2)),
    ("tanh", Architecture.cnn(SHAPE, (4, 5, 6), 3, stride=2, activation="tanh")),
    ("other widths", Architecture.cnn(SHAPE, (6, 3, 4), 3, stride=2, activation="gelu")),
    ("one convolution", Architecture.cnn(SHAPE, (4,), 3, kernel=2, padding=0)),
    ("no linear layer", Architecture(N_INPUTS, [layer(3, kernel=3, pool="mean")], "logits", SHAPE)),
    (
        "uneven filters",
        Architecture(
            N_INPUTS,
            [
                layer(4, "leaky_relu", kernel=(3, 2), stride=(1, 3), padding=(0, 2)),
                layer(5, "identity", kernel=(1, 4), stride=2, bias=False),
                layer(3, "sigmoid", kernel=2, stride=3, padding=1, pool="mean", dropout=0.2),
                layer(6, "relu", "layer"),
                layer(7, "tanh", "batch"),
                layer(3),
            ],
            input_shape=SHAPE,
        ),
    ),
]
ARCHITECTURES = [architecture for _, architecture in CASES]
IMAGES = torch.randn(7, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ROWS = IMAGES.flatten(1)

_ACTIVATIONS = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "leaky_relu": nn.LeakyReLU,
    "identity": nn.Identity, "sigmoid": nn.Sigmoid,
}  # fmt: skip


def sequential(record: Record) -> nn.Sequential:
    """Build the network of a record from torch's own layers; it takes images."""
    parts: list[nn.Module] = []
    widths, tensors = record.architecture.widths, record.tensors
    for index, stage in enumerate(record.architecture.stages):
        fan_in, mix = widths[index], stage.mix
        if isinstance(mix, Linear):
            parts.append(nn.Linear(fan_in, mix.width, bias=mix.bias))
        else:
            geometry = mix.kernel, mix.stride, mix.padding
            parts.append(nn.Conv2d(fan_in, mix.width, *geometry, bias=mix.bias))
        with torch.no_grad():
            parts[-1].weight.copy_(tensors[f"{index}.weight"])
            if mix.bias:
                parts[-1].bias.copy_(tensors[f"{index}.bias"])
        if stage.norm != "none":
            kind = nn.LayerNorm if stage.norm == "layer" else nn.BatchNorm1d
            parts.append(kind(stage.width))
        parts.append(_ACTIVATIONS[stage.activation]())
        if stage.dropout:
            parts.append(nn.Dropout(stage.dropout))
        if stage.find(Pool) is not None:
            parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts).to(tensors["0.weight"].dtype).eval()


def population(architectures=ARCHITECTURES, n_each=2, dtype=torch.float64) -> Population:
    """Return networks of some architectures, none next to its like."""
    architectures = [a for _ in range(n_each) for a in architectures]
    return Population.from_records(initial_records(architectures, 0)).to(dtype=dtype)
