"""Speed and memory of the metanetworks: one thread, CPU time, medians.

    python benchmarks/speed_metanet.py

Prints forward + backward of the graph metanetwork (hidden 64, 5 layers) on 32 networks
14-64-64-2 as a share of this machine's matmul rate on the FLOPs that are needed, its peak
memory, and the milliseconds per edit of an editor with each kind of features, alone and in
a batch of 256.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch
from _common import interleaved, matmul, print_table

from skmeta import ComplianceEditor, Population, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.editing.features import FEATURES
from skmeta.metanets import Metanet, WeightGraph
from skmeta.networks import Architecture
from skmeta.training import keep_freed_memory

HIDDEN, ROUNDS, WIDTHS = 64, 5, (14, 64, 64, 2)


def needed_flops(n: int) -> float:
    """FLOPs of the products of forward and backward (three times forward)."""
    n_edges = sum(a * b for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
    per_edge = 2 * HIDDEN**2  # mix and out
    per_node = (1 + 1 + 3 + 1) * HIDDEN**2  # source, target, node, node_out
    return 3 * 2.0 * n * ROUNDS * (n_edges * per_edge + sum(WIDTHS) * per_node)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def graph_speed(rounds: int, n: int = 32) -> None:
    keep_freed_memory()  # as the editor's fit does
    population = Population.initialize(Architecture.mlp(WIDTHS), n, random_state=0)
    ((_, stack),) = population.depth_blocks()
    graph = WeightGraph.of(stack)
    lam = torch.full((n,), 0.1)
    rows = []
    multiply, flops = matmul()
    for name in ("graph", "neuron"):
        torch.manual_seed(0)
        net = Metanet.editor(name, [graph], hidden_channels=HIDDEN, n_layers=ROUNDS)
        before = peak_megabytes()

        def step(net=net) -> None:
            edit = net(graph, lam)
            edit.flat.square().sum().backward()

        seconds = interleaved({"step": step, "matmul": multiply}, rounds=rounds)
        rate = flops / seconds["matmul"]
        share = needed_flops(n) / seconds["step"] / rate if name == "graph" else float("nan")
        growth = peak_megabytes() - before
        rows.append((name, 1e3 * seconds["step"], share, growth))
    print_table(
        f"forward + backward, {n} networks {WIDTHS}, hidden {HIDDEN}, {ROUNDS} layers",
        ("metanetwork", "ms", "share of the matmul rate", "growth of peak memory, MB"),
        rows,
    )


def edit_speed(repeats: int) -> None:
    train, reference, _ = split_tasks(make_biased_classification(6000, random_state=0), "group")
    zoo = make_zoo(train, 32, epochs=1, n_checkpoints=1, progress=False, random_state=0)
    architecture = Architecture.mlp((train.n_features, 64, 64, 2))
    batch = Population.initialize(architecture, 256, random_state=0)
    rows = []
    for features in FEATURES:
        editor = ComplianceEditor(features=features, max_epochs=1, random_state=0)
        editor.fit(zoo, task=reference)
        milliseconds = []
        for networks in (batch[:1], batch):
            editor.transform(networks)
            times = []
            for _ in range(repeats):
                start = time.process_time()
                editor.transform(networks)
                times.append(time.process_time() - start)
            milliseconds.append(1e3 * statistics.median(times) / len(networks))
        rows.append((features, *milliseconds))
    print_table(
        "one edit of a network 10-64-64-2 (neuron metanetwork), milliseconds of CPU time",
        ("features", "alone", "in a batch of 256"),
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    graph_speed(rounds)
    edit_speed(rounds)


if __name__ == "__main__":
    main()
