"""Files: equal bytes for equal things, what load says of other files, where save writes."""

import gzip
import io
import os
import pickle
import stat
import struct
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

import skmeta
from skmeta import EditedClassifier, Population
from skmeta.datasets import make_biased_classification
from skmeta.networks import Architecture
from skmeta.population import saving

SPECS = [Architecture.mlp((3, 4, 2)), Architecture.mlp((3, 5, 2), activation="tanh")]


@pytest.fixture
def population():
    return Population.initialize(SPECS * 2, random_state=0)


def networks():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(2, size=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [MLPClassifier((4,), max_iter=2, random_state=i).fit(X, y) for i in range(3)]


# -- the same bytes --------------------------------------------------------------------------


def test_equal_populations_give_equal_bytes(population, tmp_path):
    sources = networks()
    modules = [nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))]
    table = pd.DataFrame({"run": range(5), "name": list("abcde")})
    whole = Population([*modules, *sources], metadata=table)
    parts = Population.concatenate([whole[[0]], whole[1:4], whole[[4]]])
    backwards = whole[::-1][::-1]
    paths = [tmp_path / str(i) for i in range(4)]
    for path, one in zip(paths, [whole, whole, parts, backwards], strict=True):
        one.save(path)
    first = paths[0].read_bytes()
    assert all(path.read_bytes() == first for path in paths)
    Population.load(paths[0]).save(paths[1])
    assert paths[1].read_bytes() == first
    edited = population.with_blocks(population.depth_blocks())
    for path, one in zip(paths, [population, edited], strict=False):
        one.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_weights_of_double_precision_come_back_exactly(tmp_path):
    source = networks()[0]
    source.coefs_[0][0, 0] = np.nextafter(0.1, 1)
    Population([source]).save(tmp_path / "file")
    (back,) = Population.load(tmp_path / "file")
    assert back.coefs_[0].dtype == np.float64
    assert back.coefs_[0].tobytes() == np.ascontiguousarray(source.coefs_[0]).tobytes()


def test_a_file_may_change_while_it_is_loaded(population, tmp_path, monkeypatch):
    path = tmp_path / "file"
    population.save(path)
    check = saving.integers

    def cut_and_check(*args, **bounds):
        os.truncate(path, 10)  # in place, as no save of ours does it
        return check(*args, **bounds)

    monkeypatch.setattr(saving, "integers", cut_and_check)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()  # a file that is mapped and cut ends the process
    if child == 0:
        back = Population.load(path)
        rows = torch.ones(2, 3)
        same = torch.equal(back.forward(rows), population.forward(rows))
        os._exit(int(not same))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_found(population, tmp_path, seed):
    from skmeta.files import FileError

    path = tmp_path / "file"
    population.save(path)
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    data[rng.integers(8, len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    with pytest.raises(FileError, match="damaged|not JSON|no checksum|cut off|not fill|object"):
        skmeta.load(path)


# -- other files -----------------------------------------------------------------------------


def foreign_files():
    module, buffer = nn.Linear(2, 2), io.BytesIO()
    torch.save(module.state_dict(), buffer)
    array = io.BytesIO()
    np.save(array, np.ones(3))
    network = pickle.dumps(MLPClassifier())
    header = b'{"__metadata__":{"skmeta":"{}"},"data_offsets":'
    return {
        "empty": (b"", "it is empty"),
        "pickle": (network, "it is a pickle.*can run any code. If you trust"),
        "torch": (buffer.getvalue(), "it is a zip archive, as of torch.save"),
        "joblib": (gzip.compress(network), "gzip, as of joblib.dump"),
        "numpy": (array.getvalue(), "it is an array of numpy. Read it with numpy.load"),
        "csv": (b"age,sex\n39,m\n" * 2000, "it is text. For a table: pandas.read_csv"),
        "safetensors": (
            safetensors.torch.save(module.state_dict()),
            "a safetensors file of another program.*load_state_dict",
        ),
        "cut": (struct.pack("<Q", 9999) + header, "it is cut off"),
        "noise": (bytes(range(256)), "skmeta did not write it"),
    }


@pytest.mark.parametrize("name", foreign_files())
def test_load_says_what_another_file_is_and_what_to_do(tmp_path, name):
    from skmeta.files import FileError

    data, words = foreign_files()[name]
    (tmp_path / "file").write_bytes(data)
    for load in (skmeta.load, Population.load):
        with pytest.raises(FileError, match=words):
            load(tmp_path / "file")


def test_a_population_is_no_reader(tmp_path):
    from skmeta.files import FileError

    rows = np.random.default_rng(0).normal(size=(20, 3))
    model = skmeta.WeightSpaceRegressor(metanet="statistics", max_epochs=1)
    skmeta.save(model.fit(rows, rows.mean(1)), tmp_path / "reader")
    with pytest.raises(FileError, match="fitted estimator. Read it with skmeta.load"):
        Population.load(tmp_path / "reader")


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "no file .* but a folder"),
        (tmp_path / "pipe", "no file .* but a device or a pipe"),
        (tmp_path / ("x" * 300), "no file"),
        (tmp_path / "nothing", "no file"),
    ):
        with pytest.raises(FileNotFoundError, match=words):
            skmeta.load(path)


