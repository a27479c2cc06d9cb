"""The editor and its rivals, run and measured alike: :func:`compare_methods`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm.auto import tqdm

from skmeta.baselines import FineTune, Nothing, Swap, ThresholdOptimizer
from skmeta.datasets import Task
from skmeta.editing import measure_edits
from skmeta.estimators import ComplianceEditor
from skmeta.population import Population, run_networks

NOTHING, SWAP, THRESHOLDS = "nothing", "swap", "ThresholdOptimizer"
FINE_TUNE, EDITOR = "fine-tune, 40 steps", "editor, one pass"


@dataclass(frozen=True)
class Method:
    """A way to treat networks, ready to use; ``lam`` is nan if it does not depend on it."""

    name: str
    lam: float
    edit: Callable[[Population], Any]
    logits: Callable[[Any, Task], Tensor]


def compare_methods(
    editor: ComplianceEditor,
    zoo: Population,
    networks: Population,
    test: Task,
    *,
    lams: Sequence[float],
    random_state: int,
) -> pd.DataFrame:
    """Treat networks with every method and measure them.

    Parameters
    ----------
    editor : ComplianceEditor
        Fitted on ``zoo``, for all of ``lams``.
    zoo : Population
        Where *swap* picks its network.
    networks : Population
        Networks that the editor has not seen.
    test : Task
        Rows to measure on; all methods learn from ``editor.task_``.
    lams : sequence of float
        Weights of the violation.
    random_state : int
        Seed of the rivals.

    Returns
    -------
    DataFrame
        One row per method, lam and network, with the columns of
        :func:`skmeta.editing.measure_edits`, ``objective`` (divergence + lam * measure)
        and ``seconds`` (CPU, per network).
    """
    methods = list(_methods(editor, zoo, test, lams, random_state))
    before = run_networks(networks, test)
    frames = []
    for method in tqdm(methods, desc="methods", unit="method"):
        started = time.process_time()
        edited = method.edit(networks)
        seconds = (time.process_time() - started) / len(networks)
        frame = measure_edits(before, method.logits(edited, test), test).assign(
            method=method.name, seconds=seconds, network=range(len(networks))
        )
        for lam in lams if np.isnan(method.lam) else [method.lam]:
            objective = frame["divergence"] + lam * frame["measure"]
            frames.append(frame.assign(lam=lam, objective=objective))
    return pd.concat(frames, ignore_index=True)


def _methods(
    editor: ComplianceEditor, zoo: Population, test: Task, lams: Sequence[float], seed: int
) -> Iterator[Method]:
    reference = editor.task_
    yield Method(NOTHING, np.nan, Nothing().fit(zoo).transform, run_networks)
    # It changes predictions, not networks: all its work is in the prediction.
    rival = ThresholdOptimizer(random_state=seed).fit(zoo, task=reference)
    yield Method(
        THRESHOLDS, np.nan, lambda n: rival.predict_logits(n, test), lambda logits, _: logits
    )
    for lam in lams:
        swap = Swap(lam=lam, random_state=seed).fit(zoo, task=reference)
        tune = FineTune(lam=lam, n_steps=40, random_state=seed).fit(zoo, task=reference)
        yield Method(SWAP, lam, swap.transform, run_networks)
        yield Method(FINE_TUNE, lam, tune.transform, run_networks)
        yield Method(EDITOR, lam, partial(editor.transform, lam=lam), run_networks)
