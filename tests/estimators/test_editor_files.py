"""Fitted editors as files, honest and hostile ones."""

import json
import pickle

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from sklearn.base import clone

import skmeta
from skmeta import ComplianceEditor, Task
from skmeta.editing.reference import reference_rows, rows_per_cell
from skmeta.evaluation import ParetoFrontDisplay
from skmeta.files import FileError
from skmeta.files.container import seal
from skmeta.metanets import NeuronTrunk
from skmeta.population import to_rows
from skmeta.requirements import Custom, DataMinimization, EqualizedOdds, Joint, Pruning

FAST = {"max_epochs": 1, "hidden_channels": 8, "n_layers": 1, "random_state": 0}
EDITORS = {
    "weights": {"features": "weights", "metanet": "graph"},
    "probes": {"features": "probes", "metanet": "nfn-np"},
    "cells": {"features": "cells", "guard": {"max_divergence": 1.0}, "refine_steps": 1},
    "data minimization": {"requirement": DataMinimization(budget=5)},
    "mask alone": {"requirement": Pruning(budget=0.5, compensate=False)},
    "joint with pruning": {
        "requirement": [
            "demographic_parity",
            EqualizedOdds(thresholds=(0.4, 0.5)),
            Pruning(budget=0.5),
        ]
    },
    "lam by name": {
        "requirement": ["equalized_odds", "demographic_parity", "pruning"],
        "lam": {"equalized_odds": 0.1, "demographic_parity": np.float64(0.05), "pruning": 0.02},
    },
    "Joint": {"requirement": Joint([EqualizedOdds(), EqualizedOdds(temperature=1.0)], [1, 0.5])},
}


def same_edits(a, b):
    return np.array_equal(to_rows(a[:1]), to_rows(b[:1])) and all(
        torch.equal(x, y)
        for r, s in zip(a.records(), b.records(), strict=True)
        for x, y in zip(r.tensors["weight"], s.tensors["weight"], strict=True)
    )


def there_and_back(editor, path, **options):
    editor.save(path, **options)
    return skmeta.load(path)


def task_of(task, **changes):
    labels, groups = task.classes[task.y], task.groups[task.sensitive]
    columns = {"X": task.X, "y": labels, "sensitive_features": groups, **changes}
    return Task(columns.pop("X"), columns.pop("y"), **columns)


@pytest.mark.parametrize("include_task", [False, True])
def test_round_trip(editor, zoo, tasks, tmp_path, include_task):
    loaded = there_and_back(editor, tmp_path / "editor", include_task=include_task)
    task = None if include_task else tasks[1]
    assert loaded.get_params() == editor.get_params()
    assert (loaded.task_ is not None) == include_task
    for lam in (None, 0.4):
        edited = editor.transform(zoo, lam=lam)
        assert same_edits(loaded.transform(zoo, lam=lam, task=task), edited)
    assert not same_edits(edited, zoo)
    with pytest.raises(ValueError, match="range that the editor was fitted for"):
        loaded.transform(zoo, lam=5.0, task=task)
    assert loaded.score(zoo, task=task) == editor.score(zoo)
    assert loaded.report(zoo[:3], task=task, n_bootstrap=20).equals(
        editor.report(zoo[:3], n_bootstrap=20)
    )
    assert loaded.card() == editor.card()
    loaded.save(tmp_path / "again", include_task=include_task)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "editor").read_bytes()


@pytest.mark.parametrize("params", EDITORS.values(), ids=EDITORS.keys())
def test_every_kind_of_editor(params, zoo, tasks, tmp_path):
    editor = ComplianceEditor(**FAST, **params).fit(zoo[:6], task=tasks[1])
    edited = editor.transform(zoo[6:])
    for include_task in (False, True):
        loaded = there_and_back(editor, tmp_path / "editor", include_task=include_task)
        without = include_task or params.get("features") == "weights"
        task = None if without else tasks[1]
        assert same_edits(loaded.transform(zoo[6:], task=task), edited)
    assert str(loaded.plan_) == str(editor.plan_)
    assert loaded.cost_ == editor.cost_
    assert same_edits(pickle.loads(pickle.dumps(loaded)).transform(zoo[6:]), edited)


def test_a_budget_holds_for_the_next_edit(zoo, tasks, tmp_path):
    editor = ComplianceEditor(Pruning(budget=0.5), **FAST).fit(zoo[:6], task=tasks[1])
    loaded = there_and_back(editor, tmp_path / "editor")
    for one in (editor, loaded):
        one.set_params(requirement__budget=0.25)
    edited = loaded.transform(zoo[6:], task=tasks[1])
    assert same_edits(edited, editor.transform(zoo[6:]))
    assert loaded.report(zoo[6:], task=tasks[1])["kept_share"].max() < 0.27


