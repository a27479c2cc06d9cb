"""Labels, targets and groups in nullable, Arrow and polars columns are what they hold."""

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from sklearn.exceptions import DataConversionWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils import Bunch

from skmeta import (
    EditedClassifier,
    Population,
    Task,
    WeightSpaceClassifier,
    WeightSpaceRegressor,
)
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.networks import Architecture

X = np.arange(12.0).reshape(6, 2)
Y = [0, 1, 1, 0, 1, 0]
YES = ["yes" if label else "no" for label in Y]
GROUPS = ["f", "m", "f", "m", "m", "m"]

NUMBERS = {
    "Int64": lambda v: pd.Series(v, dtype="Int64"),
    "converted": lambda v: pd.Series(v, dtype="float64").convert_dtypes(),
    "array": lambda v: pd.array(v, dtype="Int64"),
    "arrow-backed": lambda v: pd.Series(v, dtype="int64[pyarrow]"),
    "category": lambda v: pd.Series(v, dtype="category"),
    "object": lambda v: np.array(v, dtype=object),
    "polars": lambda v: polars.Series(v),
    "polars frame": lambda v: polars.DataFrame({"y": v}),
    "arrow": lambda v: pyarrow.chunked_array([v]),
}
TEXTS = {
    "string": lambda v: pd.Series(v, dtype="string"),
    "arrow-backed": lambda v: pd.Series(v, dtype="string[pyarrow]"),
    "polars": lambda v: polars.Series(v),
    "polars category": lambda v: polars.Series(v, dtype=polars.Categorical),
    "arrow": lambda v: pyarrow.array(v),
}
BOOLEANS = {
    "boolean": lambda v: pd.Series(v, dtype="boolean"),
    "arrow-backed": lambda v: pd.Series(v, dtype="bool[pyarrow]"),
    "polars": lambda v: polars.Series(v),
}


def expect(task, classes):
    assert task.kind == "classification"
    assert task.classes.tolist() == classes and task.y.tolist() == Y


@pytest.mark.parametrize("make", NUMBERS.values(), ids=NUMBERS)
def test_whole_numbers_are_labels(make):
    task = Task(X, make(Y))
    expect(task, [0, 1])
    assert task.classes.dtype == np.int64


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_texts_are_labels(make):
    expect(Task(X, make(YES)), ["no", "yes"])


@pytest.mark.parametrize("make", BOOLEANS.values(), ids=BOOLEANS)
def test_booleans_are_labels(make):
    task = Task(X, make(list(map(bool, Y))))
    expect(task, [False, True])
    assert task.classes.dtype == bool


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_groups_in_any_column_are_the_same_groups(make):
    task = Task(X, Y, sensitive_features=make(GROUPS))
    assert task.groups.tolist() == ["f", "m"]
    assert task.sensitive.tolist() == [0, 1, 0, 1, 1, 1]


def test_groups_in_frames_are_the_same_groups():
    both = {"sex": GROUPS, "age": [1, 2, 1, 2, 2, 1]}
    for frame in (polars.DataFrame(both), pyarrow.table(both), pd.DataFrame(both).convert_dtypes()):
        task = Task(X, Y, sensitive_features=frame)
        assert task.groups.tolist() == ["f, 1", "m, 1", "m, 2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: polars.DataFrame(frame.to_dict("list")),
        lambda frame: pyarrow.table(frame.to_dict("list")),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    ],
    ids=["polars", "arrow", "nullable", "arrow-backed"],
)
def test_features_in_any_frame_are_the_same_features(make):
    frame = pd.DataFrame({"a": X[:, 0], "b": Y, "c": [True, False] * 3})
    task, expected = Task(make(frame), Y), Task(frame, Y)
    assert task.column_names == ["a", "b", "c"]
    assert np.array_equal(task.X, expected.X)


def test_the_columns_of_a_frame_that_are_no_numbers_are_named():
    frame = pd.DataFrame({"a": X[:, 0], "b": pd.array([1, None] * 3, "Int64"), "c": [np.inf] * 6})
    for table in (frame, polars.DataFrame(frame.to_dict("list"), strict=False)):
        with pytest.raises(ValueError, match="Look at the columns 'b', 'c'. Encode categories"):
            Task(table, Y)
    with pytest.raises(ValueError, match="Look at the columns 'd'."):
        Task(frame[["a"]].assign(d=YES), Y)


MISSING = {
    "Int64": pd.Series([0, 1, None, 0, 1, 0], dtype="Int64"),
    "boolean": pd.Series([True, False, None, True, False, True], dtype="boolean"),
    "polars": polars.Series([0, 1, None, 0, 1, 0]),
    "arrow": pyarrow.array(["a", "b", None, "a", "b", "a"]),
    "texts": ["a", "b", np.nan, "a", "b", "a"],
}


