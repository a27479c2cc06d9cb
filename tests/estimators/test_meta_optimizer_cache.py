"""Searches of GradientMetaOptimizer go on where they were interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from skmeta import GradientMetaOptimizer, Population, Task
from skmeta.networks import Architecture
from skmeta.optimizing import Problem, Progress, Search, Training
from skmeta.optimizing.keeping import Kept

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(0).standard_normal((120, 5)).astype(np.float32)
TASK = Task(X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int))
NETWORKS = Population.initialize(Architecture.mlp((5, 6, 2)), 4, random_state=0)
N_ROUNDS = 16
SMALL = {
    "horizon": 20,
    "batch_size": 16,
    "n_meta_steps": N_ROUNDS,
    "n_candidates": 4,
    "n_parallel": 2,
    "random_state": 0,
}


def fit(**params):
    return GradientMetaOptimizer("kfac", **SMALL | params).fit(NETWORKS, task=TASK)


@pytest.fixture(scope="module")
def whole():
    return fit()


@pytest.fixture
def scored(monkeypatch):
    calls, scores = [], Search._scores

    def counted(self, *args):
        calls.append(args)
        return scores(self, *args)

    monkeypatch.setattr(Search, "_scores", counted)
    return calls


def n_done(folder):
    (path,) = folder.glob("search-*.safetensors")
    with safetensors.safe_open(path, framework="pt") as file:
        return len(json.loads(file.metadata()["skmeta"])["history"])


def assert_same(one, other):
    assert one.recipe_ == other.recipe_ and one.scores_ == other.scores_
    assert one.history_.equals(other.history_)


CHILD = """
import sys
sys.path.insert(0, {root!r})
from tests.estimators.test_meta_optimizer_cache import fit
fit(cache_dir={folder!r})
"""


def test_a_killed_search_goes_on_to_the_bit(whole, scored, tmp_path):
    code = CHILD.format(root=str(ROOT), folder=str(tmp_path))
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("search-*.safetensors")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    done = n_done(tmp_path)
    assert 0 < done < N_ROUNDS
    assert_same(fit(cache_dir=tmp_path), whole)
    assert len(scored) == N_ROUNDS - done + 1
    assert n_done(tmp_path) == N_ROUNDS


def test_a_finished_search_is_not_repeated(whole, scored, tmp_path):
    assert_same(fit(cache_dir=str(tmp_path / "new" / "folder")), whole)
    scored.clear()
    assert_same(fit(cache_dir=tmp_path / "new" / "folder"), whole)
    assert len(scored) == 1


FEW = {"n_meta_steps": 2, "horizon": 5}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:200],
        lambda content: content[:-9] + b"damaged!!",
    ],
    ids=["empty", "short", "changed"],
)
def test_a_damaged_file_warns_and_is_replaced(scored, tmp_path, damage):
    whole = fit(**FEW, cache_dir=tmp_path)
    (path,) = tmp_path.glob("search-*.safetensors")
    good = path.read_bytes()
    path.write_bytes(damage(good))
    scored.clear()
    with pytest.warns(UserWarning, match="begins anew, because its file .* is damaged"):
        assert_same(fit(**FEW, cache_dir=tmp_path), whole)
    assert len(scored) == FEW["n_meta_steps"] + 1
    assert path.read_bytes() == good


OTHER = [
    {"random_state": 1},
    {"horizon": 6},
    {"batch_size": 8},
    {"n_candidates": 5},
    {"n_parallel": 1},
    {"n_meta_steps": 3},
]


@pytest.mark.parametrize("params", OTHER, ids=lambda params: [*params][0])
def test_a_file_serves_equal_parameters_only(scored, tmp_path, params):
    fit(**FEW, cache_dir=tmp_path)
    scored.clear()
    fit(**FEW | params, cache_dir=tmp_path)
    assert len(scored) == (FEW | params)["n_meta_steps"] + 1
    assert len(list(tmp_path.glob("search-*"))) == 2


def test_a_file_serves_equal_networks_and_rows_only(tmp_path):
    def path(networks, task, base="kfac"):
        search = Search(base, Training(5, 16), 2, 4, 2, 0)
        return Kept(tmp_path, search, [Problem(networks, task)]).path

    flipped, moved = Task(X, 1 - TASK.y), Task(X + np.float32(1e-6), TASK.y)
    others = [path(NETWORKS, task) for task in (flipped, moved, TASK.subset(np.arange(119)))]
    others += [path(NETWORKS[:3], TASK), path(NETWORKS[::-1], TASK), path(NETWORKS, TASK, "adam")]
    assert path(NETWORKS, TASK) not in others and len(set(others)) == len(others)
    assert path(NETWORKS[[0, 1, 2, 3]], Task(X.copy(), TASK.y.copy())) == path(NETWORKS, TASK)


def test_rounds_in_which_candidates_diverge_are_kept(tmp_path):
    search = Search("adam", Training(5, 16), 2, 4, 2, 0)
    kept = Kept(tmp_path, search, [Problem(NETWORKS, TASK)])
    progress = Progress.start("adam")
    for best in (float("inf"), -0.5):
        seen = {"best": best, "median": float("inf"), "mean": float("inf"), "n_diverged": 3}
        progress.history.append({**seen, "candidate": [0.1, 0.2, 0.3, 1.0]})
    kept.save(progress)
    assert kept.load().history == progress.history
    assert torch.equal(kept.load().mean, progress.mean)


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="'cache_dir' parameter must be a folder"):
            fit(**FEW, cache_dir=path)
    assert (tmp_path / "file").read_text() == "mine"
