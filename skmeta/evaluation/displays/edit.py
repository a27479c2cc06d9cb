"""What an edit changed in the weights: :class:`EditDisplay`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from skmeta._checks import check_option
from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.evaluation.displays._drawing import COLORS, axes_or_new, literal, tidy
from skmeta.evaluation.fitted import check_columns_of_fit, edit_networks
from skmeta.population import Population
from skmeta.population.checks import check_columns


@dataclass(eq=False, repr=False)
class EditDisplay:
    """How much an edit changed each layer, and which inputs it left in use.

    Use :meth:`from_networks` or :meth:`from_estimator`.

    Parameters
    ----------
    layers : DataFrame
        One row per network and layer: ``network`` (position), ``layer`` ("1", "2", ...,
        "output") and ``relative_change``, the norm of the change of the layer's weights,
        biases and normalisation over the norm that they had.
    inputs : DataFrame
        One row per input: ``input`` (name), ``before`` and ``after``, the shares of the
        networks that use it, that is, give it a weight other than zero.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Examples
    --------
    >>> from skmeta.evaluation import EditDisplay
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> original, other = (
    ...     Population.initialize(Architecture.mlp((3, 4, 2)), 5, random_state=s) for s in (0, 1)
    ... )
    >>> display = EditDisplay.from_networks(original, other)
    >>> sorted(display.layers["layer"].unique())
    ['1', 'output']
    """

    layers: pd.DataFrame
    inputs: pd.DataFrame

    @classmethod
    def from_networks(
        cls, original: Any, edited: Any, task: Task | None = None, *, ax: Any = None
    ) -> EditDisplay:
        """Compare networks before and after an edit, and draw that.

        Parameters
        ----------
        original, edited : Population or sequence of networks
            The same networks in the same order.
        task : Task, optional
            Names the inputs; without it they have the names that the networks know,
            or are x0, x1, ...
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        EditDisplay
            Drawn, with the ``kind`` "auto" of :meth:`plot`.

        Raises
        ------
        ValueError
            If the networks differ in architecture or number, or the task in features.
        """
        before, after = Population(original), Population(edited)
        if before.architectures != after.architectures:
            raise ValueError(
                "EditDisplay compares the same networks before and after an edit. Got "
                f"{before} and {after}, of other architectures or in another order. Compare "
                "before dead inputs and neurons are cut out."
            )
        display = cls(_relative_changes(before, after), _uses_of_inputs(before, after, task))
        return display.plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: object, networks: Any, *, task: Task | None = None, ax: Any = None
    ) -> EditDisplay:
        """Edit networks, and draw what changed.

        Parameters
        ----------
        estimator : fitted editor, rival or Pipeline
            With ``transform``.
        networks : Population or sequence of networks
            Networks to edit.
        task : Task, optional
            Names the inputs; without it they have the names that the networks know,
            or are x0, x1, ...
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.

        Returns
        -------
        EditDisplay
            Drawn.
        """
        population = Population(networks)
        if task is not None:
            check_columns_of_fit(estimator, task, "EditDisplay")
        edited = edit_networks(estimator, population, None, "EditDisplay")
        return cls.from_networks(population, edited, task, ax=ax)

    def plot(self, ax: Any = None, *, kind: str = "auto") -> EditDisplay:
        """Draw the changes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Draw here; the default is a new figure.
        kind : {"auto", "layers", "inputs"}, default="auto"
            The relative change of each layer, one point per network; or the share of the
            networks that still use each input; "auto" takes the inputs if some network lost
            one.

        Returns
        -------
        EditDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        check_option("kind", kind, ("auto", "layers", "inputs"), owner="EditDisplay.plot")
        if kind == "auto":
            lost = (self.inputs["after"] < self.inputs["before"]).any()
            kind = "inputs" if lost else "layers"
        height = 4.0 if kind == "layers" else 1.2 + 0.22 * len(self.inputs)
        ax = axes_or_new(ax, (6.4, height), "EditDisplay")
        self.ax_, self.figure_ = ax, ax.figure
        if kind == "layers":
            self._plot_layers(ax)
        else:
            self._plot_inputs(ax)
        return self

    def _plot_layers(self, ax: Any) -> None:
        numbered = sorted({name for name in self.layers["layer"]} - {"output"}, key=int)
        names = [*numbered, "output"]
        for x, name in enumerate(names):
            values = self.layers.loc[self.layers["layer"] == name, "relative_change"].to_numpy()
            # Multiples of the golden ratio spread any number of points evenly.
            offsets = ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 0.4
            if len(values) == 1:
                ax.plot(x, values, "o", color=COLORS[0])
                continue
            ax.scatter(x + offsets, values, s=16, alpha=0.45, linewidth=0, color=COLORS[0])
            ax.plot([x - 0.28, x + 0.28], [np.median(values)] * 2, color="black", linewidth=1.8)
        ax.set_xticks(range(len(names)), names)
        ax.set(xlabel="layer", ylabel="relative change of the parameters")
        largest = self.layers["relative_change"].max()
        ax.set_ylim(0, 1.08 * largest if largest > 0 else 1)
        ax.set_xlim(-0.6, len(names) - 0.4)
        if len(self.layers) > len(names):
            ax.set_title("one point per network, line at the median", fontsize=9)
        tidy(ax, "y")

    def _plot_inputs(self, ax: Any) -> None:
        # Stable, so that inputs of equal share stay in the order of the task.
        shares = self.inputs.sort_values("after", ascending=False, kind="stable")
        y = np.arange(len(shares))
        ax.barh(y, shares["before"], height=0.72, color="#e6e6e6", label="before")
        ax.barh(y, shares["after"], height=0.72, color=COLORS[0], label="after the edit")
        ax.set_yticks(y, map(literal, shares["input"]), fontsize=8)
        ax.invert_yaxis()
        ax.set(xlabel="share of the networks that use the input", xlim=(0, 1))
        ax.set_ylim(len(shares) - 0.4, -0.6)
        tidy(ax, "x")
        ax.legend(frameon=False, ncols=2, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))


