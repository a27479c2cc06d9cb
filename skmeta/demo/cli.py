"""The command line: :func:`main`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skmeta._text import printable
from skmeta.demo.audit import AuditSettings, run_audit
from skmeta.demo.columns import InputError
from skmeta.demo.data import load_data, load_table
from skmeta.demo.run import Settings, run_demo

_DESCRIPTION = """\
Build a small zoo of classifiers, train one editor on it, and edit classifiers that it has
never seen: other runs, and an MLPClassifier fitted by scikit-learn. Prints what the edits
do to a measured gap on held-out rows, beside simple rivals, and writes a table, a picture
and the edited network, alone and behind the encoder that it needs for raw rows."""

_AUDIT = """\
Fit a network to a table, and edit it so that the gap between groups is as small as a budget of
skill allows, or keep it and say why. Prints the verdict on rows that were held out, and writes
a card, the rates of each group, pictures, and a fitted pipeline that takes raw rows."""

_DATA = (
    "embedded: generated people with a known gap; adult, bank: UCI data; PATH: a CSV file with a "
    "header"
)


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
    run = _run_audit if arguments.command == "audit" else _run_demo
    try:
        run(arguments)
    except InputError as error:
        print(f"skmeta {arguments.command}: error: {printable(error)}", file=sys.stderr)
        return 2
    return 0


def _table_of(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("target", "sensitive", "drop", "data_home")
    return {name: getattr(arguments, name) for name in names}


def _run_demo(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    data = load_data(arguments.data, **_table_of(arguments), random_state=arguments.random_state)
    owned = load_table(arguments.data, **_table_of(arguments))
    audit = AuditSettings(output=settings.output / "table", random_state=settings.random_state)
    print("1. You have a table\n")
    run_audit(owned, audit)
    print("\n\n2. You have networks: one editor for all networks of a table\n")
    run_demo(data, settings)


def _run_audit(arguments: argparse.Namespace) -> None:
    output = _folder(arguments.output, "audit")
    table = load_table(arguments.data, **_table_of(arguments), min_rows=arguments.min_rows)
    drop, form = arguments.max_drop, arguments.format
    run_audit(table, AuditSettings(drop, output, form, arguments.random_state))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skmeta", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|audit")
    _add_audit(commands)
    demo = commands.add_parser(
        "demo",
        help="edit classifiers in one forward pass",
        description=_DESCRIPTION,
        allow_abbrev=False,
    )
    add = demo.add_argument
    add("--data", default="embedded", metavar="embedded|adult|bank|PATH", help=_DATA)
    _add_columns(demo)
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
        ("--n-networks", 60, "runs of the zoo, 3 checkpoints each"),
        ("--n-held-out", 20, "runs to edit that the editor has not seen"),
        ("--epochs", 4, "training epochs of each run"),
        ("--max-epochs", 8, "the editor's passes over the zoo"),
    ):
        add(name, type=_count, default=default, metavar="N", help=f"{text} (%(default)s)")
    return parser


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser(
        "audit",
        help="fit a classifier to a table within a budget of skill, and say what its edit did",
        description=_AUDIT,
        allow_abbrev=False,
    )
    audit.add_argument("data", metavar="PATH|embedded|adult|bank", help=_DATA)
    _add_columns(audit)
    add = audit.add_argument
    add(
        "--max-drop",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="accuracy and balanced accuracy that the edit may cost: .01 is a point (%(default)s)",
    )
    add("--min-rows", type=_count, metavar="N", help="merge groups with fewer rows of a label")
    add("--format", choices=["md", "html"], default="md", help="of the card (%(default)s)")
    add("--output", type=Path, default=Path("audit-output"), metavar="DIR", help="(%(default)s)")


def _add_columns(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
    add("--random-state", type=_seed, default=0, metavar="SEED", help="(%(default)s)")


def _settings(arguments: argparse.Namespace) -> Settings:
    """Check what argparse cannot."""
    output = _folder(arguments.output, "demo")
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


def _folder(output: Path, command: str) -> Path:
    """Return a folder that can be written, before anything is computed."""
    if find_spec("matplotlib") is None:
        raise InputError(
            f"the {command} draws a picture. Install matplotlib: pip install skmeta[plot]"
        )
    if output.exists() and not output.is_dir():
        raise InputError(f"--output must be a folder. {output} is a file.")
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"--output must be a folder that can be written. {folder} cannot.")
    return output


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number. Got {text!r}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1; .01 is a point. Got {text!r}")
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


_share.__name__ = "number"
_positive.__name__, _count.__name__, _seed.__name__ = "number", "whole number", "whole number"
