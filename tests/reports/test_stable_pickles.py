"""Tasks and fitted estimators can be hashed by joblib, and pickle to the same bytes."""

import copy
import pickle

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skmeta import ComplianceEditor, EditedClassifier, WeightSpaceRegressor, make_zoo
from skmeta.baselines import Swap
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.metanets import NeuronTrunk


def pass_on(networks, calls):
    with calls.open("a") as file:
        file.write("x")
    return networks


gap = lambda p, y, s: (p[:, s == 0, 1].mean(1) - p[:, s == 1, 1].mean(1)).abs()  # noqa: E731


@pytest.fixture(scope="module")
def tasks():
    return split_tasks(make_biased_classification(2400, random_state=0), "group", random_state=0)


@pytest.fixture(scope="module")
def zoo(tasks):
    return make_zoo(tasks[0], 6, epochs=2, n_checkpoints=2, progress=False, random_state=0)


@pytest.fixture(scope="module")
def fitted(tasks, zoo):
    _, reference, _ = tasks
    return {
        "task": reference,
        "editor": ComplianceEditor(max_epochs=1, random_state=0).fit(zoo, task=reference),
        "reader": WeightSpaceRegressor(max_epochs=1, hidden_channels=4, random_state=0).fit(
            zoo, zoo.metadata["validation_accuracy"]
        ),
        "swap": Swap(random_state=0).fit(zoo, task=reference),
    }


@pytest.mark.parametrize("name", ["task", "editor", "reader", "swap"])
def test_hash_and_bytes_are_the_same_every_time(fitted, name):
    value = fitted[name]
    expected = joblib.hash(value)
    assert joblib.hash(value) == expected
    assert pickle.dumps(value) == pickle.dumps(value)
    assert joblib.hash(pickle.loads(pickle.dumps(value))) == expected


def test_edits_of_a_pickled_editor_are_the_same(fitted, zoo, tasks):
    again = pickle.loads(pickle.dumps(fitted["editor"]))
    expected = fitted["editor"].transform(zoo).predict_proba(tasks[2].X)
    np.testing.assert_array_equal(again.transform(zoo).predict_proba(tasks[2].X), expected)
    assert again.net_.module_ is not fitted["editor"].net_.module_
    assert again.net_.history[-1]["epoch"] == 1


def test_pipeline_with_memory_fits_once(zoo, tmp_path):
    calls = tmp_path / "calls"
    for _ in range(2):
        reader = WeightSpaceRegressor(max_epochs=1, hidden_channels=4, random_state=0)
        steps = [
            ("first", FunctionTransformer(pass_on, kw_args={"calls": calls})),
            ("reader", reader),
        ]
        Pipeline(steps, memory=joblib.Memory(tmp_path / "cache", verbose=0)).fit(
            zoo, zoo.metadata["validation_accuracy"]
        )
    assert calls.read_text() == "x"


def test_metanetworks_of_a_notebook_reach_the_workers_of_joblib(tasks, zoo):
    class MyTrunk(NeuronTrunk):
        pass

    editor = ComplianceEditor(metanet=MyTrunk, max_epochs=1, random_state=0)
    editor.fit(zoo, task=tasks[1])
    # joblib pickles classes of a script by value, with cloudpickle.
    again = cloudpickle.loads(cloudpickle.dumps(editor))
    expected = editor.transform(zoo).predict_proba(tasks[2].X)
    np.testing.assert_array_equal(again.transform(zoo).predict_proba(tasks[2].X), expected)


def test_an_editor_of_a_lambda_can_be_copied(tasks, zoo):
    editor = ComplianceEditor(gap, max_epochs=1, random_state=0).fit(zoo, task=tasks[1])
    twin = copy.copy(editor)
    assert twin.plan_.requirement.function is gap
    with pytest.raises(pickle.PicklingError):  # as of any estimator that holds one
        pickle.dumps(editor)


def test_an_unfitted_estimator_hashes_by_its_parameters():
    estimators = [EditedClassifier(lam=lam) for lam in (0.1, 0.1, 0.2)]
    first, second, other = map(joblib.hash, estimators)
    assert first == second != other
