"""Meta-train the optimizer that comes with the package: ``from_pretrained("tabular-mlp")``.

    python benchmarks/pretrain_optimizer.py --out tabular-mlp.safetensors  # 7 CPU minutes

On generated tables only: labels of random perceptrons, of linear functions, of clusters
(``make_classification``), with noise; 16,000 to 50,000 rows, 4 to 60 columns, 2 to 5 classes;
networks of 1 to 3 hidden layers of 8 to 96 neurons, with relu, tanh, gelu or silu, some with
normalisation. Every table is standardised. A training is 500 steps of 128 rows, 1 to 4 passes. It
goes on where it was interrupted (``--cache-dir``).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _common  # noqa: F401  (sets one thread)
import numpy as np
from sklearn.datasets import make_classification

from skmeta import GradientMetaOptimizer, Population, Task
from skmeta.networks import Activate, Architecture, Linear, Norm, Stage


def table(rng: np.random.Generator) -> Task:
    """Draw a table."""
    n_rows = int(10 ** rng.uniform(4.2, 4.7))
    n_columns, n_classes = int(rng.integers(4, 61)), int(rng.choice([2, 2, 2, 3, 4, 5]))
    kind = rng.choice(["perceptron", "linear", "clusters"])
    if kind == "clusters":
        n_informative = max(n_columns // 2, 3)
        X, y = make_classification(
            n_rows,
            n_columns,
            n_informative=n_informative,
            n_classes=n_classes,
            n_clusters_per_class=int(rng.integers(1, 3)) if n_informative > 4 else 1,
            class_sep=rng.uniform(0.5, 1.5),
            flip_y=rng.uniform(0, 0.2),
            random_state=int(rng.integers(2**31)),
        )
    else:
        X = rng.standard_normal((n_rows, n_columns))
        some = rng.random(n_columns) < 0.3
        X[:, some] = X[:, some] > rng.normal(size=some.sum())
        h = X
        if kind == "perceptron":
            width = int(rng.integers(4, 20))
            h = np.tanh(X @ rng.standard_normal((n_columns, width)) * 1.5 / n_columns**0.5)
        logits = h @ rng.standard_normal((h.shape[1], n_classes)) / h.shape[1] ** 0.5
        logits = logits * rng.uniform(4, 12) + rng.normal(size=n_classes)
        y = (logits + rng.gumbel(size=logits.shape)).argmax(1)
        y[:n_classes] = np.arange(n_classes)
    std = X.std(0)
    return Task((X - X.mean(0)) / np.where(std > 0, std, 1), y)


def architecture(task: Task, rng: np.random.Generator) -> Architecture:
    """Draw networks for a table."""
    activation = str(rng.choice(["relu", "relu", "tanh", "gelu", "silu"]))
    norm = rng.choice([None, None, None, "batch", "layer"])
    tail = [*([] if norm is None else [Norm(str(norm))]), Activate(activation)]
    widths = (int(2 ** rng.uniform(3, 6.6)) for _ in range(rng.integers(1, 4)))
    stages = [Stage(Linear(width), *tail) for width in widths]
    return Architecture(task.n_features, (*stages, Stage(Linear(task.n_classes))))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rule", default="kfac")
    parser.add_argument("--tables", type=int, default=16)
    parser.add_argument("--horizon", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    rng, start = np.random.default_rng(args.seed), time.process_time()
    tables: dict[tuple[int, int], Task] = {}
    while len(tables) < args.tables:  # networks find their tables by these sizes
        one = table(rng)
        tables.setdefault((one.n_features, one.n_classes), one)
    architectures = [architecture(task, rng) for task in tables.values() for _ in range(4)]
    networks = Population.initialize(architectures, random_state=args.seed)
    model = GradientMetaOptimizer(
        args.rule,
        horizon=args.horizon,
        n_meta_steps=args.rounds,
        n_candidates=12,
        n_parallel=2,
        cache_dir=args.cache_dir,
        verbose=1,
        random_state=args.seed,
    )
    model.fit(networks, task=list(tables.values()))
    print(model.history_.to_string(), model.scores_, model.recipe_, sep="\n")
    print(f"{time.process_time() - start:.0f} CPU s")
    model.save(args.out)


if __name__ == "__main__":
    main()