def test_rows_are_not_in_the_file(editor, tasks, tmp_path):
    path = tmp_path / "editor"
    editor.save(path)
    data = path.read_bytes()
    assert not any(row.tobytes() in data for row in tasks[1].X)
    editor.save(path, include_task=True)
    assert tasks[1].X.tobytes() in path.read_bytes()
    with pytest.raises(ValueError, match="include_task=False"):
        there_and_back(there_and_back(editor, path), path).save(path, include_task=True)


def test_names_come_back(zoo, tasks, tmp_path):
    task = task_of(tasks[1], y=np.array(["no", "yes"])[tasks[1].y])
    editor = ComplianceEditor("demographic_parity", **FAST).fit(zoo[:6], task=task)
    loaded = there_and_back(editor, tmp_path / "editor", include_task=True)
    for name in ("classes", "groups", "y", "sensitive", "X"):
        assert np.array_equal(getattr(loaded.task_, name), getattr(task, name))
        assert getattr(loaded.task_, name).dtype == getattr(task, name).dtype
    assert loaded.task_.feature_names == task.feature_names


def test_rows_of_another_task(editor, zoo, tasks, tmp_path):
    loaded, test = there_and_back(editor, tmp_path / "editor"), tasks[2]
    edited = loaded.transform(zoo, task=test)
    # Rows that are passed are looked at, also by an editor with rows of its own.
    assert same_edits(edited, editor.transform(zoo, task=test))
    assert not same_edits(edited, editor.transform(zoo))
    # Of 32-bit sums in another order.
    alone = to_rows(loaded.transform(zoo[3:4], task=test)[:1])
    assert np.allclose(alone, to_rows(edited[3:4]), atol=1e-5)
    # With no rows of its own it looks at those that it is measured on, which flatters it.
    assert loaded.score(zoo, task=test) > editor.score(zoo, task=test)


def test_the_rows_of_fit_are_known_again(editor, tasks):
    task, reference = tasks[1], editor.reference_
    copy = task_of(task)
    assert np.array_equal(reference.rows_in(copy, "gradients", EqualizedOdds()), reference.rows)
    mixed = task.subset(np.random.default_rng(0).permutation(task.n_samples))
    rows = reference.rows_in(mixed, "gradients", EqualizedOdds())
    assert not np.array_equal(rows, reference.rows)
    per_cell = np.bincount(mixed.cells()[rows])
    assert np.array_equal(per_cell, rows_per_cell(mixed, None, 512))


def test_rows_chosen_without_networks_stand_for_their_cells(zoo, tasks):
    task, rng = tasks[1], np.random.default_rng(0)
    predictions = zoo.forward(task.tensors()[0]).argmax(-1).numpy()

    def error(rows):
        cells = [task.cells() == c for c in range(4)]
        some = [rows[cell[rows]] for cell in cells]
        means = [
            predictions[:, s].mean(1) - predictions[:, c].mean(1)
            for s, c in zip(some, cells, strict=True)
        ]
        return np.abs(means).mean()

    chosen = error(reference_rows("cells", None, task))
    drawn = [error(task.stratified_sample(128, rng)) for _ in range(20)]
    assert chosen < 0.75 * np.mean(drawn)


def test_tasks_that_do_not_fit(editor, zoo, tasks, tmp_path):
    loaded, task = there_and_back(editor, tmp_path / "editor"), tasks[1]
    groups = task.groups[task.sensitive]
    cases = {
        r"pass task=Task\(X, y": ("rows", TypeError),
        "number of features": (task_of(task, X=task.X[:, :3]), ValueError),
        "have the labels": (task_of(task, y=task.y + 1), ValueError),
        "have the groups": (task_of(task, sensitive_features=groups + "?"), ValueError),
        "Got None": (task_of(task, sensitive_features=None), ValueError),
        "must have one|at least one row": (task.subset(task.cells() > 0), ValueError),
    }
    for words, (wrong, error) in cases.items():
        for one in (editor, loaded):
            with pytest.raises(error, match=words):
                one.transform(zoo, task=wrong)
    for call in (loaded.transform, loaded.score, loaded.report, loaded.card):
        with pytest.raises(ValueError, match="loaded without the rows of its fit.*task=Task"):
            call(zoo)
    with pytest.raises(ValueError, match="Pass task="):
        ParetoFrontDisplay.from_estimator(loaded, zoo)
    assert "and for the edits" in loaded.card(zoo[:2], task=tasks[2])
    assert "and for the edits" not in editor.card(zoo[:2], task=tasks[2])


