"""What the Displays share: colours, markers and axes."""

from __future__ import annotations

from typing import Any

from skmeta._text import printable

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f")
"""Told apart with any colour vision (Okabe and Ito, 2008)."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_LONGEST_NAME = 40


def axes_or_new(ax: Any, size: tuple[float, float], owner: str) -> Any:
    """Return the axes, or those of a new figure of a size in inches."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{owner}.plot needs matplotlib. Install it with pip install skmeta[plot]."
        ) from error
    return plt.subplots(figsize=size, layout="constrained")[1]


def literal(name: Any) -> str:
    """Return what to give to matplotlib so that it draws a name letter by letter.

    Pairs of dollars would be a formula, and a legend leaves out what begins with an underscore.
    A very long name, which would take the room of the axes, loses its middle.
    """
    text = printable(name)
    if len(text) > _LONGEST_NAME:
        half = _LONGEST_NAME // 2
        text = f"{text[:half]}...{text[-half:]}"
    return (" " * text.startswith("_") + text).replace("$", r"\$")


def tidy(ax: Any, axis: str = "both") -> None:
    """Draw a faint grid behind the data, and no box around it."""
    ax.grid(axis=axis, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
