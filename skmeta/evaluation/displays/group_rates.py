"""True and false positive rates of groups before and after: :class:`GroupRatesDisplay`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.editing.intervals import bootstrap_interval, runs_of
from skmeta.evaluation.displays._drawing import COLORS, axes_or_new, literal, tidy
from skmeta.evaluation.fitted import edit_networks, measuring_task
from skmeta.population import Population, run_networks
from skmeta.requirements.rates import cell_rates, hard_predictions

_WIDTH = 0.76
"""Of the groups of one rate together, where the distance to the next rate is 1."""


@dataclass(eq=False, repr=False)
class GroupRatesDisplay:
    """Rates of each group before and after an edit: equalized odds asks that they coincide.

    Of a label k these are the true positive rate ``P(prediction = k | y = k)`` and the false
    positive rate ``P(prediction = k | y != k)``; with two labels only those of the second
    are shown. Use :meth:`from_networks` or :meth:`from_estimator`.

    Parameters
    ----------
    rates : DataFrame
        One row per rate, label, group and time: ``rate`` ("true positive rate" or "false
        positive rate"), ``label``, ``group``, ``when`` ("before" or "after"), ``mean``,
        ``low`` and ``high``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmeta.evaluation import GroupRatesDisplay
    >>> rates = pd.DataFrame(
    ...     {
    ...         "rate": "true positive rate",
    ...         "label": "yes",
    ...         "group": ["f", "m", "f", "m"],
    ...         "when": ["before", "before", "after", "after"],
    ...         "mean": [0.5, 0.7, 0.6, 0.62],
    ...         "low": [0.45, 0.65, 0.55, 0.6],
    ...         "high": [0.55, 0.75, 0.65, 0.64],
    ...     }
    ... )
    >>> GroupRatesDisplay(rates).rates.groupby("when")["mean"].agg(lambda x: x.max() - x.min())
    when
    after     0.02
    before    0.20
    Name: mean, dtype: float64
    """

    rates: pd.DataFrame

    @classmethod
    def from_networks(
        cls, original: Any, edited: Any, task: Task, *, ax: Any = None
    ) -> GroupRatesDisplay:
        """Measure networks before and after an edit, and draw that.

        Parameters
        ----------
        original, edited : Population or sequence of networks
            The same networks in the same order.
        task : Task
            Rows to measure on, with labels and sensitive features.
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        GroupRatesDisplay
            Drawn: means and bootstrapped 95 % intervals over the networks, checkpoints of
            one run drawn together. They leave out that the rows are a sample, too; one
            network alone has none.

        Raises
        ------
        ValueError
            If the task has no labels or fewer than two groups.
        """
        owner = "GroupRatesDisplay"
        check_task(task, owner)
        task.require_sensitive(owner)
        labels, groups = list(np.asarray(task.classes)), list(np.asarray(task.groups))
        rows = []
        for when, networks in (("before", original), ("after", edited)):
            population = Population(networks)
            rates = positive_rates(run_networks(population, task), task)
            for rate, values in zip(("true", "false"), rates, strict=True):
                for k in range(1 if len(labels) == 2 else 0, len(labels)):
                    for s, group in enumerate(groups):
                        mean, low, high = bootstrap_interval(
                            values[:, s, k].cpu(), random_state=0, groups=runs_of(population)
                        )
                        key = (f"{rate} positive rate", labels[k], group, when)
                        rows.append((*key, mean, low, high))
        columns = ["rate", "label", "group", "when", "mean", "low", "high"]
        return cls(pd.DataFrame(rows, columns=columns)).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: object, networks: Any, *, task: Task | None = None, ax: Any = None
    ) -> GroupRatesDisplay:
        """Edit networks, measure them beside the originals, and draw that.

        Parameters
        ----------
        estimator : fitted editor, rival or Pipeline
            With ``transform``.
        networks : Population or sequence of networks
            Networks to edit.
        task : Task, optional
            Rows to measure on. The default, the task of ``fit``, flatters the editor.
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        GroupRatesDisplay
            Drawn.
        """
        task = measuring_task(estimator, task, "GroupRatesDisplay")
        population = Population(networks)
        edited = edit_networks(estimator, population, None, "GroupRatesDisplay")
        return cls.from_networks(population, edited, task, ax=ax)

    def plot(self, ax: Any = None) -> GroupRatesDisplay:
        """Draw the rates: hollow before, filled after.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        GroupRatesDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        clusters = (
            self.rates[["label", "rate"]].drop_duplicates().sort_values("label", kind="stable")
        )
        groups = list(self.rates["group"].unique())
        own = ax is None
        ax = axes_or_new(ax, (4.2 + 1.5 * len(clusters), 4.2), "GroupRatesDisplay")
        self.ax_, self.figure_ = ax, ax.figure
        for x, (label, rate) in enumerate(clusters.itertuples(index=False)):
            here = self.rates[(self.rates["label"] == label) & (self.rates["rate"] == rate)]
            for s, group in enumerate(groups):
                part = here[here["group"] == group].set_index("when")
                centre = x + _WIDTH * ((s + 0.5) / len(groups) - 0.5)
                self._draw_group(ax, centre, part, s, len(groups))
        several = clusters["label"].nunique() > 1
        names = [
            f"{literal(r)}\nof {literal(k)}" if several else literal(r)
            for k, r in clusters.itertuples(index=False)
        ]
        ax.set_xticks(range(len(names)), names)
        ax.set(ylabel="rate", ylim=(0, 1), xlim=(-0.55, len(names) - 0.45))
        tidy(ax, "y")
        self._add_legend(ax, groups, own)
        return self

    def _draw_group(self, ax: Any, centre: float, part: pd.DataFrame, s: int, n: int) -> None:
        color, step = COLORS[s % len(COLORS)], 0.16 * _WIDTH / n
        x = [centre - step, centre + step]
        ax.plot(x, part.loc[["before", "after"], "mean"], color=color, linewidth=1, alpha=0.6)
        for at, when, face in zip(x, ("before", "after"), ("white", color), strict=True):
            mean, low, high = part.loc[when, ["mean", "low", "high"]]
            ax.vlines(at, low, high, color=color, linewidth=1.4, clip_on=False)
            ax.plot(at, mean, "o", color=color, markerfacecolor=face, markersize=6, clip_on=False)

    def _add_legend(self, ax: Any, groups: list, own: bool) -> None:
        from matplotlib.lines import Line2D

        entries = [
            Line2D([], [], color=COLORS[s % len(COLORS)], linewidth=4, label=literal(group))
            for s, group in enumerate(groups)
        ]
        for when, face in (("before", "white"), ("after the edit", "black")):
            style: dict[str, Any] = {"color": "black", "markerfacecolor": face, "linestyle": "none"}
            entries.append(Line2D([], [], marker="o", label=when, **style))
        place: dict[str, Any] = (
            {"loc": "upper left", "bbox_to_anchor": (1, 1)} if own else {"loc": "best"}
        )
        ax.legend(handles=entries, frameon=False, fontsize=9, **place)


def positive_rates(logits: Tensor, task: Task) -> Tensor:
    """Return true and false positive rates of each label.

    Parameters
    ----------
    logits : Tensor of shape (n, n_samples, n_classes)
        Predictions of the rows.
    task : Task
        The rows, with labels and sensitive features.

    Returns
    -------
    Tensor of shape (2, n, n_groups, n_classes)
        ``P(prediction = k | y = k, group)`` and ``P(prediction = k | y != k, group)``.
    """
    cells = Cells.of(task, logits.device)
    cells.require_all("GroupRatesDisplay")
    shares = cells.frequencies.to(logits)[..., None]
    rates = cell_rates(hard_predictions(logits), cells.codes, *cells.frequencies.shape)
    others = shares * (1 - torch.eye(len(shares)).to(logits))[:, None]  # (y, group, k), 0 at y = k
    false = (rates * others).sum(1) / others.sum(0)
    return torch.stack([rates.diagonal(dim1=1, dim2=3), false])
