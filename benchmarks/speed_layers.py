"""Speed and memory of NF-layers against the ``nfn`` package: one thread, CPU time, medians.

    python benchmarks/speed_layers.py

Prints forward + backward at batch 32 of one layer of ours and of ``nfn`` (0.1.2, with einops),
in turns, and ours as a share of this machine's matmul rate on the FLOPs that the layer needs;
then what each adds to the peak memory of a process of its own. The networks are SIRENs
2-32-32-3 with 128 channels and small CNNs (three 3x3 convolutions of 16 channels and a linear
layer) with 16 channels. Without ``nfn`` ours is timed alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from _common import interleaved, matmul, print_table

from skmeta.metanets import NFLayer
from skmeta.training import keep_freed_memory

CASES = {
    "SIREN, 128 channels": ((2, 32, 32, 3), [()] * 3, 128),
    "small CNN, 16 channels": ((1, 16, 16, 16, 10), [(3, 3)] * 3 + [()], 16),
}
BATCH = 32


def have_nfn() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("nfn", "einops"))


def draw(case: str, requires_grad: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    sizes, kernels, c = CASES[case]
    weights, biases = [], []
    for n_in, n_out, kernel in zip(sizes, sizes[1:], kernels, strict=False):
        weights.append(torch.randn(BATCH, c, n_out, n_in, *kernel, requires_grad=requires_grad))
        biases.append(torch.randn(BATCH, c, n_out, requires_grad=requires_grad))
    return weights, biases


def ours(case: str, symmetry: str) -> Callable[[], None]:
    sizes, kernels, c = CASES[case]
    layer = NFLayer(sizes, c, c, symmetry, kernels=kernels)
    weights, biases = draw(case, True)
    gradients = [t for ts in draw(case, False) for t in ts]
    leaves = [*weights, *biases, *layer.parameters()]

    def run() -> None:
        out = layer(weights, biases)
        torch.autograd.backward([*out[0], *out[1]], gradients)
        for leaf in leaves:
            leaf.grad = None

    return run


def theirs(case: str, symmetry: str) -> Callable[[], None]:
    from nfn.common import WeightSpaceFeatures, network_spec_from_wsfeat
    from nfn.layers import HNPLinear, NPLinear

    _, _, c = CASES[case]
    features = WeightSpaceFeatures(*draw(case, True))
    layer = {"np": NPLinear, "hnp": HNPLinear}[symmetry](network_spec_from_wsfeat(features), c, c)
    gradients = [t for ts in draw(case, False) for t in ts]
    leaves = [*features.weights, *features.biases, *layer.parameters()]

    def run() -> None:
        out = layer(features)
        torch.autograd.backward([*out.weights, *out.biases], gradients)
        for leaf in leaves:
            leaf.grad = None

    return run


CONTESTANTS = {"ours": ours, "nfn": theirs}


def needed_flops(case: str, symmetry: str) -> float:
    """FLOPs of the products of forward and backward (three times forward).

    Every weight's own map, and the maps of what is known about each neuron and of the means.
    """
    sizes, kernels, c = CASES[case]
    layer = NFLayer(sizes, c, c, symmetry, kernels=kernels).map
    layout = layer.layout
    products = sum(
        layer.products[str(t)].numel() * sizes[states[0]] * sizes[states[1]]
        for t, states in enumerate(layout.states)
        if len(states) == 2
    )
    neurons = sum(m.weight.numel() * sizes[int(s)] for s, m in layer.from_state.items())
    return 3 * 2.0 * BATCH * (products + neurons + layer.from_all.weight.numel())


def peak_megabytes() -> float:
    # Unlike getrusage, this does not count what the parent of a process had.
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(line.split()[1]) / 1024


def memory_of(who: str, case: str, symmetry: str) -> None:
    """Print what a few steps add to the peak memory of this process."""
    run = CONTESTANTS[who](case, symmetry)
    before = peak_megabytes()
    for _ in range(3):
        run()
    print(peak_megabytes() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory-of", nargs=3, metavar=("WHO", "CASE", "SYMMETRY"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.memory_of:
        memory_of(*arguments.memory_of)
        return
    keep_freed_memory()
    who = ["ours", "nfn"] if have_nfn() else ["ours"]
    if len(who) == 1:
        print("nfn is not here (pip install --no-deps nfn==0.1.2 einops): ours is timed alone.")
    rows = []
    multiply, flops = matmul()
    for case in CASES:
        for symmetry in ("np", "hnp"):
            contestants = {name: CONTESTANTS[name](case, symmetry) for name in who}
            seconds = interleaved({**contestants, "matmul": multiply}, rounds=arguments.rounds)
            ideal = needed_flops(case, symmetry) / flops * seconds["matmul"]
            ratio = seconds.get("nfn", float("nan")) / seconds["ours"]
            megabytes = [float(_memory_apart(name, case, symmetry)) for name in who]
            rows.append(
                (
                    f"{case}, {symmetry}",
                    1e3 * seconds["ours"],
                    1e3 * seconds.get("nfn", float("nan")),
                    ratio,
                    ideal / seconds["ours"],
                    megabytes[0],
                    megabytes[1] if len(who) > 1 else float("nan"),
                )
            )
    print_table(
        f"forward + backward of one layer, batch {BATCH}",
        ("networks, layer", "ms", "nfn ms", "nfn/ours", "matmul share", "MB", "nfn MB"),
        rows,
    )


def _memory_apart(who: str, case: str, symmetry: str) -> str:
    command = [sys.executable, __file__, "--memory-of", who, case, symmetry]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