# -- where save writes -----------------------------------------------------------------------


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_mode_of_what_is_replaced_is_kept(population, tmp_path):
    path = tmp_path / "file"
    population.save(path)
    umask = os.umask(0)
    os.umask(umask)
    assert mode(path) == 0o666 & ~umask
    for wanted in (0o640, 0o600, 0o664):
        path.chmod(wanted)
        population.save(path)
        assert mode(path) == wanted


def test_a_symbolic_link_stays(population, tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    for step in ("dangling", "again"):
        if step == "dangling":
            link.symlink_to(target)
        population.save(link)
        assert link.is_symlink() and not target.is_symlink()
        assert len(Population.load(target)) == 4
    assert os.listdir(tmp_path / "there") == ["target"]


def test_save_refuses_what_is_no_file(population, tmp_path):
    from skmeta.files import FileError

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "pipe", tmp_path / "loop", "/dev/null"):
        with pytest.raises(FileError, match="is no file but a device, a pipe or a loop"):
            population.save(path)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        population.save(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["loop", "pipe"]


def test_long_names_are_written_and_longer_ones_are_refused(population, tmp_path):
    from skmeta.files import FileError

    population.save(tmp_path / ("x" * 255))
    with pytest.raises(FileError, match="has a name of 256 bytes, which is too long"):
        population.save(tmp_path / ("x" * 256))
    with pytest.raises(FileError, match="a name that the system does not take"):
        population.save(str(tmp_path / "a\0b"))
    assert len(os.listdir(tmp_path)) == 1


def test_a_full_disk_is_named_and_the_old_file_stays(population, tmp_path, monkeypatch):
    path = tmp_path / "file"
    population.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="A population cannot be saved to .*No space left"):
        population.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file"]


def test_what_killed_writers_leave_is_swept(population, tmp_path):
    from skmeta.files.writing import _host

    host = _host()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    alive = os.getppid()
    parts = {
        "dead": f".skmeta-{host}-{child.pid}-00000000.part",
        "alive": f".skmeta-{host}-{alive}-00000000.part",
        "elsewhere": ".skmeta-otherhost-1-00000000.part",
        "old": ".skmeta-otherhost-2-00000000.part",
        "theirs": ".download-1-2.part",
    }
    for name in parts.values():
        (tmp_path / name).write_bytes(b"x")
    two_hours_ago = time.time() - 7200
    os.utime(tmp_path / parts["old"], (two_hours_ago, two_hours_ago))
    population.save(tmp_path / "file")
    kept = {name for name, file in parts.items() if (tmp_path / file).exists()}
    assert kept == {"alive", "elsewhere", "theirs"}


@pytest.mark.parametrize("what", ["savers", "zoos"])
def test_a_killed_writer_loses_nothing(tmp_path, what):
    from benchmarks import _kills

    assert getattr(_kills, f"kill_{what}")(tmp_path / "files", 2) == 0


# -- the classifier of a table ---------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    bunch = make_biased_classification(1500, random_state=0)
    return bunch.data.drop(columns="group"), bunch.target, bunch.sensitive_features


