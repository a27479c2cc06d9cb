"""Curvature from a few gradients, against means, closed forms and more samples.

    python benchmarks/curvature.py --networks 512 --epochs 40                # 2 CPU minutes
    python benchmarks/curvature.py --set adult --gradients 32
    python benchmarks/curvature.py --set mnist --gradients 32
    python benchmarks/curvature.py --faithful gradmetanet gradmetanet++      # an hour
    python benchmarks/curvature.py --set siren --seeds 5 --csv docs/measured/curvature.csv

"siren": networks 1-32-32-1 with sines and Gaussian weights, whose rows are uniform on [-1, 0] and
on [0, 1] with a probability of each network's own; 128 of 1,024 rows (paper on learning on
gradients, sections 7.1 and F.1). "adult", "mnist" (8 x 8 pixels): trained perceptrons, tested on
widths that training has not seen, 32 of 4,096 rows.

Errors are the mean over test networks of the squared error over the target's squares, and, as
in the paper, of targets standardised as a whole. "quadrature" knows that the rows of "siren"
are uniform on each half; "noise" is the target on as many other rows.
"""

from __future__ import annotations

import argparse
import time

import _common  # noqa: F401  (sets one thread)
import _gradient_sets
import pandas as pd
import torch
from torch import Tensor

from skmeta import Population, make_zoo
from skmeta._random import local_draws
from skmeta.datasets import fetch_adult, fetch_mnist, split_tasks
from skmeta.gradients import FisherSamples
from skmeta.learning.nets import train
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets import SampleWeights
from skmeta.networks import Architecture
from skmeta.population import Stack, Weights
from skmeta.reading import CurvatureReader
from skmeta.reading.curvature import (
    CLOSED_FORMS,
    N_AMOUNTS,
    N_FEATURES,
    CurvatureLoss,
    CurvatureProblem,
)
from skmeta.zoo import MLPSearchSpace

SIREN = Architecture.mlp((1, 32, 32, 1), activation="sin", output="values")
N_TARGET = {"siren": 1024, "adult": 4096, "mnist": 4096}


