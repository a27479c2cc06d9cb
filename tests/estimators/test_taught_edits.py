"""Editors whose networks follow the decisions of a teacher."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skmeta
from skmeta import ComplianceEditor, Task
from skmeta.datasets import Cells
from skmeta.evaluation import EditScorer
from skmeta.files import FileError
from skmeta.files.container import seal
from skmeta.population import run_networks
from skmeta.requirements import EqualizedOdds, FairTeacher, Objective, Pruning, kullback_leibler

FAST = {"max_epochs": 2, "hidden_channels": 16, "n_layers": 1, "random_state": 0, "lam": 0.5}
TEACHER = FairTeacher(tolerance=0.01)


def rows_of(population):
    return np.concatenate([t.flatten() for r in population.records() for t in r.tensors.values()])


def same_table(task):
    groups = task.groups[task.sensitive]
    return Task(task.X, task.classes[task.y], sensitive_features=groups)


@pytest.fixture(scope="module")
def taught(tasks, zoo):
    return ComplianceEditor(**FAST, teacher=TEACHER).fit(zoo[:10], task=tasks[1])


def test_networks_follow_the_teacher_on_new_rows(taught, zoo, tasks):
    wanted = FairTeacher(tolerance=0.01, random_state=0).fit(tasks[1]).predict_proba(tasks[2])
    cells, lam = Cells.of(tasks[2]), torch.full((len(zoo),), 0.5)
    objective = Objective(EqualizedOdds(), kullback_leibler)
    free = ComplianceEditor(**FAST).fit(zoo[:10], task=tasks[1])
    before, after, otherwise = (
        objective.exact(
            torch.from_numpy(wanted).log().float(), run_networks(networks, tasks[2]), cells, lam
        ).mean()
        for networks in (zoo, taught.transform(zoo), free.transform(zoo))
    )
    assert after < 0.85 * before
    assert after < otherwise  # the objective of others does not lead there


def test_gaps_shrink_and_classes_keep_their_recall(taught, zoo, tasks):
    task = tasks[2]
    before, after = (run_networks(n, task) for n in (zoo, taught.transform(zoo)))
    gaps = [EqualizedOdds().measure(logits, Cells.of(task)).mean() for logits in (before, after)]
    assert gaps[1] < 0.6 * gaps[0]
    decided = [logits.argmax(-1).numpy() for logits in (before, after)]
    balanced = [
        np.mean([(d[:, task.y == k] == k).mean() for k in range(task.n_classes)]) for d in decided
    ]
    assert balanced[1] > balanced[0] - 0.02


def test_edits_do_not_depend_on_company_nor_on_the_copy_of_the_table(taught, zoo, tasks):
    edited = taught.transform(zoo)
    alone, among = taught.transform(zoo[3:4]), edited[3:4]
    np.testing.assert_allclose(rows_of(alone), rows_of(among), rtol=1e-3, atol=1e-5)
    again = taught.transform(zoo, task=same_table(tasks[1]))
    assert np.array_equal(rows_of(again), rows_of(edited))
    assert not hasattr(TEACHER, "joint_")  # cloned


def test_other_rows_are_taught_anew(taught, zoo, tasks):
    there = taught.transform(zoo, task=tasks[2])
    assert not np.array_equal(rows_of(there), rows_of(taught.transform(zoo)))


@pytest.mark.parametrize("features", ["cells", "probes", "weights"])
def test_the_teacher_is_for_every_kind_of_features(features, zoo, tasks):
    editor = ComplianceEditor(**FAST, features=features, teacher=TEACHER)
    editor.fit(zoo[:10], task=tasks[1])
    free = ComplianceEditor(**FAST, features=features).fit(zoo[:10], task=tasks[1])
    edited, other = editor.transform(zoo), free.transform(zoo)
    assert not np.array_equal(rows_of(edited), rows_of(other))


def test_score_is_minus_the_objective_beside_the_teacher(taught, zoo, tasks):
    teacher = clone(taught.editor_.teacher).fit(tasks[2])
    target = torch.from_numpy(teacher.soft_labels()).log().float()
    edited = run_networks(taught.transform(zoo), tasks[2])
    exact = Objective(EqualizedOdds(), kullback_leibler).exact
    expected = exact(target, edited, Cells.of(tasks[2]), torch.full((len(zoo),), 0.5)).mean()
    assert taught.score(zoo, task=tasks[2]) == pytest.approx(-float(expected), rel=1e-5)


def test_refining_goes_on_towards_the_teacher(taught, zoo, tasks):
    short, long = (taught.set_params(refine_steps=n).score(zoo) for n in (0, 40))
    taught.set_params(refine_steps=0)
    assert long > short


def test_behind_a_mask(zoo, tasks):
    editor = ComplianceEditor(["equalized_odds", Pruning(budget=0.5)], **FAST, teacher=TEACHER)
    edited = editor.fit(zoo[:10], task=tasks[1]).transform(zoo)
    zeros = (rows_of(edited) == 0).mean()
    assert zeros > (rows_of(zoo) == 0).mean() + 0.2


def test_its_parameters_are_searched(zoo, tasks):
    search = GridSearchCV(
        ComplianceEditor(**{**FAST, "max_epochs": 1}, teacher=TEACHER),
        {"teacher__tolerance": [0.01, 0.2]},
        cv=2,
        scoring=EditScorer("neg_measure"),
        error_score="raise",
    )
    search.fit(zoo, task=tasks[1])
    assert search.best_estimator_.editor_.teacher.tolerance in (0.01, 0.2)


def test_what_is_refused(taught, zoo, tasks):
    for teacher, error, words in (
        ("fair", TypeError, "'teacher' parameter of ComplianceEditor must be a FairTeacher"),
        (FairTeacher("demographic_parity"), ValueError, "must teach its requirement, EqualizedO"),
    ):
        with pytest.raises(error, match=words):
            ComplianceEditor(**FAST, teacher=teacher).fit(zoo, task=tasks[1])
    both = ["equalized_odds", "demographic_parity"]
    for requirement, words in (
        (both, "several requirements at once"),
        (EqualizedOdds(thresholds=(0.3, 0.7)), "decides at .5"),
    ):
        with pytest.raises(ValueError, match=words):
            ComplianceEditor(requirement, **FAST, teacher=TEACHER).fit(zoo, task=tasks[1])
    with pytest.raises(ValueError, match="must teach its requirement, NoneType"):
        ComplianceEditor("pruning", **FAST, teacher=TEACHER).fit(zoo, task=tasks[1])
    later = ComplianceEditor(**FAST, teacher=FairTeacher()).fit(zoo[:10], task=tasks[1])
    with pytest.raises(ValueError, match="'teacher' parameter .* was changed after fit"):
        later.set_params(teacher__tolerance=0.2).transform(zoo)


@pytest.mark.parametrize("include_task", [False, True])
def test_files(taught, zoo, tasks, tmp_path, include_task):
    taught.save(tmp_path / "editor", include_task=include_task)
    loaded = skmeta.load(tmp_path / "editor")
    edited = loaded.transform(zoo, task=None if include_task else tasks[1])
    assert np.array_equal(rows_of(edited), rows_of(taught.transform(zoo)))
    assert loaded.card() == taught.card()
    assert "follow the decisions of `FairTeacher(" in loaded.card()
    loaded.save(tmp_path / "again", include_task=include_task)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "editor").read_bytes()


def test_a_stream_as_seed_cannot_be_saved(zoo, tasks, tmp_path):
    teacher = FairTeacher(random_state=np.random.RandomState(0))
    editor = ComplianceEditor(**FAST, teacher=teacher).fit(zoo[:10], task=tasks[1])
    with pytest.raises(ValueError, match="'teacher__random_state' .* cannot be saved"):
        editor.save(tmp_path / "editor")
    assert not list(tmp_path.iterdir())


def put(*keys, value):
    def change(header, tensors):
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = value

    return change


PARAMS = ("params", "teacher", "!FairTeacher")
HOSTILE = {
    "trees": (put(*PARAMS, "max_iter", value=10**9), "too many trees"),
    "folds": (put(*PARAMS, "n_folds", value=10**9), "too many trees"),
    "text": (put(*PARAMS, "tolerance", value="much"), "tolerance of FairTeacher is no number"),
    "code": (put(*PARAMS, "requirement", value=None), "does not fit together"),
    "more": (put(*PARAMS, "model", value=1), "no parameters of FairTeacher"),
    "another": (put(*PARAMS, "requirement", value="demographic_parity"), "must teach its"),
    "none": (put("params", "teacher", value=None), "a teacher too many"),
    "no seed": (put("fitted", "teacher_seed", value=None), "a teacher too many"),
    "unsaid": (
        lambda header, tensors: (
            put("fitted", "taught", value=None)(header, tensors),
            tensors.pop("fitted.taught"),
        ),
        "missing, or too many",
    ),
    "short": (
        lambda header, tensors: tensors.update({"fitted.taught": torch.zeros(3, 2)}),
        "do not fit the rows",
    ),
    "no probabilities": (
        lambda header, tensors: tensors.update({"fitted.taught": -tensors["fitted.taught"]}),
        "do not fit the rows",
    ),
}


@pytest.mark.parametrize("change, words", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files(taught, tmp_path, change, words):
    path = tmp_path / "editor"
    taught.save(path, include_task=True)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skmeta"])
    tensors = load_file(path)
    change(header, tensors)
    path.write_bytes(seal(save(tensors, {"skmeta": json.dumps(header)})))
    with pytest.raises(FileError, match=words):
        skmeta.load(path)