def _relative_changes(before: Population, after: Population) -> pd.DataFrame:
    rows = []
    for (position, old), new in zip(enumerate(before.records()), after.records(), strict=True):
        depth = len(old.architecture.layers)
        for layer in range(depth):
            a, b = (_flat_layer(record, layer) for record in (old, new))
            # A layer of zeros that stays so has not changed.
            change = float((b - a).norm() / a.norm().clamp_min(torch.finfo(a.dtype).tiny))
            name = "output" if layer == depth - 1 else str(layer + 1)
            rows.append({"network": position, "layer": name, "relative_change": change})
    return pd.DataFrame(rows)


def _flat_layer(record: Any, layer: int) -> torch.Tensor:
    fields = ("weight", "bias", "scale", "shift")
    return torch.cat([record.tensors[name][layer].flatten() for name in fields]).double().cpu()


def _uses_of_inputs(before: Population, after: Population, task: Task | None) -> pd.DataFrame:
    sizes = {architecture.n_inputs for architecture in before.architectures}
    n_inputs = max(sizes)
    if task is not None:
        check_task(task, "EditDisplay")
    if len(sizes) > 1 or (task is not None and task.n_features != n_inputs):
        raise ValueError(
            "EditDisplay needs networks with as many inputs as the task has features. Got "
            f"networks with {sorted(sizes)} inputs"
            + (f" and {task.n_features} features." if task is not None else ".")
        )
    if task is not None:
        check_columns(before, task, "EditDisplay")
        names = task.feature_names
    else:
        unknown = [f"x{i}" for i in range(n_inputs)]
        names = next((known for known in before.feature_names if known is not None), unknown)
    shares = {"before": _share_in_use(before), "after": _share_in_use(after)}
    return pd.DataFrame({"input": names, **shares})


def _share_in_use(population: Population) -> np.ndarray:
    in_use = []
    for record in population.records():
        used = (record.tensors["weight"][0] != 0).any(0).cpu().numpy()
        skips = any(0 in layer.skips for layer in record.architecture.layers)
        in_use.append(used | skips)  # a skip connection carries the input past the first layer
    return np.mean(in_use, axis=0)