def test_an_editor_of_weights_needs_rows_only_for_what_looks_at_them(zoo, tasks, tmp_path):
    editor = ComplianceEditor(features="weights", **FAST).fit(zoo[:6], task=tasks[1])
    loaded = there_and_back(editor, tmp_path / "editor")
    assert loaded.score(zoo, task=tasks[2]) == editor.score(zoo, task=tasks[2])
    nameless = task_of(tasks[1], sensitive_features=None)
    guarded = loaded.set_params(guard={"max_divergence": 0.0})
    with pytest.raises(ValueError, match="loaded without the rows"):
        guarded.transform(zoo)
    assert same_edits(guarded.transform(zoo, task=nameless), zoo)
    with pytest.raises(ValueError, match="have the groups"):
        guarded.set_params(refine_steps=1).transform(zoo, task=nameless)


def test_what_cannot_be_saved(editor, zoo, tasks, tmp_path):
    class Own(NeuronTrunk):
        pass

    class Odds(EqualizedOdds):
        pass

    def positives(probabilities, labels, groups):
        return probabilities[..., 1].mean(1)

    for params in (
        {"requirement": positives},
        {"requirement": ["equalized_odds", Custom(positives)]},
        {"requirement": Odds()},
        {"metanet": Own},
    ):
        other = ComplianceEditor(**FAST, **params).fit(zoo[:3], task=tasks[1])
        with pytest.raises(ValueError, match=r"cannot be saved, because it is code.* Pickle"):
            other.save(tmp_path / "editor")
    other = pickle.loads(pickle.dumps(editor)).set_params(callbacks=[object()])
    with pytest.raises(ValueError, match=r"'callbacks' .*set_params\(callbacks=None\)"):
        other.save(tmp_path / "editor")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", [{"requirement": "pruning"}, {"features": "cells"}, {"n_layers": 2}], ids=str
)
def test_parameters_of_another_fit(editor, tmp_path, change):
    other = pickle.loads(pickle.dumps(editor)).set_params(**change)
    with pytest.raises(ValueError, match="Set them back, or fit again"):
        other.save(tmp_path / "editor")


