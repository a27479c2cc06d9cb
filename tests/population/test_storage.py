"""Files: what comes back, and what damaged or hostile files do."""

import json
import os
import struct

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from skmeta.files import FileError
from skmeta.files.container import seal
from skmeta.population import Population

from . import networks as make
from .cases import mixed_population
from .networks import X
from .test_adapters import edited, same_bits


def mixed():
    """Return a small population of everything with metadata of every type."""
    networks = [*make.sklearn_networks().values(), *make.torch_networks().values()]
    n = len(networks)
    metadata = pd.DataFrame(
        {
            "run": np.arange(n),
            "epoch": np.arange(n, dtype=np.int8),
            "lr": np.linspace(0.1, 0.2, n),
            "accuracy": np.full(n, np.nan, dtype=np.float32),
            "diverged": np.arange(n) % 2 == 0,
            "name": [f"network {i}" for i in range(n)],
            "widths": pd.Series([(8, 8, i) for i in range(n)], dtype=object),
            "note": pd.Series([None, *["ü"] * (n - 1)], dtype=object),
        }
    )
    return Population(networks, metadata=metadata)


@pytest.fixture(scope="module")
def population():
    return mixed()


def test_round_trip(population, tmp_path):
    path = tmp_path / "population.safetensors"
    population.save(path)
    assert os.listdir(tmp_path) == [path.name]
    back = Population.load(path)
    pd.testing.assert_frame_equal(back.metadata, population.metadata)
    assert back.architectures == population.architectures
    for old, new in zip(population.records(), back.records(), strict=True):
        for slot, tensor in old.tensors.items():
            assert torch.equal(tensor, new.tensors[slot])


@pytest.mark.parametrize("edit", [lambda p: p, edited, lambda p: p.permuted(0)])
def test_estimators_come_back(population, tmp_path, edit):
    expected = edit(population[: len(make.sklearn_networks())])
    expected.save(tmp_path / "file")
    for old, new in zip(expected, Population.load(tmp_path / "file"), strict=True):
        assert type(new) is type(old) and new.get_params() == old.get_params()
        for a, b in zip(old.coefs_ + old.intercepts_, new.coefs_ + new.intercepts_, strict=True):
            assert same_bits(a, b)
        assert same_bits(old.predict(X), new.predict(X))
        if hasattr(old, "predict_proba"):
            assert same_bits(old.predict_proba(X), new.predict_proba(X))
            assert same_bits(np.asarray(old.classes_), new.classes_)


def test_loaded_estimators_can_be_used_like_fitted_ones(tmp_path):
    frame = pd.DataFrame(X, columns=list("abcde"))
    source = make.mlp_classifier(X=frame, y=np.array(["a", "b"], dtype=object)[make.labels(2)])
    Population([source]).save(tmp_path / "file")
    (back,) = Population.load(tmp_path / "file")
    assert list(back.feature_names_in_) == list("abcde")
    assert same_bits(back.classes_, source.classes_)
    assert np.array_equal(back.predict(frame), source.predict(frame))
    back.partial_fit(frame, back.predict(frame))
    make.fit(back, source.predict(frame), frame)


def test_edited_and_other_networks_come_back_as_modules(tmp_path):
    rows = torch.from_numpy(X).float()
    changed = edited(mixed_population())
    changed.save(tmp_path / "file")
    back = Population.load(str(tmp_path / "file"))
    assert torch.equal(back.forward(rows), changed.forward(rows))
    with torch.no_grad():
        torch.testing.assert_close(back[3](rows), changed.forward(rows)[3], rtol=0, atol=1e-5)


def test_empty_population(tmp_path):
    Population([]).save(tmp_path / "file")
    assert len(Population.load(tmp_path / "file")) == 0


def test_diverged_networks_of_a_zoo_are_kept(tmp_path):
    population = mixed_population(1)
    population.records()[2].tensors["0.weight"][0, 0] = np.nan  # a view
    population.save(tmp_path / "file")
    back = Population.load(tmp_path / "file").records()
    assert back[2].tensors["0.weight"][0, 0].isnan()


