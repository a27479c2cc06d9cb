"""What the demo prints."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from skmeta._text import printable
from skmeta.demo.data import DemoData
from skmeta.demo.methods import EDITOR, FINE_TUNE, NOTHING, SWAP, THRESHOLDS
from skmeta.editing import paired_interval

_ORDER = (NOTHING, SWAP, THRESHOLDS, FINE_TUNE, EDITOR)
_HEAD = (
    ("divergence", "[nats]"),
    ("EOD", "at .5"),
    ("EOD", "mean .3-.7"),
    ("accuracy", ""),
    ("divergence +", "lam * EOD"),
    ("CPU ms", "per network"),
)


def introduction(data: DemoData, n_networks: int, n_held_out: int) -> str:
    """Say what is going to happen."""
    assert data.test.groups is not None
    groups = ", ".join(map(printable, data.test.groups))
    intro = _paragraph(
        f"Data: {printable(data.name)}; {data.train.n_samples} rows train the zoo of {n_networks} "
        f"runs, {data.reference.n_samples} the editor, and {data.test.n_samples} measure it. "
        f"Groups by {printable(data.sensitive)}: {groups}. The {n_held_out} networks in the table "
        "are runs that the editor has not seen."
    )
    return "\n".join([intro, *map(_paragraph, data.notes)])


def comparison(frame: pd.DataFrame) -> str:
    """All methods at every lam, averaged over the networks."""
    columns = [
        "divergence",
        "measure",
        "measure_over_thresholds",
        "accuracy",
        "objective",
        "seconds",
    ]
    means = frame.groupby(["lam", "method"])[columns].mean()
    n_networks = frame["network"].nunique()
    lines = [
        "",
        f"Mean over {n_networks} networks that the editor has not seen, on the test rows",
        "(EOD: equalized odds difference, lower is fairer)",
        "",
        " " * 22 + "".join(f"{top:>14}" for top, _ in _HEAD),
        " " * 22 + "".join(f"{bottom:>14}" for _, bottom in _HEAD),
    ]
    for lam in means.index.levels[0]:
        lines.append(f"lam = {lam:g}")
        lines += [f"  {name:<20}" + _numbers(means.loc[(lam, name)]) for name in _ORDER]
        lines += [f"  {_gain(frame[frame['lam'] == lam], rival)}" for rival in (NOTHING, SWAP)]
    note = (
        f"{SWAP} hands back one fixed network of the zoo. {THRESHOLDS} (fairlearn) needs the "
        "group of every row that it predicts, and its scores are moved to just past .5: compare "
        "the means over thresholds. The lines below each block compare divergence + lam * EOD "
        "network by network (95 % interval over networks; the test rows are a sample, too)."
    )
    return "\n".join(lines) + "\n\n" + _paragraph(note)


def single(row: pd.Series, lam: float) -> str:
    """The MLPClassifier before and after."""
    lines = [
        "",
        f"A scikit-learn MLPClassifier, edited at lam = {lam:g} (95 % intervals over test rows)",
        "",
        f"{'':<28}{'before':>8}{'after':>8}{'change':>9}   interval of the change",
    ]
    for name, text in (("measure", "equalized odds difference"), ("accuracy", "accuracy")):
        after, change = row[name], row[f"{name}_change"]
        low, high = row[f"{name}_change_low"], row[f"{name}_change_high"]
        lines.append(
            f"  {text:<26}{after - change:>8.3f}{after:>8.3f}{change:>+9.3f}"
            f"   {low:+.3f} to {high:+.3f}"
        )
    low, high = row["divergence_low"], row["divergence_high"]
    lines.append(
        f"  {'divergence [nats]':<26}{'':>8}{row['divergence']:>8.4f}{'':>9}"
        f"   ({low:.4f} to {high:.4f})"
    )
    return "\n".join(lines)


def costs(
    cost: dict[str, float], edit_alone: float, elapsed: float, used: float, memory: float
) -> str:
    """What it took, with units; ``cost`` is that of ``cost_of``."""
    tune = 1e3 * cost["fine_tune_seconds"]
    edits = f"{cost['break_even']:,.0f} edits" if np.isfinite(cost["break_even"]) else "never"
    lines = [
        "",
        "Costs (CPU seconds, one thread)",
        "",
        f"  zoo              {cost['zoo_seconds']:8.1f} s",
        f"  editor           {cost['fit_seconds']:8.1f} s, once for all lam",
        f"  one edit alone   {1e3 * edit_alone:8.1f} ms",
        f"  edits in a batch {1e3 * cost['edit_seconds']:8.1f} ms per network",
        f"  fine-tuning      {tune:8.1f} ms per network, 40 steps in a batch",
        f"  break-even       {edits}, after which zoo and editor have paid off against that",
        f"  this demo        {used:8.1f} s, {elapsed:.0f} s on the clock",
        f"  peak memory      {memory:8.0f} MB",
    ]
    return "\n".join(lines)


def files(files: dict[str, Path], data: DemoData) -> str:
    """Say where the files are and how to load the network."""
    assert data.test.classes is not None
    network, model = files["edited_network"], files["edited_model"]
    listing = "\n".join(f"  {path}" for path in files.values())
    lesson = (
        "An edit reduces a measured gap on this data; it guarantees nothing about other data or "
        "other groups."
    )
    return f"""
Written:
{listing}

The edited model takes raw rows, a frame with the columns of the table; load it with

    import joblib  # as every pickle, load it only if you trust where it comes from
    model = joblib.load({str(model)!r})
    model.predict(frame)

Its last step is an ordinary MLPClassifier; without the encoder, and from anybody, it is

    from skmeta import Population
    classifier = Population.load({str(network)!r})[0]
    classifier.predict(model["encoder"].transform(frame))

{_paragraph(lesson)}"""


def _numbers(row: pd.Series) -> str:
    return (
        f"{row['divergence']:>14.4f}{row['measure']:>14.3f}{row['measure_over_thresholds']:>14.3f}"
        f"{row['accuracy']:>14.3f}{row['objective']:>14.4f}{1e3 * row['seconds']:>14.1f}"
    )


def _gain(frame: pd.DataFrame, rival: str) -> str:
    """Paired comparison of the editor with a rival."""
    values = frame.pivot(index="network", columns="method", values="objective")
    change = paired_interval(values[EDITOR], values[rival], random_state=0)
    share = np.mean(values[EDITOR] < values[rival])
    return (
        f"editor minus {rival:<8}{change.mean:>+9.4f} ({change.low:+.4f} to {change.high:+.4f}), "
        f"lower on {100 * share:.0f} % of the networks"
    )


def _paragraph(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 100))
