"""Estimators and populations as files, honest and hostile ones."""

import json

import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.torch
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from skorch.callbacks import EarlyStopping

import skmeta
from skmeta import WeightSpaceClassifier, WeightSpaceRegressor
from skmeta.files import FileError
from skmeta.files.container import seal
from skmeta.population import to_rows

from .reading_zoo import ARCHITECTURES, reading_zoo

STATS = {
    "metanet": "statistics",
    "max_epochs": 1,
    "hidden_channels": 8,
    "n_layers": 1,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def zoo():
    return reading_zoo(12)


@pytest.fixture(scope="module")
def model(zoo):
    return WeightSpaceRegressor(**STATS).fit(zoo[0], zoo[1])


def test_regressor(model, zoo, tmp_path):
    model.save(tmp_path / "model")
    loaded = skmeta.load(tmp_path / "model")
    assert type(loaded) is WeightSpaceRegressor
    assert loaded.get_params() == model.get_params()
    assert loaded.templates_ == model.templates_
    assert np.array_equal(loaded.predict(zoo[0]), model.predict(zoo[0]))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@pytest.mark.parametrize(
    "labels",
    [["a", "b", "cc"], [3, 5, 7], [0.5, 1.5, 2.5], np.array(["a", "b", "c"], dtype=object)],
    ids=["str", "int", "float", "object"],
)
def test_classifier(zoo, labels, tmp_path):
    y = np.asarray(labels)[np.arange(12) % 3]
    if y.dtype.kind == "f":
        y = y * 2
    model = WeightSpaceClassifier(**STATS).fit(zoo[0], y)
    skmeta.save(model, tmp_path / "model")
    loaded = skmeta.load(tmp_path / "model")
    assert loaded.classes_.dtype == model.classes_.dtype
    assert np.array_equal(loaded.classes_, model.classes_)
    assert np.array_equal(loaded.predict_proba(zoo[0]), model.predict_proba(zoo[0]))


@pytest.mark.parametrize("change", [{"n_layers": 2}, {"metanet": "graph"}, {"quasi": True}])
def test_parameters_changed_after_fit_are_refused_before_there_is_a_file(zoo, change, tmp_path):
    model = WeightSpaceRegressor(**STATS).fit(zoo[0], zoo[1]).set_params(**change)
    with pytest.raises(ValueError, match="do not go with what it learned .* Set them back"):
        skmeta.save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_rows_with_names(tmp_path):
    population, y, _ = reading_zoo(9, ARCHITECTURES[:1])
    rows = pd.DataFrame(to_rows(population)).add_prefix("w")
    model = WeightSpaceRegressor(architecture=ARCHITECTURES[0], **STATS).fit(rows, y)
    skmeta.save(model, tmp_path / "model")
    loaded = skmeta.load(tmp_path / "model")
    assert np.array_equal(loaded.predict(rows), model.predict(rows))
    assert loaded.n_features_in_ == 44 and loaded.feature_names_in_[0] == "w0"
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(rows.add_prefix("x"))


def test_population(zoo, tmp_path):
    skmeta.save(zoo[0], tmp_path / "zoo")
    assert np.array_equal(to_rows(skmeta.load(tmp_path / "zoo")[::3]), to_rows(zoo[0][::3]))


def test_what_cannot_be_saved(model, zoo, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(TypeError, match="EditedClassifier. Got LinearRegression: pickle it"):
        skmeta.save(LinearRegression(), path)
    with pytest.raises(NotFittedError):
        WeightSpaceRegressor().save(path)
    other = clone(model).set_params(callbacks=[EarlyStopping(monitor="train_loss")])
    other.fit(zoo[0], zoo[1])
    with pytest.raises(ValueError, match=r"'callbacks' .*set_params\(callbacks=None\)"):
        other.save(path)
    other.set_params(callbacks=None).save(path)
    path.unlink()
    other.set_params(random_state=np.random.RandomState(0))  # noqa: NPY002
    with pytest.raises(ValueError, match="'random_state' .* holds a RandomState"):
        other.save(path)
    with pytest.raises(FileNotFoundError, match="A WeightSpaceRegressor cannot be saved"):
        model.save(tmp_path / "nowhere" / "file")
    assert not list(tmp_path.iterdir())


def put(*keys, value):
    def change(header):
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = value

    return change


READER = ("fitted", "reader")
MEAN = "fitted.reader.metanet.trunk.mean"
HOSTILE = {
    "format": (put("format", value="pickle"), FileError, "format is unknown"),
    "a population": (
        put("format", value="skmeta population"),
        FileError,
        "the header has the wrong fields",
    ),
    "version": (put("version", value=9), FileError, "its version is 9"),
    "class": (put("class", value="os.system"), FileError, "class is unknown"),
    "another class": (
        put("class", value="WeightSpaceClassifier"),
        FileError,
        "no parameters of WeightSpaceClassifier",
    ),
    "parameter": (put("params", "lr", value=-1.0), FileError, "'lr' parameter"),
    "metanet": (put("params", "metanet", value="eval"), FileError, "'metanet' parameter"),
    "net": (put("params", "net", value="code"), FileError, "asks for code"),
    "huge": (put(*READER, "hidden_channels", value=10**7), FileError, "too many channels"),
    "deep": (put(*READER, "n_layers", value=10**9), FileError, "too many layers"),
    "another size": (put("params", "hidden_channels", value=9), FileError, "disagree"),
    "another metanet": (put(*READER, "name", value="eval"), FileError, "metanetwork is unknown"),
    "endless": (put("params", "n_layers", value=10**9), FileError, "too many layers"),
    "attribute": (put("fitted", "metanet_", value=1), FileError, "wrong fields"),
    "missing": (lambda h: h["fitted"].pop("scale_"), FileError, "wrong fields"),
    "type": (put("fitted", "scale_", value="1"), FileError, "'scale_' has the wrong type"),
    "infinite": (put("fitted", "scale_", value=float("inf")), FileError, "NaN or"),
    "list": (put("fitted", "scale_", value=[1]), FileError, "'scale_' has the wrong type"),
    "array": (
        put("fitted", "feature_names_in_", value={"!array": ["V9", ["a"]]}),
        FileError,
        "unknown dtype",
    ),
    "no architectures": (
        put(*READER, "templates", value={"!tuple": []}),
        FileError,
        "no templates",
    ),
    "strange architectures": (
        put(*READER, "templates", value={"!tuple": [{"!Architecture": {}}]}),
        FileError,
        "wrong fields",
    ),
}


@pytest.mark.parametrize("change, error, words", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_headers(model, tmp_path, change, error, words):
    path = tmp_path / "model"
    model.save(path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skmeta"])
    change(header)
    tensors = safetensors.torch.load_file(path)
    path.write_bytes(seal(safetensors.torch.save(tensors, {"skmeta": json.dumps(header)})))
    with pytest.raises(error, match=words):
        skmeta.load(path)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop(MEAN), "missing or too many"),
        (lambda t: t.update({MEAN: t[MEAN][:3].clone()}), "'trunk.mean' has a wrong type or shape"),
        (lambda t: t[MEAN].fill_(torch.nan), "is NaN or infinite"),
        (lambda t: t.update({MEAN: t[MEAN].double()}), "'trunk.mean' has a wrong type or shape"),
    ],
    ids=["missing", "shape", "nan", "type"],
)
def test_hostile_weights(model, tmp_path, change, words):
    path = tmp_path / "model"
    model.save(path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    path.write_bytes(seal(safetensors.torch.save(tensors, header)))
    with pytest.raises(FileError, match=words):
        skmeta.load(path)


def test_no_file_and_any_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        skmeta.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FileError, match="text is not a file that skmeta.save wrote: it is text"):
        skmeta.load(tmp_path / "text")