@pytest.fixture(scope="module")
def classifier(table):
    X, y, groups = table
    small = {
        "method": "editor",
        "lam": 0.1,
        "n_networks": 4,
        "zoo_epochs": 1,
        "max_epochs": 1,
        "random_state": 0,
    }
    network = MLPClassifier((8,), early_stopping=True, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too little training
        model = EditedClassifier(network, lam_range=(0.05, 0.5), **small)
        return model.fit(X, y, sensitive_features=groups)


@pytest.mark.parametrize("include_task", [False, True])
def test_an_edited_classifier_comes_back(classifier, table, tmp_path, include_task):
    X, y, groups = table
    path = tmp_path / "classifier"
    skmeta.save(classifier, path, include_task=include_task)
    loaded = skmeta.load(path)
    assert type(loaded) is EditedClassifier and repr(loaded) == repr(classifier)
    assert loaded.predict_proba(X).tobytes() == classifier.predict_proba(X).tobytes()
    assert np.array_equal(loaded.predict(X), classifier.predict(X))
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert list(loaded.feature_names_in_) == list(X.columns) and loaded.lam_ == classifier.lam_
    report = loaded.report(X, y, sensitive_features=groups, n_bootstrap=5)
    assert len(report) == 1
    data = path.read_bytes()
    assert (classifier.editor_.task_.X.tobytes() in data) == include_task
    if include_task:
        assert mode(path) == 0o600
        loaded.set_params(lam=0.4).reedit()
        assert loaded.lam_ == 0.4
    else:
        with pytest.raises(ValueError, match="^reedit looks at .* include_task=True"):
            loaded.set_params(lam=0.4).reedit()
    skmeta.save(skmeta.load(path), tmp_path / "again", include_task=include_task)
    assert (tmp_path / "again").read_bytes() == data


def test_a_file_with_rows_is_its_owners(classifier, tmp_path):
    path = tmp_path / "editor"
    skmeta.save(classifier.editor_, path)
    path.chmod(0o644)
    skmeta.save(classifier.editor_, path, include_task=True)
    assert mode(path) == 0o600


def test_a_classifier_without_groups_has_no_editor(table, tmp_path):
    X, y, _ = table
    model = EditedClassifier(MLPClassifier((4,), max_iter=2), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X.to_numpy(), y)
    skmeta.save(model, tmp_path / "file")
    loaded = skmeta.load(tmp_path / "file")
    assert loaded.editor_ is None and loaded.lam_ is None
    assert not hasattr(loaded, "feature_names_in_")
    assert (
        loaded.predict_proba(X.to_numpy()).tobytes() == model.predict_proba(X.to_numpy()).tobytes()
    )


def test_code_in_an_edited_classifier_is_refused_by_name(classifier, tmp_path):
    class Own(MLPClassifier):
        pass

    def gap(probabilities, labels, groups):
        return probabilities[..., 1].mean(1)

    clone = pickle.loads(pickle.dumps(classifier))
    clone.set_params(requirement=gap)
    with pytest.raises(ValueError, match="'requirement' of EditedClassifier .* because it is code"):
        skmeta.save(clone, tmp_path / "file")
    clone = pickle.loads(pickle.dumps(classifier))
    clone.edited_estimator_.__class__ = Own
    with pytest.raises(ValueError, match="'estimator' .* is code: a Own. Pickle the Edited"):
        skmeta.save(clone, tmp_path / "file")
    with pytest.raises(ValueError, match="'include_task' .* must be False for a Population"):
        skmeta.save(Population(networks()), tmp_path / "file", include_task=True)
    assert not list(tmp_path.iterdir())


def test_an_unfitted_classifier_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted yet"):
        skmeta.save(EditedClassifier(), tmp_path / "file")


def test_a_mask_without_compensation_can_be_loaded_with_any_number_of_layers(table, tmp_path):
    X, y, groups = table
    task = skmeta.Task(X, y, sensitive_features=groups)
    options = {"epochs": 1, "n_checkpoints": 1, "progress": False, "random_state": 0}
    zoo = skmeta.make_zoo(task, 3, **options)
    mask = skmeta.requirements.Pruning(budget=0.5, compensate=False)
    editor = skmeta.ComplianceEditor(mask, n_layers=3, random_state=0).fit(zoo, task=task)
    skmeta.save(editor, tmp_path / "editor")
    assert skmeta.load(tmp_path / "editor").n_layers == 3


@pytest.mark.parametrize("path", [3, None, b"zoo", ["zoo"]])
def test_what_is_no_path_is_refused_and_no_open_file_is_touched(path):
    zoo = Population([nn.Linear(2, 2)])
    for use in (zoo.save, Population.load, skmeta.load, lambda place: skmeta.save(zoo, place)):
        with pytest.raises(TypeError, match="'path' of a file must be a str or a Path. Got"):
            use(path)
