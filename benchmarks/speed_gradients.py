"""Gradients of single samples of a live module, against what else gives them: CPU time, medians.

    python benchmarks/speed_gradients.py

Training steps and factors against plain ones, ``vmap(grad)``, and, where they are installed,
BackPACK (backpack-for-pytorch) and opacus, on a perceptron, a convolutional network and a
transformer encoder; what each quantity costs beside a forward and a backward pass. The factors'
share of the count of neurons follows.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import warnings
from collections.abc import Callable

import torch
from _common import interleaved, print_table
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from skmeta.gradients import record
from skmeta.training import keep_freed_memory

STEPS = 10


class Encoder(nn.Module):
    """Two layers of attention over 16 vectors, and a class."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.encoder(x).mean(1))


def cases() -> dict[str, tuple[nn.Module, Tensor]]:
    """Modules and their rows."""
    mlp = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
    convolutions = [nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
    cnn = [*convolutions, nn.Flatten(), nn.Linear(32 * 49, 10)]
    return {
        "784-256-256-10, batch 128": (nn.Sequential(*mlp), torch.randn(128, 784)),
        "two convolutions, batch 64": (nn.Sequential(*cnn), torch.randn(64, 1, 28, 28)),
        "transformer encoder, batch 32": (Encoder(), torch.randn(32, 16, 32)),
    }


def step(module: nn.Module, X: Tensor, y: Tensor) -> None:
    """Forward and backward, as a training loop has them."""
    for parameter in module.parameters():
        parameter.grad = None
    F.cross_entropy(module(X), y).backward()


def ours(module: nn.Module, X: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """Contestants of record; the block around the loop is entered once, as in a loop."""
    recording = record(module)

    def steps(then: Callable[[], object] = lambda: None) -> None:
        with recording:
            for _ in range(STEPS):
                step(module, X, y)
                then()

    def alone() -> None:
        with recording:
            for _ in range(STEPS):
                recording.factors(F.cross_entropy(module(X), y))

    return {
        "attached to the loop": steps,
        "... factors": lambda: steps(recording.factors),
        "... Fisher diagonal": lambda: steps(lambda: recording.factors().fisher_diagonal()),
        "... per sample": lambda: steps(lambda: recording.factors().per_sample()),
        "factors alone": alone,
    }


def functional(module: nn.Module, X: Tensor, y: Tensor) -> Callable[[], object]:
    """What torch itself offers."""
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
        out = functional_call(module, parameters, (x[None],))
        return F.cross_entropy(out, label[None])

    of_rows = vmap(grad(loss), in_dims=(None, 0, 0))
    return lambda: [of_rows(parameters, X, y) for _ in range(STEPS)]


def backpack(module: nn.Module, X: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """BackPACK, where it knows all layers."""
    from backpack import backpack as block
    from backpack import extend
    from backpack.extensions import BatchGrad, SumGradSquared

    module, loss = extend(copy.deepcopy(module)), extend(nn.CrossEntropyLoss())

    def steps(extension: Callable[[], object]) -> None:
        for _ in range(STEPS):
            for parameter in module.parameters():
                parameter.grad = None
            with block(extension()):
                loss(module(X), y).backward()

    return {
        "BackPACK, squares": lambda: steps(SumGradSquared),
        "BackPACK, per sample": lambda: steps(BatchGrad),
    }


def opacus(module: nn.Module, X: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """The hooks of opacus."""
    from opacus import GradSampleModule

    wrapped = GradSampleModule(copy.deepcopy(module))

    def steps() -> None:
        for _ in range(STEPS):
            for parameter in wrapped.parameters():
                parameter.grad = parameter.grad_sample = None
            F.cross_entropy(wrapped(X), y).backward()

    return {"opacus, per sample": steps}


def contestants(module: nn.Module, X: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """All that run on a module."""
    found = {"plain step": lambda: [step(module, X, y) for _ in range(STEPS)]}
    found |= ours(module, X, y) | {"vmap(grad)": functional(module, X, y)}
    for package, make in (("backpack", backpack), ("opacus", opacus)):
        if importlib.util.find_spec(package) is None:
            continue
        try:
            theirs = make(module, X, y)
            for run in theirs.values():
                run()
        except Exception as error:  # whatever a package raises of layers that it does not know
            print(f"{package} does not take this module: {type(error).__name__}")
            continue
        found |= theirs
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    torch.manual_seed(0)
    for name, (module, X) in cases().items():
        y = torch.randint(10, (len(X),))
        seconds = interleaved(contestants(module, X, y), rounds=args.rounds)
        plain = seconds["plain step"]
        rows = [(who, 1e3 * s / STEPS, s / plain) for who, s in seconds.items()]
        print_table(name, ("", "ms a step", "of a plain step"), rows)
        with record(module) as recording:
            factors = recording.factors(F.cross_entropy(module(X), y))
        weights = sum(p.numel() for p in module.parameters())
        print(f"numbers kept: {factors.n_numbers:,}; of every sample's gradient: ", end="")
        print(f"{len(X) * weights:,}")


if __name__ == "__main__":
    main()