@pytest.mark.parametrize("column", MISSING.values(), ids=MISSING)
def test_a_missing_label_or_group_is_refused_with_its_row(column):
    for arguments in ({"y": column}, {"y": Y, "sensitive_features": column}):
        with pytest.raises(ValueError, match=r"none missing. Got 1 missing value\(s\).*row 2"):
            Task(X, **arguments)


@pytest.fixture(scope="module")
def population():
    return Population.initialize(Architecture.mlp((2, 4, 2)), 6, random_state=0)


def test_a_population_scores_any_column_alike(population):
    expected = population.score(X, Y)
    for make in NUMBERS.values():
        assert np.array_equal(population.score(X, make(Y)), expected)
    with pytest.raises(ValueError, match="'y' parameter of Population.score .* in row 2"):
        population.score(X, MISSING["polars"])


def test_a_population_runs_on_any_frame(population):
    frame = pd.DataFrame(X, columns=["a", "b"])
    expected = population.predict_proba(X)
    arrow = frame.convert_dtypes(dtype_backend="pyarrow")
    for rows in (polars.DataFrame(frame.to_dict("list")), frame.convert_dtypes(), arrow):
        assert np.array_equal(population.predict_proba(rows), expected)
    for rows in (frame.convert_dtypes(), arrow, polars.DataFrame(frame.to_dict("list"))):
        gap = rows.mask(frame == 5) if hasattr(rows, "mask") else rows.with_columns(b=None)
        with pytest.raises(ValueError, match="X must be finite .* Got nan in row [02], column 1"):
            population.predict_proba(gap)


def test_readers_take_any_column_of_targets(population):
    reader = WeightSpaceClassifier(metanet="statistics", max_epochs=1, random_state=0)
    for make in (NUMBERS["Int64"], NUMBERS["polars"]):
        assert reader.fit(population, make(Y)).classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="'y' parameter of WeightSpaceClassifier.fit .* row 2"):
        reader.fit(population, MISSING["Int64"])
    reader = WeightSpaceRegressor(metanet="statistics", max_epochs=1, random_state=0)
    expected = reader.fit(population, np.array(Y) / 2).predict(population)
    for target in (pd.Series(Y, dtype="Float64") / 2, polars.Series(Y) / 2):
        assert np.array_equal(reader.fit(population, target).predict(population), expected)
    with pytest.raises(ValueError, match="'y' parameter of WeightSpaceRegressor.fit .* row 2"):
        reader.fit(population, MISSING["polars"])


def test_an_edited_classifier_takes_any_column_of_labels():
    classifier = EditedClassifier(MLPClassifier((4,), early_stopping=True), random_state=0)
    rows = np.tile(X, (40, 1))
    for make, classes in ((NUMBERS["Int64"], [0, 1]), (BOOLEANS["polars"], [False, True])):
        with pytest.warns(UserWarning, match="edited nothing"):
            classifier.fit(rows, make([classes[label] for label in Y * 40]))
        assert classifier.classes_.tolist() == classes
    with pytest.raises(ValueError, match="'y' parameter of EditedClassifier.fit .* in row 2"):
        classifier.fit(X, MISSING["Int64"])


def test_split_tasks_takes_frames_of_polars():
    bunch = make_biased_classification(1000, random_state=0)
    expected = split_tasks(bunch, "group")
    parts = {
        "data": polars.DataFrame(bunch.data.to_dict("list")),
        "target": polars.Series(bunch.target.tolist()),
        "sensitive_features": polars.DataFrame(bunch.sensitive_features.to_dict("list")),
    }
    series = parts["sensitive_features"].to_series(0)
    for changed in ({}, {"sensitive_features": series}):
        found = split_tasks(Bunch(**parts | changed), "group")
        for task, other in zip(found, expected, strict=True):
            assert np.array_equal(task.X, other.X) and np.array_equal(task.cells(), other.cells())
            assert task.column_names == other.column_names
            assert task.classes.tolist() == other.classes.tolist()
    parts["target"] = pd.Series(bunch.target == "yes", dtype="boolean").mask(bunch.data.index == 7)
    with pytest.raises(ValueError, match=r"missing values in 1 row\(s\), the first in row 7"):
        split_tasks(Bunch(**parts), "group")


def test_a_float_target_of_two_values_warns_that_it_is_a_regression():
    with pytest.warns(DataConversionWarning, match=r"two values, 0.0 and 1.0.*y.astype\(int\)"):
        task = Task(X, np.array(Y, dtype=float))
    assert task.kind == "regression"
    # Real targets do not (warnings are errors here), and nor do two rows.
    assert Task(X, np.linspace(0, 1, 6)).kind == "regression"
    assert Task(X[:2], [0.5, 1.5]).kind == "regression"