def test_the_file_is_replaced_at_once(editor, tmp_path, monkeypatch):
    path = tmp_path / "editor"
    path.write_text("old")
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            editor.save(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["editor"]
    skmeta.save(editor, path)
    assert skmeta.load(path).n_networks_ == 10


def test_clones_forget(editor, tmp_path):
    loaded = there_and_back(editor, tmp_path / "editor")
    assert not hasattr(clone(loaded), "metanet_")


def put(*keys, value):
    def change(header, tensors):
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = value

    return change


def tensor(name, change):
    return lambda header, tensors: tensors.update({name: change(tensors.get(name))})


def requirement(kind, **params):
    return put("params", "requirement", value={f"!{kind}": params})


TASK = ("fitted", "task", "!Task")
ROWS = "fitted.task."
EO = {"thresholds": {"!tuple": [0.5]}, "temperature": 0.3}
HOSTILE = {
    "code": (requirement("Custom", function="os.system"), "of no known kind"),
    "unknown parameter": (requirement("EqualizedOdds", f=1), "no parameters of EqualizedOdds"),
    "thresholds": (requirement("EqualizedOdds", **EO | {"thresholds": 3}), "no short list"),
    "endless thresholds": (
        requirement("EqualizedOdds", **EO | {"thresholds": {"!tuple": [0.5] * 9999}}),
        "no short list",
    ),
    "threshold": (
        requirement("EqualizedOdds", **EO | {"thresholds": {"!tuple": [7.0]}}),
        "'thresholds' parameter",
    ),
    "temperature": (
        requirement("EqualizedOdds", **EO | {"temperature": "x"}),
        "not fit together|'temperature'",
    ),
    "Joint": (
        requirement("Joint", requirements=["a"], weights=[1]),
        "Joint does not fit together",
    ),
    "another requirement": (put("params", "requirement", value="pruning"), "wrong type or shape"),
    "metanet": (put("params", "metanet", value="eval"), "'metanet' parameter"),
    "features": (put("params", "features", value="cells"), "wrong type or shape"),
    "huge": (put("params", "hidden_channels", value=10**9), "wrong type or shape"),
    "endless": (put("params", "n_layers", value=10**9), "too many layers"),
    "guard": (put("params", "guard", value={"x": 1}), "'guard' parameter"),
    "lam": (put("fitted", "lam", value=-1.0), "'lam' parameter"),
    "range": (put("fitted", "lam_range", value={"!tuple": [2.0, 1.0]}), "'lam_range' parameter"),
    "infinite": (put("fitted", "lam", value=float("inf")), "NaN or infinite"),
    "costs": (put("fitted", "cost", value={"!tuple": [1.0]}), "'cost' has the wrong type"),
    "field": (put("fitted", "metanet_", value=1), "wrong fields"),
    "type": (put(*TASK, "classes", value="ab"), "wrong type"),
    "twins": (put(*TASK, "classes", value={"!array": ["int64", [1, 1]]}), "one name"),
    "nan labels": (
        put(*TASK, "classes", value={"!array": ["float64", [float("nan"), 1.0]]}),
        "NaN or infinite",
    ),
    "many labels": (
        put(*TASK, "classes", value={"!array": ["int64", list(range(5000))]}),
        "not one per cell",
    ),
    "many cells": (
        lambda header, tensors: (
            put(*TASK, "classes", value={"!array": ["int64", list(range(5000))]})(header, tensors),
            put("fitted", "counts", value={"!array": ["int64", [1] * 10000]})(header, tensors),
        ),
        "too many labels",
    ),
    "counts": (
        put("fitted", "counts", value={"!array": ["int64", [-1] * 4]}),
        "no numbers of rows",
    ),
    "rows": (put("fitted", "rows", value={"!array": ["int64", [5, 5]]}), "not in order"),
    "row": (put("fitted", "rows", value={"!array": ["int64", [10**9]]}), "row is missing"),
    "features' names": (
        lambda header, tensors: (
            put(*TASK, "feature_names", value=["x"])(header, tensors),
            tensor(f"{ROWS}X", lambda t: t[:, :1].clone())(header, tensors),
        ),
        "templates do not fit the task",
    ),
    "weights": (tensor("fitted.metanet.head.gamma", lambda t: t * torch.nan), "gamma' is NaN"),
    "weight": (
        tensor("fitted.metanet.head.gamma", lambda t: t[None].repeat(2)),
        "wrong type or shape",
    ),
    "templates": (put("fitted", "templates", value={"!tuple": []}), "there are no templates"),
    "more weights": (tensor("fitted.metanet.more", lambda t: torch.ones(1)), "missing or too many"),
    "no rows": (tensor(f"{ROWS}X", lambda t: t[:0]), "rows of the task have a wrong"),
    "double": (tensor(f"{ROWS}X", lambda t: t.double()), "rows of the task have a wrong"),
    "labels": (tensor(f"{ROWS}y", lambda t: t + 1), "'y' of the task has a wrong"),
    "groups": (tensor(f"{ROWS}sensitive", lambda t: t[:5].clone()), "'sensitive' of the task"),
    "other labels": (tensor(f"{ROWS}y", lambda t: t * 0), "rows and their numbers disagree"),
    "column": (
        lambda header, tensors: (
            put(*TASK, "sensitive", value=None)(header, tensors),
            tensors.pop(f"{ROWS}sensitive"),
        ),
        "columns of the task are missing",
    ),
    "lost column": (lambda header, tensors: tensors.pop(f"{ROWS}y"), "missing or too many"),
}


@pytest.mark.parametrize("change, words", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files(editor, tmp_path, change, words):
    path = tmp_path / "editor"
    editor.save(path, include_task=True)
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skmeta"])
    tensors = safetensors.torch.load_file(path)
    change(header, tensors)
    path.write_bytes(seal(safetensors.torch.save(tensors, {"skmeta": json.dumps(header)})))
    with pytest.raises(FileError, match=words):
        skmeta.load(path)


def test_hidden_and_endless_masks(zoo, tasks, tmp_path):
    editor = ComplianceEditor(Pruning(budget=0.5, compensate=False), **FAST)
    path = tmp_path / "editor"
    editor.fit(zoo[:3], task=tasks[1]).save(path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skmeta"])
    header["fitted"]["metanet"] = {"gamma": {"!tensor": None}}
    tensors = {**safetensors.torch.load_file(path), "fitted.metanet.gamma": torch.ones(1)}
    path.write_bytes(seal(safetensors.torch.save(tensors, {"skmeta": json.dumps(header)})))
    with pytest.raises(FileError, match="a metanetwork too many"):
        skmeta.load(path)
