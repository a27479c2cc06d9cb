"""Read test accuracies off the weights of small convolutional networks trained on CIFAR-10.

    python benchmarks/read_cnn.py
    python benchmarks/read_cnn.py --full
    python benchmarks/read_cnn.py --part predict

Papers 002 (section 3.1, table 2) and 004 (table 1), smaller: a zoo of relu networks on grey
16 x 16 images. Held out are runs, never single checkpoints. Every reader is trained on the
networks as they are and scored on copies of the held-out ones whose neurons were rescaled by
factors from 1 / max_scale to max_scale: the copies compute the same, so that what a score
loses is what a reader does not know of that symmetry. ``--part predict`` scores 10,000 networks
at once and shows the peak memory of the process. Without ``--full`` runs are small and only
show that everything works. The zoo is cached in ``--cache``; tables go to ``--output``.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from _reading import build, labelled_zoo, measure, reading_parser, summary

from skmeta import Population
from skmeta.datasets import fetch_cifar10
from skmeta.zoo import CNNSearchSpace

MAX_SCALES = (1.0, 10.0, 100.0, 1000.0)
# Chosen on validation runs: two layers, but three for the statistics.
METHODS = {
    "nfn-hnp": {"metanet": "nfn-hnp"},
    "nfn-hnp quasi": {"metanet": "nfn-hnp", "quasi": True},
    "nfn-np": {"metanet": "nfn-np"},
    "monomial": {"metanet": "monomial"},
    "monomial quasi": {"metanet": "monomial", "quasi": True},
    "statistics": {"metanet": "statistics", "hidden_channels": 16, "n_layers": 3},
}


def rescaled(networks: Population, max_scale: float) -> Population:
    """Return networks that compute the same."""
    return networks.rescaled(0, max_scale=max_scale)


def predict_many(
    settings: Mapping[str, Mapping[str, Any]], zoo: Population, accuracy: np.ndarray
) -> None:
    """Show what one call of ``predict`` takes, with readers that have seen a few networks."""
    many = zoo[np.arange(10_000) % len(zoo)]
    for name, params in settings.items():
        model = build({**params, "max_epochs": 1}, 0).fit(zoo[:32], accuracy[:32])
        start = time.process_time()
        model.predict(many)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.process_time() - start
        print(f"{name}: {len(many)} networks, {seconds:.1f} CPU seconds, peak so far {peak:.0f} MB")


def main() -> None:
    parser = reading_parser(__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("compare", "predict"), default="compare")
    args = parser.parse_args()
    images = fetch_cifar10(data_home=args.data_home, size=16, grey=True)
    n_runs, epochs, max_epochs = (1200, 8, 20) if args.full else (16, 3, 5)
    shared = {"loss": "bce", "n_layers": 2, "hidden_channels": 8}
    shared |= {"max_epochs": max_epochs, "lr": 3e-3}
    settings = {name: {**shared, **params} for name, params in METHODS.items()}
    # Narrower ranges than the default, so that in eight epochs most runs learn something.
    space = CNNSearchSpace(
        images.image_shape,
        activations=("relu",),
        dropout=(0.0, 0.1, 0.2),
        learning_rate=(1e-3, 3e-2),
        fractions=(0.25, 0.5, 1.0),
    )
    zoo, accuracy = labelled_zoo(images, n_runs, args.cache, search_space=space, epochs=epochs)
    if args.part == "predict":
        chosen = args.methods or settings
        predict_many({name: settings[name] for name in chosen}, zoo, accuracy)
        return
    name = f"read_cnn_{n_runs}{'_validation' * args.validate}"
    copies = {f"scale {s:g}": partial(rescaled, max_scale=s) for s in MAX_SCALES}
    frame = measure(zoo, accuracy, settings, args.output / f"{name}.csv", args, copies)
    table = summary(frame)
    print(table.to_string(float_format="%.3f"), flush=True)
    print(table["tau"].unstack("copy", sort=False).to_string(float_format="%.3f"), flush=True)
    table.to_csv(args.output / f"{name}_summary.csv")


if __name__ == "__main__":
    main()
