"""Networks that predict curvature from sets of gradients, as in appendix F.1 of paper 003.

All of them see the same 128 gradients of a network and map them to its standardised curvature;
some 15 thousand parameters where that can be, Adam at 1e-3, batches of 32, the state that is best
on validation networks. "average" and "concat" see gradients as weights: their mean, or all. The
"asymmetric" ones take neurons, or samples, in the order in which they come.
"""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from skmeta._random import local_draws
from skmeta.gradients import FisherSamples
from skmeta.metanets import (
    NFN,
    GradientSet,
    GradMetaNet,
    GradMetaNetPlusPlus,
    GraphTrunk,
    PerWeight,
)
from skmeta.metanets.inputs import WeightGraph
from skmeta.metanets.trunk import mlp
from skmeta.population import Stack, Weights
from skmeta.reading.gradient_sets import gradient_set

AT_ONCE = 8
"""Networks in one pass: the tensors of more of them come from the kernel anew each time."""


class OfNeurons(nn.Module):
    """A trunk over sets of gradients and the head of eqs. 34 and 41."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, PerWeight(trunk.channels)

    def forward(self, sets: GradientSet) -> Tensor:
        return self.head(self.trunk(sets), sets.stack).flat


class BatchAsymmetric(OfNeurons):
    """GradMetaNet on one sample whose features are those of all samples, in their order."""

    def forward(self, sets: GradientSet) -> Tensor:
        flat = sets.features.movedim(1, 2).flatten(2)[:, None]
        return super().forward(GradientSet(sets.stack, flat))


class NeuronAsymmetric(nn.Module):
    """Deep sets over samples, neurons in their order."""

    def __init__(self, n_in: int, n_out: int, channels: int) -> None:
        super().__init__()
        self.each, self.whole = mlp(n_in, channels, channels), mlp(channels, channels, n_out)

    def forward(self, sets: GradientSet) -> Tensor:
        return self.whole(self.each(sets.features.flatten(2)).mean(1))


class Flat(nn.Module):
    """A perceptron on everything."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.whole = mlp(n_in, 8, n_out)

    def forward(self, sets: GradientSet) -> Tensor:
        return self.whole(sets.features.flatten(1))


class OfWeights(nn.Module):
    """A weight-space trunk on gradients, and a linear map of its states."""

    def __init__(self, kind: str, n_steps: int, example: WeightGraph) -> None:
        super().__init__()
        self.n_steps = n_steps
        if kind == "dws":
            self.trunk = NFN([example], symmetry="np", n_given=1, hidden_channels=10)
        else:
            self.trunk = GraphTrunk([example], hidden_channels=20)
        self.of_weight, self.of_bias = (nn.Linear(self.trunk.channels, 1) for _ in "wb")

    def forward(self, graph: WeightGraph) -> Tensor:
        stack = graph.stack
        encoded = self.trunk.encode(graph, stack.weights.flat.new_zeros(len(stack), 1))
        states = encoded.neurons.split(stack.widths, 1)
        tensors = {}
        for stage, edge in enumerate(encoded.edges):
            tensors[f"{stage}.weight"] = self.of_weight(edge)[..., 0]
            tensors[f"{stage}.bias"] = self.of_bias(states[stage + 1])[..., 0]
        layout = stack.weights.layout
        nothing = {slot.name: view for slot, view in zip(layout.slots, _zeros(stack), strict=True)}
        return Weights.of(layout, nothing | tensors).flat


def _zeros(stack: Stack) -> tuple[Tensor, ...]:
    return stack.weights.map(torch.zeros_like).views


