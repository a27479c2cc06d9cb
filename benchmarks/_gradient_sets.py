"""GradMetaNet and GradMetaNet++ as in the paper on learning on gradients, appendix F.1."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from skmeta._random import local_draws
from skmeta.gradients import FisherSamples
from skmeta.learning.nets import train
from skmeta.learning.on_positions import OnPositions
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import GradientSet, GradMetaNet, GradMetaNetPlusPlus, PerWeight
from skmeta.population import Population, Stack, Weights
from skmeta.reading.gradient_sets import gradient_set

KINDS = {"gradmetanet": GradMetaNet, "gradmetanet++": GradMetaNetPlusPlus}


class Faithful(nn.Module):
    """From gradients to curvature, both standardised: features by state, targets as a whole."""

    def __init__(self, kind: str, sets: GradientSet, target: Weights) -> None:
        super().__init__()
        self.trunk = KINDS[kind](2, hidden_channels=32)
        self.head = PerWeight(self.trunk.channels)
        parts = sets.features.split(sets.stack.widths, 2)
        means = [p.mean((0, 1, 2)).expand(p.shape[2], -1) for p in parts]
        deviations = [p.std((0, 1, 2)).clamp_min(1e-6).expand(p.shape[2], -1) for p in parts]
        self.register_buffer("mean", torch.cat(means))
        self.register_buffer("deviation", torch.cat(deviations))
        self.centre, self.spread = target.flat.mean().item(), target.flat.std().item()

    def standardised(self, stack: Stack, X: Tensor) -> Weights:
        sets = gradient_set(FisherSamples.of(stack, X))
        features = (sets.features - self.mean) / self.deviation
        return self.head(self.trunk(GradientSet(stack, features)), stack)

    def read(self, stack: Stack, X: Tensor) -> Weights:
        found = self.standardised(stack, X)
        return found.map(lambda flat: (self.centre + self.spread * flat).clamp_min(0))


class SquaredErrors(OnPositions):
    """Of standardised targets, on one fixed set of rows for each network."""

    def __init__(self, model: Faithful, problems: list, X: Tensor) -> None:
        super().__init__(model, problems)
        self.data = (X,)

    def forward(self, positions: Tensor) -> Tensor:
        problem = self.select(positions)
        found = self.metanet.standardised(problem.stack, self.data[0][positions])
        wanted = (problem.target.flat - self.metanet.centre) / self.metanet.spread
        return (found.flat - wanted).square().mean(1)


def faithful(kind: str, networks: Population, problems: list, X: Tensor, epochs: int, seed: int):
    """Train one; return it and its seconds. All networks have one architecture."""
    started = time.process_time()
    [(_, problem)] = problems
    with local_draws(seed):
        model = Faithful(kind, gradient_set(FisherSamples.of(problem.stack, X)), problem.target)
    settings = TrainingSettings("benchmark", None, epochs, 1e-3, 32, None, 0, torch.device("cpu"))
    train(settings, SquaredErrors(model, problems, X), seed=seed)
    return model, time.process_time() - started
