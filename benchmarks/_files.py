"""Honest files of every kind, and what a file costs that is loaded and used."""

from __future__ import annotations

import re
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

import skmeta
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.files import FileError
from skmeta.networks import Architecture, Stage
from skmeta.requirements import Joint, Pruning

KINDS = ("population", "reader", "editor")
MOST_SECONDS = 2.0
_ROWS = np.random.default_rng(0).normal(size=(60, 10))
# What Python and torch say of their own objects.
_RAW = re.compile(
    r"object (is|has|does)|unsupported operand|truth value|unhashable|keyword argument|<class|"
    r"not subscriptable|out of (range|bounds)|Error\(|Errno|invalid literal|could not"
)


class Outcome(NamedTuple):
    """What became of one file."""

    kind: str  # "loaded", "refused", or what went wrong
    seconds: float
    megabytes: float

    @property
    def good(self) -> bool:
        """Whether it is what the documentation promises."""
        return self.kind in ("loaded", "refused")


class Samples:
    """Small honest files of all kinds, and what is needed to use what comes out of them."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of too little training
            self._make(folder)

    def _make(self, folder: Path) -> None:
        self.train, self.reference, self.test = split_tasks(
            make_biased_classification(1200, random_state=0), "group", random_state=0
        )
        space = skmeta.zoo.MLPSearchSpace(hidden_widths=(4, 6))
        self.zoo = skmeta.make_zoo(
            self.train, 6, search_space=space, epochs=1, n_checkpoints=1, progress=False,
            random_state=0,
        )  # fmt: skip
        fitted = {
            "population": [self.zoo[:3], *_populations()],
            "reader": self._readers(),
            "editor": self._editors(),
        }
        self.files: dict[str, list[bytes]] = {}
        for kind, things in fitted.items():
            self.files[kind] = []
            for thing in things:
                rows = kind == "editor" and len(self.files[kind]) % 2 == 1
                skmeta.save(thing, folder / "sample", include_task=rows)
                self.files[kind].append((folder / "sample").read_bytes())
                # torch imports parts of itself at their first use.
                self.use(skmeta.load(folder / "sample"))

    def _readers(self) -> list[Any]:
        y = self.zoo.metadata["validation_loss"].to_numpy()
        small = {"max_epochs": 1, "hidden_channels": 3, "n_layers": 1, "random_state": 0}
        labels = np.array(["a", "b"])[np.arange(len(y)) % 2]
        return [
            skmeta.WeightSpaceRegressor(metanet="neuron", **small).fit(self.zoo, y),
            skmeta.WeightSpaceRegressor(metanet="nfn-np", quasi=True, **small).fit(self.zoo, y),
            skmeta.WeightSpaceClassifier(metanet="statistics", **small).fit(self.zoo, labels),
        ]

    def _editors(self) -> list[Any]:
        small = {"max_epochs": 1, "hidden_channels": 3, "n_layers": 1, "random_state": 0}
        joint = Joint([skmeta.requirements.EqualizedOdds(thresholds=(0.4, 0.5))], [1.0])
        several = ["demographic_parity", Pruning(budget=0.5)]
        editors = [
            skmeta.ComplianceEditor(features="weights", **small),
            skmeta.ComplianceEditor(joint, guard={"max_divergence": 1.0}, **small),
            skmeta.ComplianceEditor(several, refine_steps=1, **small),
        ]
        classifier = skmeta.EditedClassifier(
            MLPClassifier((4,), max_iter=2),
            **{
                "method": "editor",
                "lam": 0.1,
                "n_networks": 3,
                "zoo_epochs": 1,
                "max_epochs": 1,
                "random_state": 0,
            },
        )
        groups = self.train.groups[self.train.sensitive]
        fitted = [editor.fit(self.zoo, task=self.reference) for editor in editors]
        return [*fitted, classifier.fit(self.train.X, self.train.y, sensitive_features=groups)]

    def use(self, thing: Any) -> None:
        """Do with what a file holds what people do."""
        if isinstance(thing, skmeta.Population):
            thing.to_networks()
            for i, spec in enumerate(thing.architectures):
                if spec.n_inputs <= 10**4:
                    thing[[i]].forward(torch.zeros(3, spec.n_inputs))
        elif isinstance(thing, skmeta.ComplianceEditor):
            thing.transform(self.zoo[:3], task=None if thing.task_ is not None else self.reference)
        elif isinstance(thing, skmeta.EditedClassifier):
            thing.predict_proba(self.test.X[:5])
        else:
            thing.predict(self.zoo[:3])


def _populations() -> list[skmeta.Population]:
    rng = np.random.default_rng(0)
    X, y = _ROWS, rng.integers(3, size=len(_ROWS))
    estimators = [
        MLPClassifier((4,), max_iter=2).fit(X, np.array(["a", "b", "cc"], dtype=object)[y]),
        MLPClassifier((3, 2), max_iter=2, activation="tanh").fit(X, y > 0),
        MLPClassifier((3,), max_iter=2).fit(X, rng.integers(2, size=(len(X), 3))),
        MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(
            X.astype(np.float32), y.astype(np.float32)
        ),
    ]
    table = pd.DataFrame({"run": range(4), "name": list("abcd"), "lr": [0.1, 0.2, None, 0.3]})
    last = Stage.dense(5, "gelu", norm="layer", skips=(1,)), Stage.dense(2)
    stages = (Stage.dense(5, "relu", norm="batch"), *last)
    dense = [Architecture(10, stages), Architecture.mlp((10, 4, 2))]
    images = [
        Architecture.cnn((1, 6, 6), (2, 3), 2, stride=2),
        Architecture.cnn((1, 6, 6), (2, 3), 2, kernel=1, padding=0),
    ]
    modules = [nn.Sequential(nn.Linear(10, 3, bias=False), nn.Tanh(), nn.Linear(3, 2))]
    return [
        skmeta.Population(estimators, metadata=table),
        skmeta.Population.initialize(dense * 2, random_state=0),
        skmeta.Population.initialize(images, random_state=0),
        skmeta.Population([*modules, *estimators[:1]]),
    ]


def try_file(path: Path, samples: Samples) -> Outcome:
    """Load a file, use what it holds, and say what became of it and what it cost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, seconds, megabytes = measured(lambda: _load_and_use(path, samples))
    if kind in ("loaded", "refused"):
        if seconds > MOST_SECONDS:
            kind = "too slow"
        elif megabytes > 100 + 10 * path.stat().st_size / 1e6:
            kind = "too large"
    return Outcome(kind, seconds, megabytes)


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what a function returns, its CPU seconds and the megabytes at its peak."""
    _forget_peak()
    before, started = _memory("VmRSS"), time.process_time()
    result = work()
    seconds = time.process_time() - started
    return result, seconds, (_memory("VmHWM") - before) / 1e3


def _load_and_use(path: Path, samples: Samples) -> str:
    try:
        thing = skmeta.load(path)
    except FileError as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
            return f"memory: {cause}"[:200]
        return f"raw text: {error}"[:300] if _RAW.search(str(error)) else "refused"
    except Exception as error:
        return f"load: {error!r}"[:200]
    try:
        samples.use(thing)
    except (ValueError, TypeError) as error:
        # A file may hold what another task cannot use: that is said in our words.
        return f"use: {error!r}"[:300] if _RAW.search(str(error)) else "loaded"
    except Exception as error:
        return f"use: {error!r}"[:300]
    return "loaded"


def limit_memory(gigabytes: float = 2.0) -> None:
    """Let what is allocated and not touched fail, too; else it is seen nowhere."""
    if sys.platform == "linux":
        most = int(_memory("VmSize") * 1000 + gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _forget_peak() -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _memory(field: str) -> float:
    """Kilobytes as the system counts them, all libraries included; 0 where it does not say."""
    if sys.platform != "linux":
        return 0.0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) * 1.024
    return 0.0
