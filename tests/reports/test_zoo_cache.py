"""The cache of make_zoo: nothing damaged is used, nothing hangs."""

import os

import numpy as np
import pytest

from skmeta import Population, Task, make_zoo

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
TASK = Task(X, (X[:, 0] > 0).astype(int))
SMALL = {"epochs": 1, "n_checkpoints": 1, "progress": False, "random_state": 0}


def build(folder):
    return make_zoo(TASK, 6, cache_dir=folder, **SMALL)


def weights(zoo):
    return b"".join(
        t.numpy().tobytes() for r in zoo.records() for field in r.tensors.values() for t in field
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    zoo = build(folder)
    (first, *_) = sorted(folder.glob("*/group-*.safetensors"))
    return weights(zoo), first.relative_to(folder), first.read_bytes()


@pytest.mark.parametrize("place", np.linspace(0.02, 0.999, 20).round(3))
def test_a_flipped_bit_in_a_cache_is_not_used(expected, tmp_path, place):
    wanted, name, data = expected
    (tmp_path / name).parent.mkdir()
    damaged = bytearray(data)
    damaged[int(place * len(data))] ^= 4
    (tmp_path / name).write_bytes(damaged)
    with pytest.warns(UserWarning, match="trains a group of networks again"):
        assert weights(build(tmp_path)) == wanted
    # The group is whole again, but for the seconds that it took.
    assert len(Population.load(tmp_path / name)) > 0


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling"])
def test_what_is_no_file_in_place_of_a_group_is_warned_of(expected, tmp_path, kind):
    wanted, name, _ = expected
    path = tmp_path / name
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "gone")
    with pytest.warns(UserWarning, match="There is no file .*group.* Remove it"):
        assert weights(build(tmp_path)) == wanted


def test_a_file_in_place_of_the_cache_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="'cache_dir' parameter of make_zoo must be a folder"):
            build(folder)
