"""How fast is a zoo trained? Against scikit-learn, skorch and plain torch loops.

    python benchmarks/speed_zoo.py            # under a minute
    python benchmarks/speed_zoo.py --full     # also 500 runs x 10 epochs on Adult

All contestants take the same number of steps with Adam, batch 128, on float32 rows, one
thread, in turns. A model-step is one gradient step of one network.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import skorch
import torch
from _common import interleaved, matmul, print_table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta.datasets import CrossEntropy, fetch_adult, split_tasks
from skmeta.networks import Architecture
from skmeta.networks.initialization import initial_records
from skmeta.population import Stack
from skmeta.training import ShuffledRows, StackTrainer
from skmeta.zoo import MLPSearchSpace, make_zoo
from skmeta.zoo.grouping import group_size, plan_groups
from skmeta.zoo.search_space import Run

BATCH, WIDTHS = 128, (14, 64, 64, 2)
PLAIN = Architecture.mlp(WIDTHS)
IMAGE = (1, 16, 16)
SMALL_CNN = Architecture.cnn(IMAGE, (16, 16, 16), 10, stride=2)


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, WIDTHS[0])).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(np.int64)


def plain_module() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(14, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )


class Stacked:
    """One step of a group of networks, as the zoo takes it."""

    def __init__(self, architectures, X, y, *, batch_size=BATCH, n_steps=8):
        n = len(architectures)
        records = initial_records(architectures, seeds=range(n))
        stack = Stack.merge([Stack.from_records([record]) for record in records])
        self.trainer = StackTrainer(
            stack, lr=torch.full((n,), 1e-3), weight_decay=torch.full((n,), 1e-4), seeds=range(n)
        )
        self.X, self.loss = torch.from_numpy(X), CrossEntropy(torch.from_numpy(y))
        self.sampler, self.n_steps = ShuffledRows(len(X), batch_size), n_steps
        self.batches, self.state = iter(()), self.trainer.start()

    def __call__(self):
        for _ in range(self.n_steps):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = self.sampler.epoch(self.state.generators)
                batch = next(self.batches)
            self.state, _ = self.trainer.step(self.state, self.X, batch, self.loss)


def sklearn_fit(X, y):
    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            MLPClassifier(WIDTHS[1:-1], batch_size=BATCH, max_iter=1, random_state=0).fit(X, y)

    return run


def skorch_fit(X, y):
    def run():
        skorch.NeuralNetClassifier(
            plain_module(),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=1e-3,
            batch_size=BATCH,
            max_epochs=1,
            train_split=None,
            verbose=0,
        ).fit(X, y)

    return run


def small_cnn_module() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(16, 10),
    )


def torch_loop(X, y, make=plain_module, *, batch_size=BATCH, fused=False):
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def run():
        module = make()
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=fused)
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
            optimizer.step()

    return run


def flops(architecture: Architecture, batch_size: int) -> float:
    """Needed by the matrix products of one model-step: forwards, weights', inputs' gradients."""
    products = [a * b for a, b in zip(architecture.widths, architecture.widths[1:], strict=False)]
    return 2.0 * batch_size * (3 * sum(products) - products[0])


def against_peers(rounds: int) -> None:
    n_steps, sizes = 64, (16, 32, 64)
    X, y = rows(BATCH * n_steps)
    product, product_flops = matmul()
    contestants = {
        "sklearn MLPClassifier": sklearn_fit(X, y),
        "sklearn on float64 rows": sklearn_fit(X.astype(np.float64), y),
        "skorch NeuralNetClassifier": skorch_fit(X, y),
        "torch loop": torch_loop(X, y),
        "matmul": product,
    }
    contestants |= {f"skmeta, {n} at once": Stacked([PLAIN] * n, X, y) for n in sizes}
    seconds = interleaved(contestants, rounds=rounds)
    rate = product_flops / seconds.pop("matmul")
    steps = {name: n_steps / value for name, value in seconds.items()}
    for n in sizes:
        name = f"skmeta, {n} at once"
        steps[name] = n * contestants[name].n_steps / seconds[name]
    peers = [name for name in steps if not name.startswith("skmeta")]
    print_table(
        f"14-64-64-2, Adam, batch {BATCH}; matrix products run at {rate / 1e9:.0f} GFLOP/s here",
        ("", "model-steps/s", "of matmul", "x sklearn", "x float64", "x skorch", "x torch"),
        [
            (name, value, flops(PLAIN, BATCH) * value / rate, *(value / steps[p] for p in peers))
            for name, value in steps.items()
        ],
    )


def convolutional(rounds: int) -> None:
    """Compare small CNNs, in groups as the zoo makes them, with torch loops over modules."""
    n_steps, lines = 16, []
    rng = np.random.default_rng(0)
    for batch_size in (32, 64, 128):
        X = rng.normal(size=(batch_size * n_steps, *IMAGE)).astype(np.float32)
        y = rng.integers(10, size=len(X))
        n = group_size(Run(SMALL_CNN, batch_size, 1e-3, 1e-4, 0))
        stacked = Stacked(
            [SMALL_CNN] * n, X.reshape(len(X), -1), y, batch_size=batch_size, n_steps=1
        )
        seconds = interleaved(
            {
                "torch": torch_loop(X, y, small_cnn_module, batch_size=batch_size),
                "fused": torch_loop(X, y, small_cnn_module, batch_size=batch_size, fused=True),
                "skmeta": stacked,
            },
            rounds=rounds,
        )
        rates = [n_steps / seconds["torch"], n_steps / seconds["fused"], n / seconds["skmeta"]]
        lines.append((f"{batch_size}", n, *rates, rates[2] / rates[0], rates[2] / rates[1]))
    print_table(
        "Small CNNs (4970 parameters, 3 x 16 channels) on grey 16 x 16 images, Adam; model-steps/s",
        ("batch", "at once", "torch loop", "fused Adam", "skmeta", "x torch", "x fused"),
        lines,
    )


def mixed(rounds: int, n_runs: int) -> None:
    """Compare zoos of many architectures with zoos of one, per true weight and row."""
    X, y = rows(256 * 24)
    spaces = {
        "plain relu, mixed widths and depths": MLPSearchSpace(
            dropout=(0.0,), norms=("none",), n_skips=(0,), activations=("relu",), batch_sizes=(128,)
        ),
        "full space, batch 128": MLPSearchSpace(batch_sizes=(128,)),
        "full space, sampled batch sizes": MLPSearchSpace(),
    }
    contestants: dict[str, Group] = {"14-64-64-2, batch 128": Group([[PLAIN] * 64], [128], X, y)}
    for name, space in spaces.items():
        runs = [space.sample(14, 2, np.random.default_rng(i)) for i in range(n_runs)]
        groups = [[runs[i] for i in group] for group in plan_groups(runs)]
        contestants[name] = Group(
            [[r.architecture for r in g] for g in groups], [g[0].batch_size for g in groups], X, y
        )
        # What the same kinds of networks cost in homogeneous zoos of 32 each.
        kinds = runs[:: max(n_runs // 40, 1)]
        contestants[f"{name}: apart"] = Group(
            [[r.architecture] * 32 for r in kinds], [r.batch_size for r in kinds], X, y
        )
    seconds = interleaved(contestants, rounds=rounds)
    cost = {name: seconds[name] / group.n_weights for name, group in contestants.items()}
    plain = cost["14-64-64-2, batch 128"]
    print_table(
        f"CPU time of {n_runs} runs that differ, per true weight; against homogeneous zoos",
        ("", "groups", "x 14-64-64-2 relu", "x the same kinds, homogeneous"),
        [
            (name, len(group.parts), cost[name] / plain, cost[name] / cost[f"{name}: apart"])
            for name, group in contestants.items()
            if f"{name}: apart" in cost
        ],
    )


class Group:
    """Some stacks that each take steps over 768 rows."""

    def __init__(self, stacks, batch_sizes, X, y):
        self.parts = [
            Stacked(architectures, X, y, batch_size=size, n_steps=768 // size)
            for architectures, size in zip(stacks, batch_sizes, strict=True)
        ]
        self.n_weights = sum(a.n_parameters for architectures in stacks for a in architectures)

    def __call__(self):
        for part in self.parts:
            part()


def full(data_home: str | None) -> None:
    train, *_ = split_tasks(fetch_adult(data_home=data_home), sensitive="sex")
    start = time.process_time()
    zoo = make_zoo(train, 500, epochs=10, random_state=0, n_jobs=1)
    seconds = time.process_time() - start
    last = zoo.metadata[zoo.metadata["epoch"] == 10]
    print(
        f"\n500 runs x 10 epochs on {train.n_samples} rows of Adult: {seconds / 60:.1f} CPU-minutes"
        f", validation accuracy {last['validation_accuracy'].median():.3f} (median), "
        f"{int(last['diverged'].sum())} diverged"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=200, help="runs of the mixed zoos")
    parser.add_argument("--full", action="store_true", help="500 x 10 epochs on Adult as well")
    parser.add_argument("--data-home", help="folder of the UCI files ($SKMETA_DATA_HOME)")
    arguments = parser.parse_args()
    against_peers(arguments.rounds)
    convolutional(arguments.rounds)
    mixed(max(arguments.rounds // 2, 1), arguments.runs)
    if arguments.full:
        full(arguments.data_home)


if __name__ == "__main__":
    main()
