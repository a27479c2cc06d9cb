"""What editing costs, and when it pays off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

from skmeta.population import Population


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes."""
    start = time.process_time()
    action()
    return time.process_time() - start


def zoo_seconds(population: Population) -> float:
    """Return the CPU seconds that the runs of a population took; nan if it does not say."""
    metadata = population.metadata
    if not {"run", "seconds"} <= set(metadata):
        return math.nan
    # Every checkpoint of a run carries the seconds of the whole run.
    return float(metadata.drop_duplicates("run")["seconds"].sum())


def cost_of(
    zoo_seconds: float, fit_seconds: float, edit_seconds: float, fine_tune_seconds: float
) -> dict[str, float]:
    """Put costs together with the number of edits after which they have paid off.

    Parameters
    ----------
    zoo_seconds, fit_seconds : float
        CPU seconds spent once; a nan zoo was free.
    edit_seconds, fine_tune_seconds : float
        CPU seconds per network, of an edit and of fine-tuning in its place.

    Examples
    --------
    >>> from skmeta.editing.cost import cost_of
    >>> cost_of(100.0, 100.0, 0.01, 0.02)["break_even"]
    20000.0
    """
    invested = fit_seconds + (0.0 if math.isnan(zoo_seconds) else zoo_seconds)
    saved = fine_tune_seconds - edit_seconds
    return {
        "zoo_seconds": zoo_seconds,
        "fit_seconds": fit_seconds,
        "edit_seconds": edit_seconds,
        "fine_tune_seconds": fine_tune_seconds,
        "break_even": invested / saved if saved > 0 else math.inf,
    }


def measure_cost(
    population: Population,
    *,
    fit_seconds: float,
    edit: Callable[[Population], object],
    tune: Callable[[Population, int], object],
) -> dict[str, float]:
    """Time edits, and fine-tuning with some number of steps, on a few networks.

    Parameters
    ----------
    population : Population
        Training networks.
    fit_seconds : float
        CPU seconds of ``fit``.
    edit, tune : callable
        ``edit(networks)`` and ``tune(networks, n_steps)``.

    Returns
    -------
    dict
        See :func:`cost_of`.
    """
    few = population[: min(len(population), 32)]
    edit_seconds = cpu_seconds(partial(edit, few)) / len(few)
    # Forty steps from five and fifteen: what happens once must not count eight times.
    short, long = (cpu_seconds(partial(tune, few, n)) / len(few) for n in (5, 15))
    forty = max(long + 2.5 * (long - short), long)
    return cost_of(zoo_seconds(population), fit_seconds, edit_seconds, forty)
