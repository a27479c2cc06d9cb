"""Methods side by side on the same networks: :func:`compare`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from skmeta._checks import check_in_range
from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.editing.intervals import bootstrap_interval, paired_interval, runs_of
from skmeta.editing.measures import measure_edits
from skmeta.evaluation.fitted import check_columns_of_fit
from skmeta.population import Population, run_networks
from skmeta.requirements import MaskRequirement, resolve_requirement


def compare(
    methods: Mapping[str, Any],
    networks: Any,
    task: Task,
    requirement: Any = "equalized_odds",
    lam: float = 0.1,
    *,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 2000,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Apply methods to the same networks and summarise what they did.

    Parameters
    ----------
    methods : dict of str to method
        A method is a fitted estimator with ``transform`` (networks to networks) or
        ``predict_logits(networks, task)``, a callable ``(networks, task) -> logits``, or
        logits ``(n, n_samples, n_classes)``.
    networks : Population or sequence of networks
        Original networks.
    task : Task
        Rows to measure on, which no method has seen.
    requirement : str or Requirement, default="equalized_odds"
        What the edits were for. One on weights (inputs, pruning) needs methods with
        ``transform``.
    lam : float, default=0.1
        Of the objective, divergence + lam * measure: what networks that stay close to the original
        ones minimise. Those that follow a teacher do not.
    groups : array-like of shape (n,), optional
        Networks that are resampled together; default is the column ``run`` of the
        population's metadata, if there is one.
    n_bootstrap : int, default=2000
        Resamples.
    random_state : int, RandomState or None
        Seed of the intervals.

    Returns
    -------
    DataFrame
        One row per method. Means over the networks, with 95 % intervals ``_low`` and
        ``_high``, of ``objective``, ``objective_change`` (paired, against doing nothing) and
        the columns of :func:`measure_edits`; ``improved``, the share of networks whose
        objective went down; ``seconds`` of processor time per network, nan for logits. A
        method with ``transform`` is timed on that alone; one that changes predictions
        cannot be separated from running the networks, on the reference rows and here.

    Examples
    --------
    >>> from skmeta.baselines import GroupShift, Nothing
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.evaluation import compare
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 2, epochs=2, n_checkpoints=1, progress=False, random_state=0)
    >>> methods = {"nothing": Nothing(), "shift": GroupShift(random_state=0)}
    >>> for method in methods.values():
    ...     _ = method.fit(zoo, task=reference)
    >>> compare(methods, zoo, test).index.tolist()
    ['nothing', 'shift']
    """
    check_in_range("lam", lam, owner="compare", low=0)
    if not isinstance(methods, Mapping) or not methods:
        raise TypeError(
            "The 'methods' parameter of compare must be a dict with one or more methods, such as "
            f"{{'nothing': Nothing()}}. Got {methods!r} instead."
        )
    check_task(task, "compare")
    requirement = resolve_requirement(requirement, "compare")
    if requirement.needs_sensitive:
        task.require_sensitive("compare")
    population = Population(networks)
    options: dict[str, Any] = {"groups": runs_of(population) if groups is None else groups}
    options |= {"n_bootstrap": n_bootstrap, "random_state": random_state}
    # Run once for all methods, unless weights are measured.
    on_weights = isinstance(requirement, MaskRequirement)
    original = population if on_weights else run_networks(population, task)
    rows = {}
    for name, method in methods.items():
        edited, seconds = _apply(name, method, population, task)
        frame = measure_edits(original, edited, task, requirement)
        objective = frame["divergence"] + lam * frame["measure"]
        nothing = lam * (frame["measure"] - frame["measure_change"])
        row: dict[str, float] = {}
        _add(row, "objective", bootstrap_interval(objective, **options))
        _add(row, "objective_change", paired_interval(objective, nothing, **options))
        for column in frame:
            _add(row, str(column), bootstrap_interval(frame[column], **options))
        row["improved"] = float(np.mean(objective < nothing))
        row["seconds"] = seconds / len(population)
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _add(row: dict[str, float], name: str, interval: tuple[float, float, float]) -> None:
    row[name], row[f"{name}_low"], row[f"{name}_high"] = interval


def _apply(name: str, method: Any, population: Population, task: Task) -> tuple[Any, float]:
    """Return what a method gives, networks or logits, and the seconds that it took."""
    if isinstance(method, Tensor):
        return method, float("nan")
    check_columns_of_fit(method, task, "compare")
    start = time.process_time()
    if hasattr(method, "transform"):
        edited = method.transform(population)
    elif hasattr(method, "predict_logits"):
        edited = method.predict_logits(population, task)
    elif callable(method):
        edited = method(population, task)
    else:
        raise TypeError(
            "The 'methods' of compare must be fitted estimators, callables (networks, task) -> "
            f"logits, or logits. Got {type(method).__name__} for {name!r}."
        )
    return edited, time.process_time() - start
