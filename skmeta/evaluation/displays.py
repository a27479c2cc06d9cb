"""Pictures of fronts in scikit-learn's Display style: :class:`ParetoFrontDisplay`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skmeta.baselines import run_networks
from skmeta.datasets import Task
from skmeta.evaluation.intervals import bootstrap_interval
from skmeta.evaluation.measures import measure_edits
from skmeta.population import Population

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


class ParetoFrontDisplay:
    """What each method gives up, the divergence, against what remains, the measure.

    Lower left is better. A method that was measured at several lam is a curve, a method
    without lam a point. Use :meth:`from_frame` or :meth:`from_estimator`.

    Parameters
    ----------
    points : DataFrame
        One row per method and lam: ``method``, ``lam`` (nan if the method has none),
        ``measure``, ``measure_low``, ``measure_high``, ``divergence``,
        ``divergence_low`` and ``divergence_high``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.
    lines_ : dict of str to matplotlib Line2D
        The curve or point of each method.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmeta.evaluation import ParetoFrontDisplay
    >>> frame = pd.DataFrame(
    ...     {
    ...         "method": ["nothing", "nothing", "editor", "editor"],
    ...         "lam": 0.1,
    ...         "divergence": [0.0, 0.0, 0.001, 0.003],
    ...         "measure": [0.2, 0.1, 0.04, 0.06],
    ...     }
    ... )
    >>> ParetoFrontDisplay.from_frame(frame).points[["method", "lam", "measure", "divergence"]]
        method  lam  measure  divergence
    0  nothing  0.1     0.15       0.000
    1   editor  0.1     0.05       0.002
    """

    def __init__(self, points: pd.DataFrame) -> None:
        self.points = points

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        measure: str = "measure",
        divergence: str = "divergence",
        method: str = "method",
        lam: str = "lam",
        ax: Any = None,
    ) -> ParetoFrontDisplay:
        """Average measurements of single networks; with ``ax`` also draw them.

        The confidence bands are bootstrapped 95 % intervals of the mean over the networks.
        They leave out that the rows of the task are a sample, too.

        Parameters
        ----------
        frame : DataFrame
            One row per network, method and lam, with the columns of :func:`measure_edits`;
            or, as :func:`compare` returns it, one row per method with intervals.
        measure, divergence, method, lam : str
            Names of its columns; the column ``lam`` may be missing.
        ax : matplotlib Axes, optional
            Draw here.

        Returns
        -------
        ParetoFrontDisplay
            With one point per method and lam.
        """
        if frame.index.name == method:
            frame = frame.reset_index()
        missing = [c for c in (measure, divergence, method) if c not in frame.columns]
        if missing:
            raise ValueError(
                f"ParetoFrontDisplay.from_frame needs a frame with the columns {measure!r}, "
                f"{divergence!r} and {method!r}. It lacks {missing}; name the columns in the "
                "parameters of from_frame."
            )
        names = {measure: "measure", divergence: "divergence", method: "method", lam: "lam"}
        for axis in (measure, divergence):
            names |= {f"{axis}_{end}": f"{names[axis]}_{end}" for end in ("low", "high")}
        tidy = frame[[name for name in names if name in frame]].rename(columns=names)
        if "lam" not in tidy:
            tidy["lam"] = np.nan
        if "measure_low" not in tidy:
            groups = tidy.groupby(["method", "lam"], sort=False, dropna=False)
            tidy = pd.DataFrame(
                [{"method": key[0], "lam": key[1], **_mean_row(part)} for key, part in groups]
            )
        display = cls(tidy)
        return display if ax is None else display.plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        editor: Any,
        networks: Any,
        *,
        task: Task | None = None,
        lams: Sequence[float] | None = None,
        name: str = "editor",
        ax: Any = None,
    ) -> ParetoFrontDisplay:
        """Edit networks at several lam, measure them beside the originals, and draw that.

        Parameters
        ----------
        editor : ComplianceEditor
            Fitted; with ``lam_range`` if there is to be a curve.
        networks : Population or sequence of networks
            Networks to edit.
        task : Task, optional
            Rows to measure on. The default, the task of ``fit``, flatters the editor.
        lams : sequence of float, optional
            Points on the front; the default is five in the editor's range.
        name : str, default="editor"
            The editor's name in the legend.
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        ParetoFrontDisplay
            Drawn.
        """
        population = Population(networks)
        task = editor.task_ if task is None else task
        if lams is None:
            low, high = editor.lam_range_
            lams = np.unique(np.geomspace(low, high, 5)).tolist()
        before = run_networks(population, task)
        frames = [measure_edits(before, before, task, editor.requirement_)]
        frames[0] = frames[0].assign(method="nothing", lam=np.nan)
        for lam in lams:
            after = run_networks(editor.transform(population, lam=float(lam)), task)
            frame = measure_edits(before, after, task, editor.requirement_)
            frames.append(frame.assign(method=name, lam=float(lam)))
        return cls.from_frame(pd.concat(frames, ignore_index=True)).plot(ax=ax)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str = "equalized odds difference",
        ylabel: str = "divergence from the original [nats]",
        yscale: str = "auto",
        methods: Iterable[str] | None = None,
    ) -> ParetoFrontDisplay:
        """Draw the fronts.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.
        xlabel, ylabel : str
            Labels of the axes.
        yscale : {"auto", "symlog", "linear"}, default="auto"
            "symlog" shows both zero and divergences of very different sizes; "auto" takes it
            if they span more than a factor of ten.
        methods : iterable of str, optional
            Draw only these, in this order.

        Returns
        -------
        ParetoFrontDisplay
            Itself, with ``ax_``, ``figure_`` and ``lines_``.
        """
        if ax is None:
            _, ax = _import_pyplot().subplots(figsize=(7.2, 4.8), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: dict[str, Any] = {}
        names = list(self.points["method"].unique()) if methods is None else list(methods)
        for number, name in enumerate(names):
            points = self.points[self.points["method"] == name].sort_values("lam")
            if len(points):
                self.lines_[name] = self._draw(ax, name, points, number)
        # What rounding leaves of a zero divergence is zero.
        positive = self.points.loc[self.points["divergence"] > 1e-6, "divergence"]
        wide = len(positive) and positive.max() > 10 * positive.min()
        if yscale == "symlog" or (yscale == "auto" and wide):
            # Linear between zero and the decade below the smallest divergence.
            smallest = float(positive.min()) if len(positive) else 1.0
            ax.set_yscale("symlog", linthresh=10.0 ** np.floor(np.log10(smallest)), linscale=0.5)
        elif yscale != "auto":
            ax.set_yscale(yscale)
        ax.set_ylim(bottom=0)
        ax.set_xlim(left=0)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(alpha=0.25, linewidth=0.6)
        ax.legend(frameon=False, title="mean and 95 % interval", fontsize=9)
        return self

    def _draw(self, ax: Any, name: str, points: pd.DataFrame, number: int) -> Any:
        """Draw one method and return its line."""
        color = _COLORS[number % len(_COLORS)]
        x, y = points["measure"].to_numpy(), points["divergence"].to_numpy()
        errors = [
            np.abs(points[[f"{axis}_low", f"{axis}_high"]].to_numpy().T - centre)
            for axis, centre in (("measure", x), ("divergence", y))
        ]
        container = ax.errorbar(
            x,
            y,
            xerr=errors[0],
            yerr=errors[1],
            color=color,
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=6,
            elinewidth=0.8,
            linewidth=1.6,
            label=name,
            clip_on=False,
            zorder=3,
        )
        if len(points) > 1:
            low, high = points["measure_low"], points["measure_high"]
            ax.fill_betweenx(y, low, high, color=color, alpha=0.12, linewidth=0)
            ends = points.iloc[[0, -1]] if np.ptp(y) > 0 else points.iloc[:0]
            for lam, *where in ends[["lam", "measure", "divergence"]].to_numpy():
                ax.annotate(
                    f"lam {lam:g}",
                    where,
                    xytext=(5, 5),
                    textcoords="offset points",
                    fontsize=8,
                    color=color,
                )
        return container.lines[0]


def _mean_row(group: pd.DataFrame) -> dict[str, float]:
    """Mean and 95 % interval of both axes."""
    row: dict[str, float] = {}
    for column in ("measure", "divergence"):
        mean, low, high = bootstrap_interval(group[column], random_state=0)
        row |= {column: mean, f"{column}_low": low, f"{column}_high": high}
    return row


def _import_pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "ParetoFrontDisplay.plot needs matplotlib. Install it with pip install skmeta[plot]."
        ) from error
    return plt