class Rows:
    """Where the rows of networks come from."""

    def __init__(self, X: Tensor | None, shares: Tensor | None) -> None:
        self.X, self.shares = X, shares

    def draw(self, networks: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Rows ``(n_networks, n, n_inputs)``."""
        if self.X is not None:
            return self.X[torch.randint(len(self.X), (len(networks), n), generator=generator)]
        assert self.shares is not None
        u = torch.rand(len(networks), n, generator=generator)
        right = torch.rand(len(networks), n, generator=generator)
        right = right < self.shares[networks.cpu()][:, None]
        return torch.where(right, u, u - 1)[..., None]


class OnDraws(CurvatureLoss):
    """With rows of each network's own distribution."""

    def draw(self, positions: Tensor) -> Tensor:
        return self.rows.draw(positions, self.reader.n_gradients, self.generator)


def sirens(n: int, seed: int) -> tuple[Population, Rows]:
    """Networks of the paper, and the shares of their rows in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    networks = Population.initialize(SIREN, n, random_state=seed)
    networks = networks.map(
        lambda stack: stack.with_weights(
            stack.weights.map(lambda flat: torch.randn(flat.shape, generator=generator))
        )
    )
    return networks, Rows(None, torch.rand(n, generator=generator))


def trained(kind: str, n: int, seed: int, widths: tuple[int, ...], home: str | None) -> tuple:
    """Perceptrons of other widths than others, and rows that none was trained on."""
    if kind == "adult":
        tasks = split_tasks(fetch_adult(data_home=home), "sex")
    else:
        tasks = split_tasks(fetch_mnist(data_home=home, size=8))
    space = MLPSearchSpace(hidden_widths=widths)
    zoo = make_zoo(
        tasks[0], n, search_space=space, epochs=5, n_checkpoints=1, progress=False,
        random_state=seed,
    )  # fmt: skip
    return zoo, Rows(tasks[1].tensors()[0], None)


def targets(networks: Population, rows: Rows, n: int, generator: torch.Generator) -> list:
    """Positions, stacks and diagonals on many rows, by depth."""
    found = []
    for positions, stack in networks.depth_blocks():
        X = rows.draw(torch.as_tensor(positions), n, generator)
        total: Weights | None = None
        for part in X.split(256, 1):
            piece = FisherSamples.of(stack, part).diagonal() * (part.shape[1] / n)
            total = piece if total is None else total + piece
        found.append((positions, CurvatureProblem(stack, total)))
    return found


def learned(networks: Population, rows: Rows, args: argparse.Namespace, seed: int) -> tuple:
    """A reader trained on draws of rows, and its seconds."""
    started = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    with local_draws(seed):
        model = SampleWeights(N_FEATURES, N_AMOUNTS)
    reader = CurvatureReader("sample-weights", args.gradients, model)
    problems = targets(networks, rows, N_TARGET[args.set], generator)
    loss = OnDraws(reader, problems, torch.empty(0), generator)
    loss.rows = rows
    settings = TrainingSettings(
        "benchmark", None, args.epochs, 2e-3, 32, None, 0, torch.device("cpu")
    )
    train(settings, loss, seed=seed)
    return reader, time.process_time() - started


def quadrature(X: Tensor) -> Tensor:
    """Weights of rows by the trapezoid rule on each half, whose share the rows tell."""
    share = (X[..., 0] >= 0).float().mean(1)
    x, order = X[..., 0].sort(1)
    weights = torch.zeros_like(x)
    for low in (-1.0, 0.0):
        inside = (x >= low) & (x < low + 1)
        for i in range(len(x)):  # a benchmark may take its time
            here = x[i][inside[i]]
            if not len(here):
                continue
            middles = torch.cat([here.new_tensor([low]), (here[1:] + here[:-1]) / 2,
                                 here.new_tensor([low + 1])])  # fmt: skip
            mass = share[i] if low == 0 else 1 - share[i]
            weights[i][inside[i]] = middles.diff() * mass
    return torch.zeros_like(weights).scatter(1, order, weights)


def errors(found: Weights, target: Weights) -> tuple[Tensor, Tensor]:
    """Relative errors, and squared errors."""
    squared = (found.flat - target.flat).square()
    return squared.sum(1) / target.flat.square().sum(1), squared.mean(1)


def from_the_paper(networks: Population, rows: Rows, args: argparse.Namespace, seed: int) -> dict:
    """Networks over sets of gradients, by name, trained as in the paper; and their seconds."""
    generator = torch.Generator().manual_seed(seed)
    problems = targets(networks, rows, N_TARGET[args.set], generator)
    X = rows.draw(torch.arange(len(networks)), args.gradients, generator)
    return {
        kind: _gradient_sets.faithful(kind, networks, problems, X, args.faithful_epochs, seed)
        for kind in args.faithful
    }


def compared(test: Population, rows: Rows, readers: dict, args, seed: int) -> dict:
    """Errors of all methods on the same draws."""
    generator = torch.Generator().manual_seed(1000 + seed)
    n, results = args.gradients, {}

    def note(name: str, stack: Stack, found: Weights, target: Weights) -> None:
        relative, squared = errors(found, target)
        results.setdefault(name, []).append((relative, squared, len(stack)))

    values = []
    for positions, problem in targets(test, rows, N_TARGET[args.set], generator):
        stack, target, where = problem.stack, problem.target, torch.as_tensor(positions)
        present = stack.present().flat.bool()
        values.append(target.flat[present])
        X = rows.draw(where, n, generator)
        with torch.no_grad():
            for method in CLOSED_FORMS:
                note(method, stack, CurvatureReader(method, n).read(stack, X), target)
            for name, reader in readers.items():
                note(name, stack, reader.read(stack, X), target)
            for times in (2, 4):
                more = FisherSamples.of(stack, rows.draw(where, times * n, generator)).diagonal()
                note(f"{times} times the samples", stack, more, target)
            if rows.shares is not None:
                weights = quadrature(X)
                found = FisherSamples.of(stack, X).diagonal(weights)
                note("quadrature", stack, found, target)
        [(_, other)] = targets(test[positions], rows, N_TARGET[args.set], generator)
        note("noise", stack, other.target, target)
    variance = torch.cat(values).var()
    return {
        name: {
            "relative": torch.cat([r for r, _, _ in parts]).mean().item(),
            "median": torch.cat([r for r, _, _ in parts]).median().item(),
            "standardised": (torch.cat([s for _, s, _ in parts]).mean() / variance).item(),
        }
        for name, parts in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="siren", choices=list(N_TARGET))
    parser.add_argument("--networks", type=int, default=512)
    parser.add_argument("--gradients", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--faithful", nargs="*", default=[], choices=list(_gradient_sets.KINDS))
    parser.add_argument("--faithful-epochs", type=int, default=100)
    parser.add_argument("--data-home")
    parser.add_argument("--csv")
    args = parser.parse_args()
    args.gradients = args.gradients or (128 if args.set == "siren" else 32)
    frames = []
    for seed in range(args.seeds):
        if args.set == "siren":
            networks, rows = sirens(args.networks, seed)
            test, of_test = sirens(500, 10_000 + seed)
        else:
            known, unseen = ((16, 32), (24, 64)) if args.set == "adult" else ((16, 32), (24, 48))
            networks, rows = trained(args.set, args.networks, seed, known, args.data_home)
            test, of_test = trained(args.set, 60, 100 + seed, unseen, args.data_home)
        trained_ones = {"sample-weights": learned(networks, rows, args, seed)}
        trained_ones |= from_the_paper(networks, rows, args, seed) if args.faithful else {}
        readers = {name: reader for name, (reader, _) in trained_ones.items()}
        table = compared(test, of_test, readers, args, seed)
        frame = pd.DataFrame(table).T.assign(set=args.set, seed=seed, gradients=args.gradients)
        for name, (_, seconds) in trained_ones.items():
            frame.loc[name, "CPU s"] = seconds
        frames.append(frame.rename_axis("method").reset_index())
        print(frame.round(4).to_string(), flush=True)
    whole = pd.concat(frames)
    means = whole.groupby("method")[["relative", "median", "standardised"]].mean()
    print(means.sort_values("relative").round(4).to_string())
    print("of the standard estimator:")
    print((means / means.loc["standard"]).sort_values("relative").round(3).to_string())
    if args.csv:
        whole.to_csv(args.csv, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
