"""Task: what it holds, what it refuses, and that nothing cuts it."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from skmeta.datasets import Task, merge_rare

X = np.arange(12.0).reshape(6, 2)
Y = ["no", "yes", "no", "yes", "no", "yes"]
S = ["f", "f", "m", "m", "m", "m"]


@pytest.fixture
def task():
    return Task(X, Y, sensitive_features=S)


def test_holds_codes_and_remembers_names(task):
    assert (task.X.dtype, task.X.shape) == (np.float32, (6, 2))
    assert task.y.tolist() == [0, 1, 0, 1, 0, 1] and task.y.dtype == np.int64
    assert task.sensitive.tolist() == [0, 0, 1, 1, 1, 1] and task.sensitive.dtype == np.int64
    assert task.classes[task.y].tolist() == Y
    assert task.groups[task.sensitive].tolist() == S
    assert (task.n_samples, task.n_features, task.n_classes, task.n_groups) == (6, 2, 2, 2)
    assert task.feature_names == ["x0", "x1"]
    assert task.kind == "classification"
    assert task.cells().tolist() == [0, 2, 1, 3, 1, 3]


def test_takes_data_frames():
    frame = pd.DataFrame(X, columns=["age", "hours"], index=range(10, 16))
    task = Task(frame, pd.Series(Y, dtype="category"), sensitive_features=pd.Series(S, name="sex"))
    assert task.feature_names == ["age", "hours"]
    assert task.cells().tolist() == [0, 2, 1, 3, 1, 3]


def test_a_change_of_the_callers_array_does_not_reach_the_task():
    mine = X.astype(np.float32)
    task = Task(mine, Y)
    mine[:] = -1
    assert task.X[0, 1] == 1


def test_several_columns_make_intersectional_groups():
    race = [2, 1, 1, 1, 2, 2]
    task = Task(X, Y, sensitive_features=pd.DataFrame({"sex": S, "race": race}))
    assert task.groups.tolist() == ["f, 1", "f, 2", "m, 1", "m, 2"]
    assert task.sensitive.tolist() == [1, 0, 2, 2, 3, 3]
    as_array = Task(X, Y, sensitive_features=np.array([S, race]).T)
    assert as_array.groups.tolist() == task.groups.tolist()


def test_regression():
    task = Task(X, np.linspace(0, 1, 6), sensitive_features=S)
    assert (task.kind, task.classes, task.n_classes) == ("regression", None, 0)
    assert task.y.dtype == np.float32
    assert task.cells().tolist() == task.sensitive.tolist()
    _, y, _ = task.tensors(dtype=torch.float64)
    assert y.dtype == torch.float64
    assert repr(task) == "Task(n_samples=6, n_features=2, regression, groups=['f', 'm'])"


def test_without_sensitive_features_the_cells_are_the_labels():
    task = Task(X, Y)
    assert (task.sensitive, task.groups, task.n_groups) == (None, None, 1)
    assert task.cells().tolist() == task.y.tolist()
    assert task.tensors()[2] is None


def test_tensors_are_made_once(task):
    features, y, s = task.tensors()
    assert (features.dtype, y.dtype, s.dtype) == (torch.float32, torch.int64, torch.int64)
    assert task.tensors()[0] is features
    assert task.tensors(dtype=torch.float64)[0].dtype == torch.float64


def test_read_only_memory_as_in_loky_workers(task):
    task.X.flags.writeable = task.y.flags.writeable = task.sensitive.flags.writeable = False
    assert task.tensors()[0].sum() == X.sum()


def test_subset_keeps_the_codes(task):
    task.tensors()
    part = task.subset([3, 5])
    assert part.y.tolist() == [1, 1] and part.sensitive.tolist() == [1, 1]
    assert (part.n_samples, part.n_classes, part.n_groups) == (2, 2, 2)
    assert part.tensors()[0].shape == (2, 2)
    assert task.n_samples == 6 and task.tensors()[0].shape == (6, 2)
    assert task.subset(task.y == 1).X.tolist() == X[1::2].tolist()


def test_stratified_sample():
    rng = np.random.default_rng(0)
    y, s = rng.integers(3, size=300), rng.integers(2, size=300)
    y[(y == 2) & (s == 1)], y[7], s[7] = 0, 2, 1  # a cell of one row
    task = Task(rng.normal(size=(300, 1)), y, sensitive_features=s)
    rows = task.stratified_sample(20, random_state=0)
    assert np.bincount(task.cells()[rows]).tolist() == [20, 20, 20, 20, 20, 1]
    assert np.all(np.diff(rows) > 0)
    assert np.array_equal(rows, task.stratified_sample(20, random_state=0))
    assert not np.array_equal(rows, task.stratified_sample(20, random_state=1))
    with pytest.raises(ValueError, match=r"'n_per_cell' parameter of Task.stratified_sample"):
        task.stratified_sample(0)


def test_survives_pickle_copy_and_clone(task):
    task.tensors()
    for twin in (pickle.loads(pickle.dumps(task)), copy.deepcopy(task)):
        assert repr(twin) == repr(task)
        assert np.array_equal(twin.X, task.X) and np.array_equal(twin.cells(), task.cells())
        assert twin.tensors()[0] is not task.tensors()[0]
    assert clone(task) is task


class Reader(BaseEstimator):
    """Notes the task that it got."""

    def __init__(self, p=0):
        self.p = p

    def fit(self, X, y=None, *, task=None):
        self.task_ = task
        self.n_samples_ = task.n_samples
        return self

    def score(self, X, y=None):
        return float(self.n_samples_)


def test_a_search_over_as_many_rows_does_not_cut_the_task(task):
    for name in ("__len__", "shape", "__array__", "__getitem__", "__iter__"):
        assert not hasattr(task, name)
    search = GridSearchCV(Reader(), {"p": [0, 1]}, cv=3, error_score="raise")
    search.fit(np.zeros((task.n_samples, 1)), task=task)
    assert search.best_estimator_.task_ is task
    assert search.cv_results_["mean_test_score"].tolist() == [6, 6]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(X=X * np.nan), "The 'X' parameter of Task must be .* Input X contains NaN"),
        (dict(X=X * 1e50), "must be a 2-D array of finite numbers.* too large"),
        (dict(X=X[0]), "'X' parameter of Task must be a 2-D array.* Expected 2D array"),
        (dict(X=pd.DataFrame({"a": Y})), "Got something else: .*Encode categories"),
        (dict(y=Y[:5]), "'y' parameter of Task .* each of the 6 rows of X. Got 5 instead."),
        (dict(y=[*Y[:5], None]), "'y' parameter of Task .* none missing. Got 1 missing"),
        (dict(y=[0.5, np.nan, 1, 1, 1, 1]), "none missing. Got 1 missing"),
        (dict(y=[0.5, np.inf, 1, 1, 1, 1]), "'y' parameter of Task must be finite"),
        (dict(y=X), r"'y' parameter of Task must be 1-D. Got shape \(6, 2\) instead."),
        (dict(sensitive_features=S[:2]), "'sensitive_features' parameter .* Got 2 instead."),
        (dict(sensitive_features="sex"), "of the 6 rows of X. Got 'sex' instead. Pass the column"),
        (dict(sensitive_features=["m", 1] * 3), "values of one type in a column. Got int and str"),
        (dict(y=np.array(["m", 1] * 3, dtype=object)), "'y' parameter .* Got int and str"),
        (
            dict(sensitive_features=pd.DataFrame({"a": S, "b": [np.nan, None, 1, 1, 1, 1]})),
            r"'sensitive_features' .* none missing. Got 2 missing value\(s\). Name those rows",
        ),
    ],
)
def test_bad_input(arguments, message):
    arguments = {"X": X, "y": Y, "sensitive_features": S} | arguments
    with pytest.raises(ValueError, match=message):
        Task(arguments.pop("X"), arguments.pop("y"), **arguments)


def test_groups_that_would_look_alike_are_told_apart():
    columns = [("x, y", "z"), ("x", "y, z")] * 3
    task = Task(X, Y, sensitive_features=columns)
    assert task.groups.tolist() == ["'x', 'y, z'", "'x, y', 'z'"]


def test_require_sensitive(task):
    task.require_sensitive("ComplianceEditor")
    with pytest.raises(
        ValueError,
        match="The 'task' parameter of ComplianceEditor must .* Got a task without sensitive",
    ):
        Task(X, Y).require_sensitive("ComplianceEditor")
    for one_group in (Task(X, Y, sensitive_features=["m"] * 6), task.subset([2, 3])):
        with pytest.raises(ValueError, match=r"Got a task with the group\(s\) \['m'\] only"):
            one_group.require_sensitive("ComplianceEditor")


# -- merge_rare --------------------------------------------------------------------------


def test_rare_groups_are_merged_until_they_are_large_enough():
    groups = pd.Series(np.repeat(["a", "b", "c", "d"], [100, 30, 5, 3]), index=range(7, 145))
    merged = merge_rare(groups, min_rows=20)
    # c and d are 8 together: b, which is large enough, joins them.
    assert merged.value_counts().to_dict() == {"a": 100, "other": 38}
    assert merged.index.equals(groups.index)
    assert merge_rare(groups, min_rows=6, name="few").value_counts()["few"] == 8
    assert merge_rare(groups, min_rows=3).tolist() == groups.tolist()
    assert set(merge_rare(groups, min_rows=1000)) == {"other"}


def test_rare_labels_and_intersections_count():
    frame = pd.DataFrame({"sex": ["f", "m"] * 50, "race": ["x"] * 90 + ["y"] * 10})
    assert merge_rare(frame, min_rows=5).nunique() == 4
    assert set(merge_rare(frame, min_rows=6)) == {"f, x", "m, x", "other"}
    y = np.arange(100) < 96  # of "y" few are False
    assert set(merge_rare(frame["race"], min_rows=5, y=y)) == {"other"}


def test_merge_rare_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="'min_rows' parameter of merge_rare"):
        merge_rare(["a"], min_rows=0)
    with pytest.raises(ValueError, match="'y' parameter of merge_rare"):
        merge_rare(["a", "b"], y=[0])
    with pytest.raises(ValueError, match="'name' parameter of merge_rare"):
        merge_rare(["a"] * 60 + ["b"] * 2 + ["c"] * 2, name="a", min_rows=3)
