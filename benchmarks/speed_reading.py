"""What it costs to read networks of users, and what share of it the self-check of the adapters has.

CPU microseconds per network, one thread, the median of five rounds. The check runs inside the
reading; its time is taken where it starts and ends.

    python benchmarks/speed_reading.py --networks 1000
"""

import argparse
import gc
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import Population
from skmeta.population import taking

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 14)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
spent = 0.0


def sequential() -> nn.Module:
    return nn.Sequential(
        nn.Linear(14, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def perceptron() -> MLPClassifier:
    return MLPClassifier((32, 32), max_iter=1).fit(X, Y)


def pipeline() -> object:
    return make_pipeline(StandardScaler(), MLPClassifier((32, 32), max_iter=1)).fit(X, Y)


def net() -> NeuralNetClassifier:
    return NeuralNetClassifier(
        sequential(), max_epochs=1, criterion=nn.CrossEntropyLoss, verbose=0, train_split=None
    ).fit(X, Y)


KINDS = {
    "nn.Sequential": sequential,
    "nn.Sequential, convolutions": convolutional,
    "MLPClassifier": perceptron,
    "Pipeline(StandardScaler, MLPClassifier)": pipeline,
    "NeuralNetClassifier (skorch)": net,
}


def timed(function: Callable) -> Callable:
    def run(*args: object, **options: object) -> object:
        global spent
        start = time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent += time.process_time() - start

    return run


def measure(networks: list, rounds: int = 6) -> tuple[float, float]:
    """Return CPU seconds of reading without the check, and of the check."""
    global spent
    both = []
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        spent, start = 0.0, time.process_time()
        Population(networks)
        total = time.process_time() - start
        gc.enable()
        both.append((total - spent, spent))
    reading, check = np.median(both[1:], axis=0)  # the first round imports
    return reading, check


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=200)
    n = parser.parse_args().networks
    warnings.simplefilter("ignore")
    taking._ask = timed(taking._ask)
    taking.checking.differences = timed(taking.checking.differences)
    rows = []
    for name, make in KINDS.items():
        reading, check = (1e6 * seconds / n for seconds in measure([make() for _ in range(n)]))
        rows.append((name, reading, check, 100 * check / reading))
    table = pd.DataFrame(rows, columns=["network", "reading, us", "check, us", "check, %"])
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