class Predictor(nn.Module):
    """From networks and rows to curvature; what goes in and comes out is standardised."""

    def __init__(self, kind: str, stack: Stack, X: Tensor, target: Weights) -> None:
        super().__init__()
        self.kind, n_samples = kind, X.shape[1]
        self.centre, self.spread = target.flat.mean().item(), target.flat.std().item()
        if "+" in kind.removesuffix("++") and not kind.startswith("mlp"):
            name, way = kind.split("+")
            self.n_steps = n_samples if way == "concat" else 0
            self.scales = _rms(self._gradients(stack, X))
            self.model = OfWeights(name, self.n_steps, self._graph(stack, X))
            return
        features = gradient_set(FisherSamples.of(stack, X)).features
        parts = features.split(stack.widths, 2)
        moments = [(p.mean((0, 1, 2)), p.std((0, 1, 2)).clamp_min(1e-6)) for p in parts]
        widths = [p.shape[2] for p in parts]
        self.mean, self.deviation = (
            torch.cat([m.expand(w, -1) for m, w in zip(each, widths, strict=True)])
            for each in zip(*moments, strict=True)
        )
        n_neurons, n_out = sum(widths), target.flat.shape[1]
        self.model: Any = {
            "gradmetanet": lambda: OfNeurons(GradMetaNet(2)),
            "gradmetanet++": lambda: OfNeurons(GradMetaNetPlusPlus(2, hidden_channels=20)),
            "batch-asymmetric": lambda: BatchAsymmetric(
                GradMetaNet(2 * n_samples, hidden_channels=14)
            ),
            "neuron-asymmetric": lambda: NeuronAsymmetric(2 * n_neurons, n_out, 12),
            "mlp+concat": lambda: Flat(2 * n_samples * n_neurons, n_out),
        }[kind]()

    def _gradients(self, stack: Stack, X: Tensor) -> Weights:
        """All gradients, or their mean: ``(n, n_gradients, size)``."""
        [factors] = FisherSamples.of(stack, X).factors
        found = factors.per_sample()
        return found if self.n_steps else found.map(lambda flat: flat.mean(1, keepdim=True))

    def _graph(self, stack: Stack, X: Tensor) -> WeightGraph:
        found = self._gradients(stack, X)
        layout, flat = found.layout, found.flat / self.scales
        graph = WeightGraph.bare(stack.with_weights(Weights(layout, flat.mean(1))))
        steps = tuple(Weights(layout, step) for step in flat.unbind(1)) if self.n_steps else ()
        return replace(graph, steps=steps)

    def forward(self, stack: Stack, X: Tensor) -> Tensor:
        """Standardised curvature ``(n, size)``."""
        if isinstance(self.model, OfWeights):
            return self.model(self._graph(stack, X))
        features = gradient_set(FisherSamples.of(stack, X)).features
        features = (features - self.mean) / self.deviation
        return self.model(GradientSet(stack, features)) * stack.present().flat

    def read(self, stack: Stack, X: Tensor) -> Weights:
        parts = torch.arange(len(stack)).split(AT_ONCE)
        found = torch.cat([self(stack.select(part), X[part]) for part in parts])
        curvature = (self.centre + self.spread * found).clamp_min(0)
        return stack.weights.with_flat(curvature * stack.present().flat)


def _rms(gradients: Weights) -> Tensor:
    """Scale of the gradients of each tensor of weights, ``(size,)``."""
    sizes = [v.square().mean().sqrt().clamp_min(1e-6).expand_as(v[0, 0]) for v in gradients.views]
    return Weights.of(
        gradients.layout,
        dict(
            zip(
                [s.name for s in gradients.layout.slots],
                [size[None] for size in sizes],
                strict=True,
            )
        ),
    ).flat[0]


KINDS = (
    "gradmetanet", "gradmetanet++", "batch-asymmetric", "neuron-asymmetric", "mlp+concat",
    "dws+average", "gmn+average", "dws+concat", "gmn+concat",
)  # fmt: skip


def trained(kind: str, problem: Any, X: Tensor, validation: Any, epochs: int, seed: int) -> tuple:
    """Train one; return it, its CPU seconds and number of parameters.

    Networks are of one architecture; ``validation`` is another problem and its rows.
    """
    started = time.process_time()
    with local_draws(seed):
        model = Predictor(kind, problem.stack, X, problem.target)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    best, state = float("inf"), None
    for _ in range(epochs):
        for batch in torch.randperm(len(X), generator=generator).split(32):
            optimizer.zero_grad()
            for part in batch.split(AT_ONCE):
                _errors(model, problem.select(part), X[part]).sum().div(len(batch)).backward()
            optimizer.step()
        found = _on(model, *validation)
        if found < best:
            best, state = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    n_parameters = sum(p.numel() for p in model.parameters())
    return model, time.process_time() - started, n_parameters


def _errors(model: Predictor, problem: Any, X: Tensor) -> Tensor:
    wanted = (problem.target.flat - model.centre) / model.spread
    return (model(problem.stack, X) - wanted).square().mean(1)


def _on(model: Predictor, problem: Any, X: Tensor) -> float:
    with torch.no_grad():
        parts = torch.arange(len(X)).split(AT_ONCE)
        return sum(_errors(model, problem.select(p), X[p]).sum().item() for p in parts) / len(X)
