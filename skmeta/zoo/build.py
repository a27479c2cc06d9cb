"""Make a population on purpose: :func:`make_zoo`."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from sklearn.model_selection import train_test_split
from tqdm.auto import tqdm

from skmeta._checks import check_device, check_in_range, check_n_jobs, check_rng, shown
from skmeta.datasets import Task
from skmeta.files import FileError
from skmeta.networks.initialization import initial_records
from skmeta.population import Population, Stack, run_stack
from skmeta.training import ShuffledRows, StackTrainer, single_thread, train_stack
from skmeta.zoo.checks import (
    VALIDATION_SHARE,
    check_trainable,
    warn_of_constants,
    warn_of_few_rows,
)
from skmeta.zoo.cnn_space import CNNSearchSpace
from skmeta.zoo.grouping import plan_groups
from skmeta.zoo.search_space import MLPSearchSpace, Run

SearchSpace = MLPSearchSpace | CNNSearchSpace

_MOST_CHECKPOINTS = 3
_CACHE_VERSION = 1  # raise it when the same arguments begin to give another zoo


def make_zoo(
    task: Task,
    n_networks: int = 500,
    *,
    search_space: SearchSpace | None = None,
    like: Any = None,
    epochs: int = 10,
    n_checkpoints: int | None = None,
    n_jobs: int | None = None,
    cache_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
    random_state: Any = None,
) -> Population:
    """Train a population of classifiers on one task, vectorised.

    Networks that can share a program (batch size, depth, similar widths) are trained
    together as stacked tensors with cross-entropy, and Adam unless the search space says
    otherwise, on 90 % of the task's rows; the rest measures the validation columns of the
    metadata. No network has seen these rows.

    Parameters
    ----------
    task : Task
        Classification task to train on.
    n_networks : int, default=500
        Number of training runs; the population holds ``n_checkpoints`` networks of each.
    search_space : MLPSearchSpace or CNNSearchSpace, optional
        What architectures and hyper-parameters are sampled from; default is table 2 of
        the paper on learned editing.
    like : network, optional
        Train all runs with this network's architecture (anything that Population
        takes); only training hyper-parameters are sampled.
    epochs : int, default=10
        Passes over the training rows.
    n_checkpoints : int, optional
        Networks kept of each run, at equally spaced epochs from the first to the last;
        one keeps the last. The default is three, or as many as there are epochs.
    n_jobs : int or None
        Groups trained at once, by joblib; ``joblib.parallel_config`` decides where: processes,
        threads, Dask, Ray or Spark. The zoo does not depend on it.
    cache_dir : path, optional
        Finished groups of networks are kept there; a call with equal arguments continues
        an interrupted one and returns the same networks to the bit. A damaged file is
        trained again, with a warning.
    device : str, default="cpu"
        Where to train.
    progress : bool, default=True
        Show a progress bar that counts networks.
    random_state : int, RandomState, Generator or None
        Seed; each run has a seed of its own. What run ``i`` is does not depend on
        ``n_networks``; its weights do not either, but for rounding.

    Returns
    -------
    Population
        ``n_networks * n_checkpoints`` networks with metadata columns ``run``, ``epoch``,
        hyper-parameters, ``validation_loss``, ``validation_accuracy``, ``diverged``
        (a run that became non-finite is kept at its last finite epoch) and ``seconds``
        (CPU time of the whole run, as its share of the group it was trained in).

    Warns
    -----
    ZooWarning
        If runs have fewer training rows than a batch, or if most networks are constant.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement
       compliance", appendix A.6.

    Examples
    --------
    >>> from skmeta import make_zoo
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, sensitive="group")
    >>> zoo = make_zoo(train, 4, epochs=2, n_checkpoints=2, progress=False, random_state=0)
    >>> len(zoo), sorted(zoo.metadata["epoch"].unique().tolist())
    (8, [1, 2])
    """
    check_in_range("n_networks", n_networks, owner="make_zoo", low=1, kind="int")
    check_in_range("epochs", epochs, owner="make_zoo", low=1, kind="int")
    n_checkpoints = min(_MOST_CHECKPOINTS, epochs) if n_checkpoints is None else n_checkpoints
    check_in_range("n_checkpoints", n_checkpoints, owner="make_zoo", low=1, high=epochs, kind="int")
    check_n_jobs(n_jobs, "make_zoo")
    if not isinstance(cache_dir, str | os.PathLike | None):
        raise TypeError(
            "The 'cache_dir' parameter of make_zoo must be a path or None. Got "
            f"{shown(cache_dir)} instead."
        )
    device = check_device(device, "make_zoo")
    task = check_trainable(task)
    runs = _sample_runs(_search_space(search_space, like), task, n_networks, random_state)
    rows = train_test_split(
        np.arange(task.n_samples), test_size=VALIDATION_SHARE, stratify=task.y, random_state=0
    )
    train, validation = map(task.subset, rows)
    warn_of_few_rows([(run.n_rows(train.n_samples), run.batch_size) for run in runs])
    kept = _kept_epochs(epochs, n_checkpoints)
    groups = plan_groups(runs)
    cache = None
    if cache_dir is not None:
        cache = _Cache(Path(cache_dir), task, runs, groups, kept, str(device))
    jobs = (
        delayed(_train_group)(
            number, [runs[i] for i in group], group, train, validation, kept, device, cache
        )
        for number, group in enumerate(groups)
    )
    # Multiprocessing, Ray and Spark have no generators; what they return comes at the end.
    lazy = get_active_backend()[0].supports_return_generator
    finished = Parallel(n_jobs, return_as="generator_unordered" if lazy else "list")(jobs)
    parts: dict[int, Population] = {}
    with tqdm(total=n_networks, disable=not progress, unit="network", desc="zoo") as bar:
        for number, part in finished:
            parts[number] = part
            bar.update(len(groups[number]))
    zoo = _assemble([parts[number] for number in range(len(groups))], task)
    warn_of_constants(zoo[(zoo.metadata["epoch"] == epochs).to_numpy()], validation.X)
    return zoo


def _sample_runs(space: SearchSpace, task: Task, n_networks: int, random_state: Any) -> list[Run]:
    # A stream per run: what a run is does not depend on how many there are.
    root = np.random.SeedSequence(int(check_rng(random_state).integers(2**63)))
    streams = map(np.random.default_rng, root.spawn(n_networks))
    runs = [space.sample(task.n_features, task.n_classes, rng) for rng in streams]
    for run in runs:
        got = run.architecture
        fits = (got.n_inputs, got.n_outputs, got.output) == (
            task.n_features,
            task.n_classes,
            "logits",
        )
        if not fits:
            raise ValueError(
                f"make_zoo needs networks with {task.n_features} inputs and {task.n_classes} "
                f"class logits, as the task has features and classes. Got {got.n_inputs} inputs "
                f"and {got.n_outputs} {got.output}; change 'like' or the search space's "
                "'architecture' or 'input_shape'."
            )
    return runs


def _kept_epochs(epochs: int, n_checkpoints: int) -> list[int]:
    first = 1 if n_checkpoints > 1 else epochs
    return np.linspace(first, epochs, n_checkpoints).round().astype(int).tolist()


def _search_space(search_space: SearchSpace | None, like: Any) -> SearchSpace:
    if not isinstance(search_space, SearchSpace | None):
        raise TypeError(
            "The 'search_space' parameter of make_zoo must be an MLPSearchSpace, a "
            f"CNNSearchSpace or None. Got {search_space!r}. The defaults are MLPSearchSpace()."
        )
    if like is None:
        return MLPSearchSpace() if search_space is None else search_space
    if search_space is not None:
        raise ValueError(
            "make_zoo takes either 'search_space' or 'like'. Got both; to vary training "
            "around one architecture, pass MLPSearchSpace(architecture=...)."
        )
    return MLPSearchSpace(architecture=Population([like]).architectures[0])


def _train_group(
    number: int,
    runs: Sequence[Run],
    positions: Sequence[int],
    train: Task,
    validation: Task,
    kept: Sequence[int],
    device: str | torch.device,
    cache: _Cache | None,
) -> tuple[int, Population]:
    """Train one group and return its checkpoints as a population."""
    if cache is not None and (found := cache.load(number, positions)) is not None:
        return number, found
    # Thread time: under a threading backend other groups run in this process as well.
    start = time.thread_time()
    X, _, _ = train.tensors(device)
    X = X[: runs[0].n_rows(len(X))]
    initial, training = zip(*(run.seeds for run in runs), strict=True)
    records = initial_records(
        [r.architecture for r in runs],
        seeds=initial,
        schemes=[r.initialization for r in runs],
        scales=[r.init_scale for r in runs],
    )
    stack = Stack.merge([Stack.from_records([record]) for record in records]).to(X.device)
    with single_thread():
        trainer = StackTrainer(
            stack,
            lr=torch.tensor([r.learning_rate for r in runs], dtype=torch.float32),
            weight_decay=torch.tensor([r.weight_decay for r in runs], dtype=torch.float32),
            seeds=training,
            rule=runs[0].rule,
        )
        result = train_stack(
            trainer,
            X,
            train.loss(device),
            ShuffledRows(len(X), runs[0].batch_size),
            n_epochs=max(kept),
            checkpoints=kept,
        )
        parts = []
        for epoch, checkpoint in result.checkpoints.items():
            frame = _metadata(runs, positions, epoch, checkpoint, validation)
            frame["diverged"] = result.diverged.cpu().numpy()
            block = (np.arange(len(runs)), checkpoint.to("cpu"))
            parts.append(Population.from_blocks([block], metadata=frame))
    part = Population.concatenate(parts)
    seconds = (time.thread_time() - start) / len(runs)
    part = Population(part, metadata=part.metadata.assign(seconds=seconds))
    if cache is not None:
        cache.save(number, part)
    return number, part


def _metadata(
    runs: Sequence[Run],
    positions: Sequence[int],
    epoch: int,
    stack: Stack,
    validation: Task,
) -> pd.DataFrame:
    X, y, _ = validation.tensors(stack.device)
    frame = pd.DataFrame([run.description for run in runs])
    frame.insert(0, "run", list(positions))
    frame.insert(1, "epoch", epoch)
    logits = run_stack(stack, X)
    labels = y.expand(len(stack), -1)
    every = torch.arange(len(y), device=y.device).expand(len(stack), -1)
    frame["validation_loss"] = validation.loss(stack.device)(logits, every).cpu().double().numpy()
    correct = (logits.argmax(-1) == labels).double().mean(1)
    frame["validation_accuracy"] = correct.cpu().numpy()
    return frame


def _assemble(parts: Iterable[Population], task: Task) -> Population:
    """Join the groups, ordered by run and epoch, as networks that know their columns."""
    joined = Population.concatenate(list(parts))
    order = joined.metadata.sort_values(["run", "epoch"]).index
    zoo = joined[order.to_numpy()]
    return Population.from_blocks(
        zoo.blocks, metadata=zoo.metadata, feature_names=task.column_names
    )


class _Cache:
    """Finished groups of one zoo in a folder whose name is a hash of all that defines it."""

    def __init__(
        self,
        folder: Path,
        task: Task,
        runs: Sequence[Run],
        groups: Sequence[Sequence[int]],
        kept: Sequence[int],
        device: str,
    ) -> None:
        digest = hashlib.sha256()
        for array in (task.X, task.y):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        spec = [[r.architecture.to_dict(), r.description, r.seed] for r in runs]
        rest = [_CACHE_VERSION, torch.__version__, device, groups, list(kept)]
        digest.update(json.dumps([spec, rest], sort_keys=True).encode())
        self.folder = folder / f"zoo-{digest.hexdigest()[:16]}"
        self.n_kept = len(kept)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(
                "The 'cache_dir' parameter of make_zoo must be a folder, or a path where one can "
                f"be made. Got {str(folder)!r}, where there is a file."
            ) from error

    def _path(self, number: int) -> Path:
        return self.folder / f"group-{number:04d}.safetensors"

    def load(self, number: int, positions: Sequence[int]) -> Population | None:
        """Return a finished group, or None if it is missing, damaged or another one."""
        path = self._path(number)
        if not os.path.lexists(path):
            return None
        try:
            part = Population.load(path)
            if part.metadata["run"].tolist() == [*positions] * self.n_kept:
                return part
            problem = "it holds other runs."
        except KeyError:
            problem = "it holds no runs."
        except (FileError, OSError) as error:
            problem = str(error)
        warnings.warn(
            f"make_zoo trains a group of networks again, because its file {path} in 'cache_dir' "
            f"is damaged: {problem} Remove it if you read this again.",
            stacklevel=2,
        )
        return None

    def save(self, number: int, part: Population) -> None:
        path = self._path(number)
        if path.is_file() or not path.exists():  # what else is there, load has warned of
            part.save(path)
