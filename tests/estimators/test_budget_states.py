"""The classifier with a budget after fit: edited again, refused, saved and loaded."""

import warnings

import numpy as np
import pandas as pd
import pytest

import skmeta
from skmeta.estimators import classifier_front
from skmeta.requirements import EqualizedOdds
from tests.estimators.budgets import copied, fit, people

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The network of EditedClassifier is weak:UserWarning"),
]


@pytest.fixture(scope="module")
def table():
    return people()


@pytest.fixture(scope="module")
def fitted(table):
    return fit(table, max_accuracy_drop=0.02)


def test_reedit_chooses_again_and_trains_nothing(fitted, table, monkeypatch):
    for name in ("taught_edits", "trained"):
        monkeypatch.setattr(classifier_front, name, None)
    model = copied(fitted)
    gaps = {}
    for drop in (0.0, 0.02, 0.1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.reedit(max_accuracy_drop=drop)
        gaps[drop] = model.front_.loc[model.choice_["candidate"], "gap"]
        assert model.max_accuracy_drop == drop
    assert gaps[0.0] >= gaps[0.02] >= gaps[0.1]
    assert fitted.reedit().predict(table[1]).tolist() == fitted.predict(table[1]).tolist()
    wide = model.reedit(max_accuracy_drop=None, max_gap=0.15)
    assert wide.front_.loc[wide.choice_["candidate"], "gap_held"] <= 0.15


def test_a_refused_reedit_leaves_everything_as_it_was(fitted, table):
    model = copied(fitted)
    before = model.predict_proba(table[1])
    for params, message in (
        ({"max_gap": 0.05}, "At most one of .*max_accuracy_drop=0.02, max_gap=0.05. Set the"),
        ({"max_accuracy_drop": -1}, "'max_accuracy_drop' parameter"),
        ({"max_accuracy_drop": None, "lam": 0.1}, "'lam' parameter .* was changed after fit"),
        ({"method": "editor"}, "'method' parameter .* was changed after fit"),
        ({"requirement": "demographic_parity"}, "'requirement' parameter .* was changed"),
    ):
        with pytest.raises(ValueError, match=message):
            model.reedit(**params)
        assert repr(model) == repr(fitted)
        assert np.array_equal(model.predict_proba(table[1]), before)


def test_files_keep_what_was_chosen_and_leave_candidates_out(fitted, table, tmp_path):
    _, X, _, y, _, groups = table
    skmeta.save(fitted, tmp_path / "file")
    loaded = skmeta.load(tmp_path / "file")
    assert loaded.predict_proba(X).tobytes() == fitted.predict_proba(X).tobytes()
    assert loaded.choice_.to_dict() == fitted.choice_.to_dict() and loaded.front_ is None
    kwargs = {"sensitive_features": groups, "n_bootstrap": 20}
    pd.testing.assert_frame_equal(loaded.report(X, y, **kwargs), fitted.report(X, y, **kwargs))
    with pytest.raises(ValueError, match="reedit needs the candidates of fit, which files leave"):
        loaded.reedit(max_accuracy_drop=0.05)
    skmeta.save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


def test_the_parts_of_a_parameter_stay_as_they_were_too(fitted):
    model = copied(fitted).set_params(requirement=EqualizedOdds(temperature=0.3))
    with pytest.raises(ValueError, match="'requirement' parameter .* was changed after fit"):
        model.reedit(requirement__temperature=0.9)
    assert model.requirement.temperature == 0.3


def test_the_report_and_a_file_speak_of_the_edit_that_there_is(fitted, table, tmp_path):
    _, X, _, y, _, groups = table
    kwargs = {"sensitive_features": groups, "n_bootstrap": 20}
    expected = fitted.report(X, y, **kwargs)
    model = copied(fitted).set_params(max_accuracy_drop=0.0, max_recall_drop=0.0)
    pd.testing.assert_frame_equal(model.report(X, y, **kwargs), expected)
    with pytest.raises(
        ValueError, match=r"ask for another edit than it has.*Call reedit\(\) first"
    ):
        skmeta.save(model, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_one_edit_comes_back_from_a_file_and_cannot_be_made_again(table, tmp_path):
    skmeta.save(fit(table, lam=0.3), tmp_path / "file")
    loaded = skmeta.load(tmp_path / "file")
    assert loaded.lam_ == 0.3 and loaded.choice_["candidate"] == 1
    with pytest.raises(ValueError, match="reedit needs the candidates of fit, which files leave"):
        loaded.reedit()


def test_a_report_needs_the_labels_of_fit(fitted, table):
    _, X, _, y, _, groups = table
    for labels, came in ((y[y == "yes"], "'yes'"), (y == "yes", "False, True")):
        rows = labels.index
        with pytest.raises(ValueError, match=f"must have all labels of fit.*Got .{came}"):
            fitted.report(X.loc[rows], labels, sensitive_features=groups.loc[rows])


def test_a_fit_that_fails_leaves_the_edit_as_it_was(fitted, table):
    X, X_test, y, _, groups, _ = table
    model = copied(fitted)
    with pytest.raises(ValueError, match="at least two groups"):
        model.fit(X, np.where(y == "yes", "A", "B"), sensitive_features=np.zeros(len(X)))
    assert np.array_equal(model.predict(X_test), fitted.predict(X_test))
    assert model.choice_.to_dict() == fitted.choice_.to_dict()
    assert np.array_equal(model.predict_proba(X_test), fitted.predict_proba(X_test))
