"""make_zoo: reproducible, resumable, honest about what it made."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skmeta.datasets import Task
from skmeta.networks import Architecture
from skmeta.population import Population
from skmeta.zoo import MLPSearchSpace, make_zoo

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6))
TASK = Task(X, (X[:, 0] + X[:, 1] ** 2 > 1).astype(int))
SMALL = {"epochs": 3, "n_checkpoints": 2, "progress": False, "random_state": 0}


def same(first: Population, second: Population, *, seconds=False) -> bool:
    """Compare to the bit; CPU time only where it comes from a file."""
    drop = [] if seconds else ["seconds"]
    a, b = (zoo.metadata.drop(columns=drop) for zoo in (first, second))
    assert a.equals(b)
    for one, other in zip(first.records(), second.records(), strict=True):
        assert one.architecture == other.architecture
        for field, tensors in one.tensors.items():
            if not all(map(torch.equal, tensors, other.tensors[field])):
                return False
    return True


@pytest.fixture(scope="module")
def zoo():
    return make_zoo(TASK, 30, **SMALL)


def test_metadata(zoo):
    table = zoo.metadata
    assert len(zoo) == 60
    assert table["run"].tolist() == np.repeat(np.arange(30), 2).tolist()
    assert table["epoch"].tolist() == [1, 3] * 30
    assert {
        "n_hidden_layers", "hidden_widths", "activation", "norm", "dropout", "n_skips",
        "n_parameters", "batch_size", "learning_rate", "weight_decay", "validation_loss",
        "validation_accuracy", "diverged", "seconds",
    } <= set(table.columns)  # fmt: skip
    assert not table.isna().any(axis=None) and not table["diverged"].any()
    assert (table.groupby("run")["seconds"].nunique() == 1).all() and (table["seconds"] > 0).all()
    for row, architecture in zip(table.itertuples(), zoo.architectures, strict=True):
        assert row.n_parameters == architecture.n_parameters
        assert row.hidden_widths == "-".join(map(str, architecture.widths[1:-1]))


def test_networks_learn(zoo):
    table = zoo.metadata
    majority = max(np.bincount(TASK.y)) / TASK.n_samples
    last = table[table["epoch"] == 3]
    assert last["validation_accuracy"].median() > majority
    # The columns are what the networks do in evaluation mode.
    assert abs(zoo.score(TASK.X, TASK.y) - table["validation_accuracy"]).mean() < 0.1


def test_same_seed_same_zoo_whatever_n_jobs_and_cache(zoo, tmp_path):
    assert same(zoo, make_zoo(TASK, 30, **SMALL, n_jobs=2))
    kept = make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path)
    assert same(zoo, kept)
    assert same(kept, make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path, n_jobs=2), seconds=True)


def test_other_arguments_other_zoo(zoo, tmp_path):
    kept = make_zoo(TASK, 4, **SMALL, cache_dir=tmp_path)
    changed = Task(TASK.X + 0.1, TASK.y)
    for task, options in (
        (TASK, {"random_state": 1}),
        (TASK, {"epochs": 4}),
        (TASK, {"n_checkpoints": 3}),
        (changed, {}),
    ):
        other = make_zoo(task, 4, **SMALL | options, cache_dir=tmp_path)
        assert not torch.equal(
            other.forward(torch.ones(1, 6))[-1], kept.forward(torch.ones(1, 6))[-1]
        ) or len(other) != len(kept)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_run_does_not_depend_on_how_many_there_are(zoo):
    few = make_zoo(TASK, 5, **SMALL)
    columns = [c for c in zoo.metadata if c not in ("seconds", "validation_loss")]
    assert few.metadata[columns].equals(zoo.metadata[columns].iloc[:10])
    a, b = (z.forward(torch.tensor(TASK.X[:50])) for z in (few, zoo[:10]))
    torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)  # rounding, over three epochs


def test_global_random_state_is_left_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    make_zoo(TASK, 2, **SMALL)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@pytest.mark.parametrize("n_checkpoints, epochs", [(1, [5]), (2, [1, 5]), (3, [1, 3, 5])])
def test_checkpoints_end_with_the_last_epoch(n_checkpoints, epochs):
    zoo = make_zoo(TASK, 1, epochs=5, n_checkpoints=n_checkpoints, progress=False, random_state=0)
    assert zoo.metadata["epoch"].tolist() == epochs


def test_a_diverged_run_is_kept_and_flagged():
    space = MLPSearchSpace(learning_rate=(1e30, 1e30), norms=("none",), activations=("identity",))
    zoo = make_zoo(TASK, 3, search_space=space, **SMALL)
    assert zoo.metadata["diverged"].all()
    assert all(t.isfinite().all() for r in zoo.records() for t in r.tensors.values())


def test_zoo_around_one_network():
    network = MLPClassifier((7, 5), activation="tanh", max_iter=1)
    with pytest.warns(Warning):
        network.fit(TASK.X, TASK.y)
    zoo = make_zoo(TASK, 3, like=network, **SMALL)
    assert {a.widths for a in zoo.architectures} == {(6, 7, 5, 2)}
    assert zoo.metadata["learning_rate"].nunique() == 3
    assert set(zoo.metadata["activation"]) == {"tanh"}


CHILD = """
import sys
sys.path.insert(0, {root!r})
from tests.zoo.test_make_zoo import TASK, SMALL, make_zoo
make_zoo(TASK, 30, **SMALL, cache_dir={folder!r})
"""


def test_a_killed_build_resumes_to_the_bit(zoo, tmp_path):
    code = CHILD.format(root=str(ROOT), folder=str(tmp_path))
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/group-*.safetensors")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/group-*.safetensors")}
    resumed = make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path)
    assert same(zoo, resumed)
    files = list(tmp_path.glob("*/group-*.safetensors"))
    assert 0 < len(done) < len(files)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert same(resumed, make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path), seconds=True)


def test_damaged_files_are_trained_again_with_a_warning(zoo, tmp_path):
    make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path)
    first, second, third, *_ = sorted(tmp_path.glob("*/group-*.safetensors"))
    first.write_bytes(first.read_bytes()[:1000])
    second.write_bytes(b"")
    with pytest.warns(UserWarning, match="trains a group of networks again") as caught:
        assert same(zoo, make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path))
    assert len(caught) == 2
    first.write_bytes(third.read_bytes())
    with pytest.warns(UserWarning, match="it holds other runs"):
        assert same(zoo, make_zoo(TASK, 30, **SMALL, cache_dir=tmp_path))


REGRESSION = Task(X, X[:, 0])


@pytest.mark.parametrize(
    "task, options, error, text",
    [
        (TASK, {"n_networks": 0}, ValueError, "'n_networks' parameter of make_zoo must be an int"),
        (TASK, {"n_networks": 2.5}, TypeError, r"Got 2.5 instead"),
        (TASK, {"epochs": 0}, ValueError, "'epochs' parameter of make_zoo"),
        (TASK, {"n_checkpoints": 4}, ValueError, r"'n_checkpoints'.*range \[1, 3\]"),
        (TASK, {"random_state": "x"}, ValueError, "'random_state' parameter must be"),
        (REGRESSION, {}, ValueError, "needs a classification task. Got a task with a float y"),
        (
            TASK,
            {"like": torch.nn.Linear(6, 2), "search_space": MLPSearchSpace()},
            ValueError,
            "either 'search_space' or 'like'. Got both",
        ),
        (
            TASK,
            {"like": torch.nn.Linear(5, 2)},
            ValueError,
            "6 inputs and 2 class logits.*5 inputs",
        ),
        (TASK, {"like": torch.nn.Linear(6, 3)}, ValueError, "Got 6 inputs and 3 logits"),
        (
            TASK,
            {"search_space": MLPSearchSpace(architecture=Architecture.mlp((4, 2)))},
            ValueError,
            "Got 4 inputs and 2 logits",
        ),
    ],
)
def test_errors(task, options, error, text):
    with pytest.raises(error, match=text):
        make_zoo(task, **{"n_networks": 2, **SMALL, **options})


def test_a_regressor_is_no_model_for_a_zoo():
    network = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1)
    with pytest.warns(Warning):
        network.fit(TASK.X, TASK.X[:, :2])
    with pytest.raises(ValueError, match="2 class logits.*2 values"):
        make_zoo(TASK, 2, like=network, **SMALL)
