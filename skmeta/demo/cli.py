"""The command line: :func:`main`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from skmeta._text import printable
from skmeta.demo.data import InputError, load_data
from skmeta.demo.run import Settings, run_demo

_DESCRIPTION = """\
Build a small zoo of classifiers, train one editor on it, and edit classifiers that it has
never seen: other runs, and an MLPClassifier fitted by scikit-learn. Prints what the edits
do to a measured gap on held-out rows, beside simple rivals, and writes a table, a picture
and the edited network, alone and behind the encoder that it needs for raw rows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; the default is those of the process.

    Returns
    -------
    int
        0, or 2 if an argument or a file is wrong (nothing is written then).
    """
    arguments = _parser().parse_args(argv)
    try:
        settings = _settings(arguments)
        data = load_data(
            arguments.data,
            target=arguments.target,
            sensitive=arguments.sensitive,
            drop=arguments.drop,
            data_home=arguments.data_home,
            random_state=arguments.random_state,
        )
    except InputError as error:
        print(f"skmeta demo: error: {printable(error)}", file=sys.stderr)
        return 2
    run_demo(data, settings)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skmeta", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo")
    demo = commands.add_parser(
        "demo",
        help="edit classifiers in one forward pass",
        description=_DESCRIPTION,
        allow_abbrev=False,
    )
    add = demo.add_argument
    add(
        "--data",
        default="embedded",
        metavar="embedded|adult|bank|PATH",
        help="embedded (default): generated people with a known gap; adult, bank: UCI data; "
        "PATH: a CSV file with a header",
    )
    add("--target", metavar="COLUMN", help="PATH: the column to predict, with two values")
    add(
        "--sensitive",
        metavar="COLUMN",
        help="the groups (default: sex for adult, marital for bank, group if embedded)",
    )
    add(
        "--drop",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column that is no feature, such as an identifier; may be given several times",
    )
    add("--data-home", type=Path, metavar="DIR", help="where the files of adult or bank are")
    add(
        "--lam",
        type=_positive,
        nargs="+",
        default=[0.03, 0.1, 0.3],
        metavar="LAM",
        help="weights of the violation to show (default: 0.03 0.1 0.3)",
    )
    add("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="(%(default)s)")
    for name, default, text in (
        ("--n-networks", 120, "runs of the zoo, 3 checkpoints each"),
        ("--n-held-out", 40, "runs to edit that the editor has not seen"),
        ("--epochs", 5, "training epochs of each run"),
        ("--max-epochs", 12, "the editor's passes over the zoo"),
    ):
        add(name, type=_count, default=default, metavar="N", help=f"{text} (%(default)s)")
    add("--random-state", type=_seed, default=0, metavar="SEED", help="(%(default)s)")
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    """Check what argparse cannot."""
    if find_spec("matplotlib") is None:
        raise InputError("the demo draws a picture. Install matplotlib: pip install skmeta[plot]")
    output: Path = arguments.output
    if output.exists() and not output.is_dir():
        raise InputError(f"--output must be a folder. {output} is a file.")
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"--output must be a folder that can be written. {folder} cannot.")
    if arguments.epochs < 3:
        raise InputError("--epochs must be at least 3: the zoo keeps 3 checkpoints of each run.")
    return Settings(
        lams=tuple(sorted(set(arguments.lam))),
        n_networks=arguments.n_networks,
        n_held_out=arguments.n_held_out,
        epochs=arguments.epochs,
        max_epochs=arguments.max_epochs,
        output=output,
        random_state=arguments.random_state,
    )


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number. Got {text!r}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Got {text!r}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"must be in the range [0, 2**31). Got {text!r}")
    return value


_positive.__name__, _count.__name__, _seed.__name__ = "number", "whole number", "whole number"
