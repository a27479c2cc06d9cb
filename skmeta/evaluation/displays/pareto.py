"""Pictures of fronts in scikit-learn's Display style: :class:`ParetoFrontDisplay`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import pandas as pd

from skmeta.datasets import Task
from skmeta.editing.intervals import bootstrap_interval, runs_of
from skmeta.editing.measures import measure_edits
from skmeta.evaluation.choosing import mean_of
from skmeta.evaluation.displays._drawing import COLORS, MARKERS, axes_or_new, literal, tidy
from skmeta.evaluation.fitted import measuring_task
from skmeta.population import Population, run_networks
from skmeta.requirements import MaskRequirement


@dataclass(eq=False, repr=False)
class ParetoFrontDisplay:
    """What each method gives up, the divergence, against what remains, the measure.

    Lower left is better. A method that was measured at several lam is a curve, a method
    without lam a point. Use :meth:`from_frame`, :meth:`from_cv_results` or
    :meth:`from_estimator`.

    Parameters
    ----------
    points : DataFrame
        One row per method and lam: ``method``, ``lam`` (nan if the method has none),
        ``measure``, ``measure_low``, ``measure_high``, ``divergence``,
        ``divergence_low`` and ``divergence_high``.
    measure_name : str, default="exact measure of the requirement"
        Label of the horizontal axis.
    spread : str, default="95 % interval"
        What the low and high ends are, for the legend.

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

    points: pd.DataFrame
    _: KW_ONLY
    measure_name: str = "exact measure of the requirement"
    spread: str = "95 % interval"

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
        They leave out that the rows of the task are a sample, too. Rows of the frame with
        one ``run`` are drawn together.

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
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(
                "The 'frame' parameter of ParetoFrontDisplay.from_frame must be a DataFrame, as "
                f"compare returns it. Got {type(frame).__name__}."
            )
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
        table = frame[[name for name in (*names, "run") if name in frame]].rename(columns=names)
        if "lam" not in table:
            table["lam"] = np.nan
        if "measure_low" not in table:
            groups = table.groupby(["method", "lam"], sort=False, dropna=False)
            table = pd.DataFrame(
                [{"method": key[0], "lam": key[1], **_mean_row(part)} for key, part in groups]
            )
        display = cls(table)
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
        if not hasattr(editor, "lam_range_"):
            raise TypeError(
                "The 'editor' parameter of ParetoFrontDisplay.from_estimator must be a fitted "
                f"ComplianceEditor. Got {type(editor).__name__}; rivals go through from_frame."
            )
        if isinstance(lams, str) or not isinstance(lams, Iterable | None):
            raise TypeError(
                "The 'lams' parameter of ParetoFrontDisplay.from_estimator must be a list of "
                f"numbers. Got {lams!r} instead."
            )
        population = Population(networks)
        task = measuring_task(editor, task, "ParetoFrontDisplay.from_estimator")
        if lams is None:
            low, high = editor.lam_range_
            lams = np.unique(np.geomspace(low, high, 5)).tolist()
        requirement = editor.requirement_
        on_weights = isinstance(requirement, MaskRequirement)
        before = population if on_weights else run_networks(population, task)
        frames = [measure_edits(before, before, task, requirement)]
        frames[0] = frames[0].assign(method="nothing", lam=np.nan)
        for value in lams:
            after = editor.transform(population, lam=float(value))
            frame = measure_edits(before, after, task, requirement)
            frames.append(frame.assign(method=name, lam=float(value)))
        runs = runs_of(population)
        if runs is not None:
            frames = [frame.assign(run=runs) for frame in frames]
        # EqualizedOdds becomes "equalized odds".
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(requirement).__name__).lower()
        points = cls.from_frame(pd.concat(frames, ignore_index=True)).points
        return cls(points, measure_name=f"measure of {words}").plot(ax=ax)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        measure: str = "neg_measure",
        divergence: str = "neg_divergence",
        lam: str = "lam",
        name: str = "editor",
        ax: Any = None,
    ) -> ParetoFrontDisplay:
        """Draw the candidates of a search, with bands from the lowest to the highest fold.

        Parameters
        ----------
        cv_results : dict
            ``cv_results_`` of a search with ``scoring=EditScorer()``. Candidates with a nan
            fold are left out.
        measure, divergence : str
            Names of the scores, as in :func:`least_divergence`.
        lam : str, default="lam"
            The parameter along a curve, without the steps of pipelines before it. Candidates
            that differ in other parameters are curves of their own.
        name : str, default="editor"
            Name of the curve if there are no other parameters.
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        ParetoFrontDisplay
            Drawn.
        """
        if not isinstance(cv_results, Mapping) or "params" not in cv_results:
            raise TypeError(
                "The 'cv_results' parameter of ParetoFrontDisplay.from_cv_results must be the "
                f"cv_results_ of a search. Got {type(cv_results).__name__}."
            )
        short = [
            {key.split("__")[-1]: value for key, value in params.items()}
            for params in cv_results["params"]
        ]
        others = [", ".join(f"{k}={v}" for k, v in p.items() if k != lam) for p in short]
        points = pd.DataFrame(
            {"method": [o or name for o in others], "lam": [p.get(lam, np.nan) for p in short]}
        )
        for axis, score in (("measure", measure), ("divergence", divergence)):
            points[axis] = mean_of(cv_results, score)
            pattern = rf"split\d+_test_{re.escape(score)}"
            folds = [-np.asarray(v) for c, v in cv_results.items() if re.fullmatch(pattern, c)]
            points[f"{axis}_low"] = np.min(folds, axis=0)
            points[f"{axis}_high"] = np.max(folds, axis=0)
        kept = points.dropna(subset=["measure", "divergence"]).reset_index(drop=True)
        words = measure.removeprefix("neg_").replace("_", " ")
        return cls(kept, measure_name=words, spread="range of the folds").plot(ax=ax)

    def plot(
        self,
        ax: Any = None,
        *,
        xlabel: str | None = None,
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
            Labels of the axes; the default of ``xlabel`` is ``measure_name``.
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
        ax = axes_or_new(ax, (7.2, 4.8), "ParetoFrontDisplay")
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
        ax.set(xlabel=literal(self.measure_name) if xlabel is None else xlabel, ylabel=ylabel)
        tidy(ax)
        ax.legend(frameon=False, title=f"mean and {literal(self.spread)}", fontsize=9)
        return self

    def _draw(self, ax: Any, name: str, points: pd.DataFrame, number: int) -> Any:
        """Draw one method and return its line."""
        color = COLORS[number % len(COLORS)]
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
            marker=MARKERS[number % len(MARKERS)],
            markersize=6,
            elinewidth=0.8,
            linewidth=1.6,
            label=literal(name),
            clip_on=False,
            zorder=3,
        )
        if len(points) > 1:
            low, high = points["measure_low"], points["measure_high"]
            ax.fill_betweenx(y, low, high, color=color, alpha=0.12, linewidth=0)
            if np.ptp(y) > 0:
                self._label_ends(ax, points, color, "left" if number % 2 == 0 else "right")
        return container.lines[0]

    def _label_ends(self, ax: Any, points: pd.DataFrame, color: str, side: str) -> None:
        """Name lam at both ends of a curve; neighbouring curves on different sides."""
        ends = points.iloc[[0, -1]]
        for lam, *where in ends[["lam", "measure", "divergence"]].to_numpy():
            above = where[1] == ends["divergence"].max()
            ax.annotate(
                f"lam {lam:g}",
                where,
                xytext=(6 if side == "left" else -6, 4 if above else -4),
                textcoords="offset points",
                ha=side,
                va="bottom" if above else "top",
                fontsize=8,
                color=color,
            )


def _mean_row(group: pd.DataFrame) -> dict[str, float]:
    """Mean and 95 % interval of both axes."""
    row: dict[str, float] = {}
    for column in ("measure", "divergence"):
        mean, low, high = bootstrap_interval(group[column], random_state=0, groups=group.get("run"))
        row |= {column: mean, f"{column}_low": low, f"{column}_high": high}
    return row
