"""What editing costs, and when it pays off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes."""
    start = time.process_time()
    action()
    return time.process_time() - start


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
    >>> from skmeta.estimators.cost import cost_of
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