# -- what save refuses, and leaves behind ----------------------------------------------------


@pytest.mark.parametrize(
    "column, words",
    [
        (pd.Series(pd.to_datetime(["2020-01-01"])), "'x' has dtype datetime64.* cannot be saved"),
        (pd.Series([{}]), "'x' holds a dict"),
        (pd.Series(["a"], dtype="category"), "'x' has dtype category"),
    ],
)
def test_metadata_that_cannot_be_saved(tmp_path, column, words):
    population = Population([torch.nn.Linear(2, 2)], metadata=pd.DataFrame({"x": column}))
    with pytest.raises(ValueError, match=words):
        population.save(tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_bad_paths(tmp_path):
    population = Population([torch.nn.Linear(2, 2)])
    with pytest.raises(FileNotFoundError, match="is in .*missing, which is no folder"):
        population.save(tmp_path / "missing" / "file")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        population.save(tmp_path)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            Population.load(path)


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    Population([torch.nn.Linear(2, 2)]).save(path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        Population([torch.nn.Linear(3, 3)]).save(path)
    assert os.listdir(tmp_path) == ["file"] and path.read_bytes() == before


# -- hostile files ---------------------------------------------------------------------------


def rewrite(path, change, tensors=None):
    """Write a file with a changed description and changed tensors."""
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skmeta"])
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = change(header) or header
    text = header if isinstance(header, str) else json.dumps(header)
    data = safetensors.torch.save((tensors or (lambda v: v))(values), {"skmeta": text})
    path.write_bytes(seal(data))


def put(*keys, value):
    def change(header):
        item = header
        for key in keys[:-1]:
            item = item[key]
        item[keys[-1]] = value

    return change


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def replaced(name, function):
    return lambda tensors: {**tensors, name: function(tensors[name]).contiguous()}


W = "stacks.0.tensors.weights"
SPEC = ("architectures", 0, "!Architecture")
FIRST_STAGE = (*SPEC, "stages", 0)
FIRST_MIX = (*FIRST_STAGE, "mix")
NORM = {"op": "Norm", "kind": "batch", "affine": True}
KIND = ("estimators", "networks", 0)
STATE = (*KIND, "!MLPClassifier", "fitted")
TABLE = ("metadata", "!DataFrame")
HOSTILE = {
    "format": (put("format", value="x"), None, "its format is unknown"),
    "version": (put("version", value=9), None, "its version is 9, this skmeta reads 3"),
    "fewer": (put(*TABLE, "n", value=3), None, "has the wrong length"),
    "more": (
        put(*TABLE, value={"n": 10**18, "columns": []}),
        lambda tensors: {k: v for k, v in tensors.items() if not k.startswith("metadata")},
        "the number of networks disagrees",
    ),
    "negative": (put("stacks", 0, "positions", 0, value=-1), None, "positions must be a list"),
    "twice": (put("stacks", 0, "positions", 0, value=1), None, "number of networks disagrees"),
    "no such spec": (put("stacks", 0, "architectures", 0, value=99), None, "architectures must"),
    "other spec": (put("stacks", 0, "architectures", 0, value=1), None, "wrong dtype or shape|mis"),
    "huge": (put(*FIRST_MIX, "width", value=10**15), None, "wrong dtype or shape"),
    "float width": (put(*FIRST_MIX, "width", value=8.0), None, "'width' has the wrong type"),
    "bool width": (put(*FIRST_MIX, "width", value=True), None, "'width' has the wrong type"),
    "zero width": (put(*FIRST_MIX, "width", value=0), None, "'width' parameter of Linear"),
    "activation": (
        put(*FIRST_STAGE, "tail", value=[{"op": "Activate", "function": "os", "parameter": None}]),
        None,
        "'function' parameter of Act",
    ),
    "skip": (
        put(*FIRST_STAGE, "tail", value=[{"op": "Skip", "source": 7}]),
        None,
        "cannot add a skip connection",
    ),
    "eps": (
        put(*FIRST_STAGE, "tail", value=[{**NORM, "eps": -1e-5}]),
        None,
        "'eps' parameter of Norm",
    ),
    "nan eps": (
        put(*FIRST_STAGE, "tail", value=[{**NORM, "eps": float("nan")}]),
        None,
        "number is NaN or infinite",
    ),
    "dropout": (
        put(*FIRST_STAGE, "tail", value=[{"op": "Dropout", "rate": 2}]),
        None,
        "'rate' parameter of Dropout",
    ),
    "layers": (put(*SPEC, "stages", value=[{}] * 1001), None, "too many layers"),
    "class": (put(*KIND, value={"!os.system": {}}), None, "of no known kind"),
    "parameter": (
        put(*KIND, "!MLPClassifier", "params", "command", value="rm"),
        None,
        "no parameters of MLP",
    ),
    "bad parameter": (
        put(*KIND, "!MLPClassifier", "params", "alpha", value="x"),
        None,
        "'alpha' parameter of",
    ),
    "classes": (put(*STATE, "classes", "!array", 1, value=[0, 1, 2]), None, "outputs disagree"),
    "unsorted": (put(*STATE, "classes", "!array", 1, value=[1, 0]), None, "not sorted and unique"),
    "label dtype": (
        put(*STATE, "classes", "!array", 0, value="U9999999999"),
        None,
        "unknown dtype",
    ),
    "names": (put(*STATE, "feature_names", value=["../../etc/passwd"]), None, "names of features"),
    "estimator widths": (put(*STATE, "widths", value=[5]), None, "has no layers"),
    "column": (
        put(*TABLE, "columns", 0, "dtype", value="object"),
        None,
        "a metadata column has no",
    ),
    "column length": (
        put(*TABLE, "columns", 5, "values", value=["x"]),
        None,
        "has the wrong length",
    ),
    "json": (lambda header: "{", None, "description is not JSON"),
    "list": (lambda header: "[]", None, "it has no description"),
    "nesting": (lambda header: "[" * 100_000, None, "nested too deeply"),
    "big number": (lambda header: "1" * 10_000, None, "description is not JSON"),
    "missing tensor": (put("version", value=3), without(W), "missing or too many"),
    "escaping name": (
        put("version", value=3),
        lambda tensors: {**tensors, "../../etc/passwd": torch.zeros(1)},
        "missing or too many",
    ),
    "dtype": (put("version", value=3), replaced(W, torch.Tensor.double), "wrong dtype or shape"),
    "shape": (put("version", value=3), replaced(W, lambda t: t[..., :1]), "wrong dtype or shape"),
    "nan": (put("version", value=3), replaced(W, lambda t: t * np.nan), "a weight is NaN or inf"),
    "nan estimator": (
        put("version", value=3),
        replaced("estimators.networks.0.fitted.weights", lambda t: t * np.inf),
        "NaN or infinite numbers",
    ),
}


@pytest.fixture(scope="module")
def saved(population, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "population"
    population.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(saved, tmp_path, name):
    change, tensors, words = HOSTILE[name]
    path = tmp_path / "file"
    path.write_bytes(saved)
    rewrite(path, change, tensors)
    with pytest.raises(FileError, match=words):
        Population.load(path)
    assert os.listdir(tmp_path) == ["file"]


def test_parameters_that_a_network_lacks(tmp_path):
    path = tmp_path / "file"
    Population([torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2)]).save(path)
    rewrite(path, lambda header: None, replaced(W, lambda t: t + 1))
    with pytest.raises(FileError, match="a bias should not be there"):
        Population.load(path)


def test_a_negative_variance(tmp_path):
    path = tmp_path / "file"
    mixed_population(1)[6:7].save(path)
    rewrite(path, lambda header: None, replaced("stacks.0.tensors.statistics", lambda t: -t))
    with pytest.raises(FileError, match="a variance is negative"):
        Population.load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"not a safetensors file at all",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 99_999_999) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        safetensors.torch.save({"a": torch.zeros(2)}),
        safetensors.torch.save({"a": torch.zeros(2)}, {"skmeta": ""}),
    ],
)
def test_other_files(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(FileError, match="is not a population file"):
        Population.load(path)
