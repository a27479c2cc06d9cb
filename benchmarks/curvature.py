"""Curvature from a few gradients, against means, closed forms, rivals and more samples.

    python benchmarks/curvature.py --networks 512 --epochs 40                # 2 CPU minutes
    python benchmarks/curvature.py --set adult --gradients 32 --learned sample-weights gradmetanet
    python benchmarks/curvature.py --set mnist --gradients 32
    python benchmarks/curvature.py --rivals gradmetanet dws+average          # 8 CPU minutes
    python benchmarks/curvature.py --seeds 0 1 2 3 4 --csv docs/measured/curvature.csv

"siren": networks 1-32-32-1 with sines and Gaussian weights, whose rows are uniform on [-1, 0] and
on [0, 1] with a probability of each network's own; 128 of 1,024 rows (paper on learning on
gradients, sections 7.1 and F.1). "adult", "mnist" (8 x 8 pixels): trained perceptrons, tested on
widths that training has not seen, 32 of 4,096 rows.

Errors are the mean over test networks of the squared error over the target's squares, and, as
in the paper, of targets standardised as a whole. "quadrature" knows that the rows of "siren"
are uniform on each half; "noise" is the target on as many other rows; "as long" is the
standard estimator on as many rows as take it as long as the first learned method takes. "kfac"
and "ekfac" are those of curvlinops, which is run as well, network by network, where it is
installed. "ms" is what a network takes.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

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
from skmeta.networks import Architecture, to_module
from skmeta.networks.modules import tensor_names
from skmeta.population import Stack, Weights
from skmeta.reading import CurvatureReader
from skmeta.reading.curvature import (
    CLOSED_FORMS,
    LEARNED,
    CurvatureLoss,
    CurvatureProblem,
    model_for,
)
from skmeta.zoo import MLPSearchSpace

SIREN = Architecture.mlp((1, 32, 32, 1), activation="sin", output="values")
COLUMNS = [
    "method", "relative", "median", "standardised", "ms", "set", "seed", "networks", "gradients",
    "CPU s", "parameters",
]  # fmt: skip
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


def learned(
    method: str, networks: Population, rows: Rows, args: argparse.Namespace, seed: int
) -> tuple:
    """A reader trained on draws of rows, and its seconds."""
    started = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    with local_draws(seed):
        model = model_for(method, 32 if method == "sample-weights" else 16, 2)
    reader = CurvatureReader(method, args.gradients, model)
    problems = targets(networks, rows, N_TARGET[args.set], generator)
    loss = OnDraws(reader, problems, torch.empty(0), generator)
    loss.rows = rows
    settings = TrainingSettings(
        "benchmark", None, args.epochs, args.lr, 32, None, 0, torch.device("cpu")
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


def rivals(networks: Population, rows: Rows, args: argparse.Namespace, seed: int) -> dict:
    """Networks of section F.1 by name, trained as there, and their seconds; of "siren" only."""

    def problem(networks: Population, rows: Rows, seed: int) -> tuple:
        generator = torch.Generator().manual_seed(seed)
        [(_, found)] = targets(networks, rows, N_TARGET["siren"], generator)
        return found, rows.draw(torch.arange(len(networks)), args.gradients, generator)

    mine, X = problem(networks, rows, seed)
    validation = problem(*sirens(100, 20_000 + seed), seed)
    return {
        f"{kind} (F.1)": _gradient_sets.trained(kind, mine, X, validation, args.rival_epochs, seed)
        for kind in args.rivals
    }


def beside_curvlinops(stack: Stack, X: Tensor) -> None:
    """Print milliseconds a network, and how far ours is from the diagonals of curvlinops."""
    try:
        from curvlinops import EKFACLinearOperator, KFACLinearOperator
    except ImportError:
        print("curvlinops is not installed")
        return
    values = stack.architectures[0].output == "values"
    loss = torch.nn.MSELoss() if values else torch.nn.CrossEntropyLoss()
    y = torch.zeros(X.shape[1], 1) if values else torch.zeros(X.shape[1], dtype=torch.long)
    # Of the mean of squared errors the second derivative is 2.
    factor = 2 if values else 1
    for kind, operator in (("kfac", KFACLinearOperator), ("ekfac", EKFACLinearOperator)):
        ours, apart, seconds = CurvatureReader(kind, X.shape[1]).read(stack, X), 0.0, 0.0
        for i, record in enumerate(stack.records()):
            module = to_module(record).eval()
            names = {name: slot for slot, name in tensor_names(record.architecture).items()}
            parameters = dict(module.named_parameters())
            started = time.process_time()
            matrix = operator(
                module, loss, list(parameters.values()), [(X[i], y)],
                fisher_type="type-2", check_deterministic=False,
            )  # fmt: skip
            sizes = [p.numel() for p in parameters.values()]
            diagonal = (matrix @ torch.eye(sum(sizes))).diagonal() / factor
            seconds += time.process_time() - started
            for (name, p), theirs in zip(parameters.items(), diagonal.split(sizes), strict=True):
                mine = ours[names[name]][i][tuple(slice(n) for n in p.shape)]
                distance = (mine - theirs.view_as(mine)).norm() / theirs.norm()
                apart = max(apart, distance.item())
        print(f"curvlinops {kind}: {1000 * seconds / len(stack):.2f} ms, ours is {apart:.1e} off")


Method = Callable[[Stack, Tensor], Weights]


def compared(test: Population, rows: Rows, readers: dict, args, seed: int) -> dict:
    """Errors of all methods on the same draws, and milliseconds."""
    generator = torch.Generator().manual_seed(1000 + seed)
    n, results, values = args.gradients, {}, []
    methods: dict[str, Method] = {name: CurvatureReader(name, n).read for name in CLOSED_FORMS} | {
        name: reader.read for name, reader in readers.items()
    }
    if rows.shares is not None:
        methods["quadrature"] = lambda s, X: FisherSamples.of(s, X).diagonal(quadrature(X))

    def run(name: str, find: Method, stack: Stack, X: Tensor, target: Weights) -> float:
        started = time.process_time()
        parts = torch.arange(len(stack)).split(32)
        found = torch.cat([find(stack.select(part), X[part]).flat for part in parts])
        milliseconds = 1000 * (time.process_time() - started) / len(stack)
        note(name, found, target, milliseconds)
        return milliseconds

    def note(name: str, found: Tensor, target: Weights, milliseconds: float) -> None:
        squared = (found - target.flat).square()
        relative = squared.sum(1) / target.flat.square().sum(1)
        times = torch.full_like(relative, milliseconds)
        results.setdefault(name, []).append((relative, squared.mean(1), times))

    standard = CurvatureReader("standard", n).read
    for positions, problem in targets(test, rows, N_TARGET[args.set], generator):
        stack, target, where = problem.stack, problem.target, torch.as_tensor(positions)
        values.append(target.flat[stack.present().flat.bool()])
        X = rows.draw(where, n, generator)
        with torch.no_grad():
            standard(stack, X)  # the first pass takes longer
            took = {name: run(name, find, stack, X, target) for name, find in methods.items()}
            counts = {f"{times} times the samples": times * n for times in (2, 4)}
            [first, *_] = args.learned
            for name, count in counts.items():
                run(name, standard, stack, rows.draw(where, count, generator), target)
            # From a stream of its own: how many there are is a matter of time.
            count = round(n * took[first] / took["standard"])
            X = rows.draw(where, count, torch.Generator().manual_seed(count))
            run("as long", standard, stack, X, target)
        [(_, other)] = targets(test[positions], rows, N_TARGET[args.set], generator)
        note("noise", other.target.flat, target, float("nan"))
    if args.curvlinops:
        beside_curvlinops(stack.select(torch.arange(5)), rows.draw(where[:5], n, generator))
    variance = torch.cat(values).var()
    table = {}
    for name, parts in results.items():
        relative, squared, times = (torch.cat(each) for each in zip(*parts, strict=True))
        table[name] = {
            "relative": relative.mean().item(),
            "median": relative.median().item(),
            "standardised": (squared.mean() / variance).item(),
            "ms": times.mean().item(),
        }
    return table


def measured(args: argparse.Namespace, n: int, seed: int) -> pd.DataFrame:
    """Everything on one size of training, with one seed."""
    if args.set == "siren":
        networks, rows = sirens(n, seed)
        test, of_test = sirens(500, 10_000 + seed)
    else:
        known, unseen = ((16, 32), (24, 64)) if args.set == "adult" else ((16, 32), (24, 48))
        networks, rows = trained(args.set, n, seed, known, args.data_home)
        test, of_test = trained(args.set, 60, 100 + seed, unseen, args.data_home)
    found = {method: learned(method, networks, rows, args, seed) for method in args.learned}
    found |= rivals(networks, rows, args, seed) if args.rivals else {}
    readers = {name: reader for name, (reader, *_) in found.items()}
    table = compared(test, of_test, readers, args, seed)
    frame = pd.DataFrame(table).T.assign(
        set=args.set, seed=seed, networks=n, gradients=args.gradients
    )
    for name, (_, seconds, *others) in found.items():
        frame.loc[name, "CPU s"] = seconds
        if others:
            frame.loc[name, "parameters"] = others[0]
    return frame.rename_axis("method").reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="siren", choices=list(N_TARGET))
    parser.add_argument("--networks", type=int, nargs="+", default=[512])
    parser.add_argument("--gradients", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--learned", nargs="+", default=["sample-weights"], choices=LEARNED)
    parser.add_argument("--rivals", nargs="*", default=[], choices=_gradient_sets.KINDS)
    parser.add_argument("--rival-epochs", type=int, default=100)
    parser.add_argument("--curvlinops", action="store_true")
    parser.add_argument("--data-home")
    parser.add_argument("--csv", help="is added to")
    args = parser.parse_args()
    if args.rivals and args.set != "siren":
        parser.error("--rivals are for networks of one architecture: --set siren")
    args.gradients = args.gradients or (128 if args.set == "siren" else 32)
    frames = []
    for n, seed in itertools.product(args.networks, args.seeds):
        frame = measured(args, n, seed)
        frames.append(frame)
        print(frame.round(4).to_string(), flush=True)
        if args.csv:
            header = not Path(args.csv).exists()
            frame.reindex(columns=COLUMNS).to_csv(
                args.csv, mode="a", header=header, index=False, float_format="%.5g"
            )
    errors = pd.concat(frames).groupby(["networks", "method"])[["relative", "median"]].mean()
    print(errors.sort_values(["networks", "relative"]).round(4).to_string())


if __name__ == "__main__":
    main()
