"""Which trunk edits best on Adult for equal seconds of training.

    python benchmarks/edit_trunks.py        # under 5 minutes on one core

The zoo are plain ReLU networks of two depths, which all trunks take. Every trunk is trained for
as many epochs as fit into ``--seconds``, by the CPU seconds of one; held-out networks, test rows.
"""

from __future__ import annotations

import argparse
import math
import time

import _common  # noqa: F401  (sets one thread)
import pandas as pd

from skmeta import ComplianceEditor, make_zoo
from skmeta.datasets import fetch_adult, split_tasks
from skmeta.editing import measure_edits
from skmeta.population import run_networks
from skmeta.zoo import MLPSearchSpace

# States on every weight cost more than states on neurons.
CHANNELS = {"neuron": 64, "graph": 32, "nfn-hnp": 8, "nfn-np": 24}
CHANNELS |= {"nfn-pointwise": 24, "monomial": 16}


def cpu_seconds(editor: ComplianceEditor, zoo, task) -> float:
    """Return the CPU seconds of a fit without what follows it."""
    start = time.process_time()
    editor.fit(zoo, task=task)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=25.0, help="of training, per trunk")
    parser.add_argument("--runs", type=int, default=48)
    parser.add_argument("--held-out", type=int, default=24)
    parser.add_argument("--lam", type=float, default=0.1)
    parser.add_argument("--data-home")
    args = parser.parse_args()
    train, reference, test = split_tasks(fetch_adult(data_home=args.data_home), "sex")
    space = MLPSearchSpace(
        n_hidden_layers=(1, 2),
        hidden_widths=(16, 32),
        norms=("none",),
        n_skips=(0,),
        activations=("relu",),
    )
    n = args.runs + args.held_out
    zoo = make_zoo(
        train, n, search_space=space, epochs=4, n_checkpoints=1, random_state=0, progress=False
    )
    known, held_out = zoo[: args.runs], zoo[args.runs :]
    before = run_networks(held_out, test)
    rows = []
    for trunk, channels in CHANNELS.items():
        options = {"metanet": trunk, "hidden_channels": channels, "lam": args.lam}
        options["random_state"] = 0
        # The first fit warms up; one epoch more costs what all of them cost.
        _, short, longer = (
            cpu_seconds(ComplianceEditor(max_epochs=epochs, **options), known, reference)
            for epochs in (1, 1, 5)
        )
        per_epoch = max(longer - short, 0.04) / 4
        n_epochs = max(1, math.floor(args.seconds / per_epoch))
        editor = ComplianceEditor(max_epochs=n_epochs, **options)
        seconds = cpu_seconds(editor, known, reference)
        frame = measure_edits(before, run_networks(editor.transform(held_out), test), test)
        objective = frame["divergence"] + args.lam * frame["measure"]
        n_parameters = sum(p.numel() for p in editor.metanet_.parameters())
        rows.append(
            {
                "trunk": trunk,
                "channels": channels,
                "parameters": n_parameters,
                "epochs": n_epochs,
                "seconds": seconds,
                "JSD": frame["divergence"].mean(),
                "EOD": frame["measure"].mean(),
                "objective": objective.mean(),
                "edit, ms": 1e3 * editor.cost_["edit_seconds"],
            }
        )
        print(pd.DataFrame(rows[-1:]).to_string(index=False, float_format="%.4f"), flush=True)
    same = measure_edits(before, before, test)
    print(f"without an edit: EOD {same['measure'].mean():.4f}")
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.4f"))


if __name__ == "__main__":
    main()
