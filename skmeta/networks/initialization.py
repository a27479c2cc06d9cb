"""Fresh weights: :func:`initial_records`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skmeta._checks import check_generator, check_option
from skmeta.networks.architecture import Architecture
from skmeta.networks.record import Record


def network_seeds(n: int, random_state: Any) -> list[int]:
    """Draw one seed per network; the first seeds do not depend on ``n``."""
    generator = check_generator(random_state)
    return [int(torch.randint(2**62, (), generator=generator)) for _ in range(n)]


_SCHEMES: dict[str, Callable[..., Tensor]] = {
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "glorot": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
}
INITIALIZATIONS = ("uniform", *_SCHEMES)
"""How fresh weights are drawn; "uniform" is torch's own."""


def initial_records(
    architectures: Sequence[Architecture],
    random_state: Any = None,
    seeds: Sequence[int] = (),
    *,
    schemes: Sequence[str] = (),
    scales: Sequence[float] = (),
) -> list[Record]:
    """Initialise networks, each from a seed of its own; scales of normalisations are 1, shifts 0.

    Parameters
    ----------
    architectures : sequence of Architecture
        One per network.
    random_state : int, Generator or None
        Draws the seeds.
    seeds : sequence of int, optional
        One per network.
    schemes : sequence of str, optional
        Of ``INITIALIZATIONS``, one per network. The default is as ``torch.nn.Linear`` and
        ``Conv2d`` do, weights and biases uniform in +-1/sqrt(fan_in); biases are zero
        otherwise.
    scales : sequence of float, optional
        What the weights of each network are multiplied by.

    Returns
    -------
    list of Record
        One per network, in float32.
    """
    n = len(architectures)
    seeds = seeds or network_seeds(n, random_state)
    settings = zip(
        architectures, seeds, schemes or ["uniform"] * n, scales or [1.0] * n, strict=True
    )
    return [_initial(*setting) for setting in settings]


def _initial(architecture: Architecture, seed: int, scheme: str, scale: float) -> Record:
    generator = torch.Generator().manual_seed(seed)
    record = Record.blank(architecture)
    for layer, weight, bias in zip(
        architecture.layers, record.tensors["weight"], record.tensors["bias"], strict=True
    ):
        if scheme == "uniform":
            bound = 1.0 / math.sqrt(weight[0].numel())
            weight.uniform_(-bound, bound, generator=generator)
            if layer.bias:
                bias.uniform_(-bound, bound, generator=generator)
        else:
            scheme = check_option("schemes", scheme, INITIALIZATIONS, owner="initial_records")
            _SCHEMES[scheme](weight, generator=generator)
        weight.mul_(scale)
    return record
