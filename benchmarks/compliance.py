"""Fairness, fewer weights, fewer inputs: the editor against its rivals on held-out networks.

    python benchmarks/compliance.py --part fairness --sensitive race --drop-sensitive
    python benchmarks/compliance.py --part pruning --data bank --full
    python benchmarks/compliance.py --part inputs --full --same-mask

Networks that no editor has seen, measured on test rows. Settings on a front are chosen on
validation rows, which train no network and fit no method; nothing is selected on test rows.
Without ``--full`` runs are small and only show that everything works. Zoo and editors are
cached in ``--cache``; tables and pictures go to ``--output``.

fairness: the area that a front dominates below a divergence of .004 nats, by equalized odds
averaged over thresholds. pruning, inputs: divergence (nats, x 1000) at budgets; "closed form"
is the editor without its learned pass, and distillation rivals are run on their own mask and,
with ``--same-mask``, on the editor's. joint: one edit for equalized odds and pruning against
one editor for each. seconds: what each method takes per network, alone and in a batch.
"""

from __future__ import annotations

import argparse

import pandas as pd
from _experiment import Experiment, data_parser
from _fronts import LAMS, REQUIREMENT, draw, measure, methods, summary
from _joint import joint
from _masks import INPUT_BUDGETS, inputs, measure_masks, pruning
from _seconds import seconds

PARTS = ("fairness", "pruning", "inputs", "joint", "seconds")


def arguments() -> argparse.Namespace:
    parser = data_parser(__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the sizes of the docs")
    parser.add_argument("--part", choices=PARTS, default="fairness")
    parser.add_argument("--seeds", type=int, default=1, help="fairness: zoos and editors")
    parser.add_argument("--all-rivals", action="store_true", help="fairness: slow ones, too")
    parser.add_argument("--budgets", type=int, nargs="+", help="inputs: how many are kept")
    parser.add_argument("--held-out", type=int, default=80, help="networks with --full")
    parser.add_argument("--same-mask", action="store_true", help="distil the editor's masks, too")
    return parser.parse_args()


def fairness(args: argparse.Namespace) -> None:
    """Measure fronts, seed by seed; what is measured is kept when a run is cut off."""
    frames = []
    for seed in range(args.seeds):
        experiment = Experiment(args, *((240, 24) if args.full else (24, 6)), seed)
        path = args.output / f"fronts_{experiment.name}_{seed}.csv"
        if not path.exists():
            options = {"max_epochs": 40 if args.full else 3, "lam_range": (min(LAMS), max(LAMS))}
            editor = experiment.editor(REQUIREMENT, seed, **options)
            # Rivals that need the group are shown, but nothing is claimed of them: one seed.
            contestants = methods(editor, slow=args.all_rivals, with_group=seed == 0)
            measure(experiment, contestants).assign(seed=seed).to_csv(path, index=False)
        frames.append(pd.read_csv(path, keep_default_na=False, na_values=[""]))
        frames[-1]["note"] = frames[-1]["note"].fillna("")
        frame = pd.concat(frames)
        table = summary(frame)
        print(f"{experiment.name}, {seed + 1} seeds\n{table.to_string(float_format='%.3f')}")
        table.to_csv(args.output / f"fronts_{experiment.name}.csv")
        draw(frame, args.output / f"fronts_{experiment.name}.png")


def masks(args: argparse.Namespace) -> None:
    """Measure divergences at given budgets."""
    experiment = Experiment(args, *((480, args.held_out) if args.full else (48, 16)))
    if args.part == "pruning":
        cases = pruning(experiment, args.full)
    else:
        budgets = args.budgets or INPUT_BUDGETS.get(args.data, (experiment.train.n_features // 2,))
        cases = inputs(experiment, args.full, budgets)
    tables = []
    for budget, contestants in cases:
        tables.append(measure_masks(experiment, budget, contestants, 640 * args.same_mask))
        print(tables[-1].to_string(index=False, float_format="%.3f"), flush=True)
        pd.concat(tables).to_csv(args.output / f"{args.part}_{experiment.name}.csv", index=False)


def main() -> None:
    args = arguments()
    if args.part == "fairness":
        fairness(args)
    elif args.part in ("pruning", "inputs"):
        masks(args)
    else:
        experiment = Experiment(args, *((240, 40) if args.full else (24, 6)))
        if args.part == "joint":
            table = joint(experiment, 20 if args.full else 3)
        else:
            table = seconds(experiment)
        print(table.to_string(float_format="%.4f"))
        table.to_csv(args.output / f"{args.part}_{experiment.name}.csv")


if __name__ == "__main__":
    main()
