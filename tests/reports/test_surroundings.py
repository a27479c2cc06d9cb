"""Results do not depend on torch's and scikit-learn's settings around a call."""

import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import (
    ComplianceEditor,
    EditedClassifier,
    Population,
    WeightSpaceClassifier,
    WeightSpaceRegressor,
    make_zoo,
)
from skmeta import baselines as rivals
from skmeta._modes import in_own_modes
from skmeta.baselines import FineTune, Swap
from skmeta.datasets import Task
from skmeta.networks import Architecture
from skmeta.population import run_networks
from skmeta.requirements import DataMinimization
from skmeta.zoo import MLPSearchSpace
from tests.reports.small_table import table

FAST = {"max_epochs": 1, "hidden_channels": 4, "n_layers": 1, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore:.*has fewer than 50 rows of label:UserWarning")


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def inputs():
    X, y, groups = table()
    networks = Population.initialize(Architecture.mlp((4, 6, 2)), 6, random_state=0)
    return networks, Task(X, y, sensitive_features=groups)


def edited(**params):
    networks, task = inputs()
    editor = ComplianceEditor(**FAST, **params).fit(networks, task=task)
    return editor.transform(networks).predict_proba(task.X)


def read(kind, **params):
    networks, _ = inputs()
    y = np.arange(6) / 6
    reader = kind(**FAST, **params).fit(networks, y if kind is WeightSpaceRegressor else y > 0.4)
    return reader.predict(networks)


def rival(name, **params):
    networks, task = inputs()
    return getattr(rivals, name)(**params).fit(networks, task=task).predict_logits(networks, task)


def tabular():
    X, y, groups = table()
    net = NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    model = EditedClassifier(
        net, method="editor", lam=0.1, n_networks=2, zoo_epochs=1, max_epochs=1, random_state=0
    )
    return model.fit(X, y, sensitive_features=groups).predict_proba(X)


def numbers(population):
    return np.concatenate([s.weights.flat.flatten().numpy() for _, s in population.blocks])


def saved():
    networks, _ = inputs()
    with tempfile.TemporaryDirectory() as folder:
        networks.save(f"{folder}/networks")
        return Population.load(f"{folder}/networks")


def trained():
    space = MLPSearchSpace(hidden_widths=(6, 8), dropout=(0.3,), norms=("batch",))
    options = {"epochs": 2, "progress": False, "random_state": 0}
    return make_zoo(inputs()[1], 3, search_space=space, **options)


ENTRIES = {
    "rescaled": lambda: numbers(inputs()[0].rescaled(0)),
    "permuted": lambda: numbers(inputs()[0].permuted(0)),
    "file": lambda: numbers(saved()),
    "zoo": lambda: numbers(trained()),
    "editor": edited,
    "graph": lambda: edited(metanet="graph", lam_range=(0.1, 0.3)),
    "probes": lambda: edited(features="probes"),
    "refining": lambda: edited(refine_steps=2, guard={"max_divergence": 0.1}),
    "mask": lambda: edited(requirement=DataMinimization()),
    **{
        metanet: lambda metanet=metanet: read(WeightSpaceRegressor, metanet=metanet, quasi=True)
        for metanet in ("nfn-hnp", "monomial", "graph", "statistics")
    },
    "classes": lambda: read(WeightSpaceClassifier, augment="rescale"),
    "FineTune": lambda: rival("FineTune", n_steps=3, random_state=0),
    "AdditiveCorrection": lambda: rival("AdditiveCorrection", n_steps=3, random_state=0),
    "RandomPerturbation": lambda: rival("RandomPerturbation", n_candidates=4, random_state=0),
    "CalibratedEqOdds": lambda: rival("CalibratedEqOdds", random_state=0),
    "Prune": lambda: rival("Prune", criterion="snip", n_steps=2, random_state=0),
    "random": lambda: rival("Prune", criterion="random", random_state=0),
    "LotteryTicket": lambda: rival("LotteryTicket", n_steps=2, random_state=0),
    "tabular": tabular,
}


@pytest.fixture
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("entry", ENTRIES)
def test_another_default_type_changes_no_number(entry, request):
    expected = np.asarray(ENTRIES[entry]())
    request.getfixturevalue("default_float64")
    found = np.asarray(ENTRIES[entry]())
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert torch.get_default_dtype() == torch.float64


MAKERS = {
    "tensor": lambda: torch.tensor(data=[1.0]),
    "as_tensor": lambda: torch.as_tensor([1.0]),
    "full": lambda: torch.full((2,), fill_value=1.0),
    "arange": lambda: torch.arange(0.0, 3),
    "whole": lambda: torch.tensor(1),
    "typed": lambda: torch.as_tensor(np.zeros(2)),
    "leaf": lambda: torch.tensor(1.0, requires_grad=True),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_tensor_is_of_the_type_that_it_has_by_default(maker, request):
    expected = MAKERS[maker]()
    request.getfixturevalue("default_float64")
    found = in_own_modes(MAKERS[maker])()
    assert (found.dtype, found.is_leaf) == (expected.dtype, True)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_mode_without_gradients_changes_no_number(entry, mode):
    expected = np.asarray(ENTRIES[entry]())
    with mode():
        found = ENTRIES[entry]()
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_what_was_made_in_inference_mode_can_be_trained_on_later():
    with torch.inference_mode():
        networks, task = inputs()
        networks.predict_proba(task.X)
        run_networks(networks, task)
    editor = ComplianceEditor(**FAST).fit(networks, task=task)
    assert not np.array_equal(
        editor.transform(networks).predict_proba(task.X), networks.predict_proba(task.X)
    )
    WeightSpaceRegressor(**FAST).fit(networks, np.arange(6.0))


ARRAY_API = """
import numpy as np, sklearn
from sklearn.model_selection import GridSearchCV, cross_val_score
from skmeta import ComplianceEditor, Population, Task, WeightSpaceClassifier, WeightSpaceRegressor
from skmeta.networks import Architecture

fast = dict(max_epochs=1, hidden_channels=4, n_layers=1, random_state=0)
networks = Population.initialize(Architecture.mlp((4, 6, 2)), 12, random_state=0)
rng, groups = np.random.default_rng(0), np.arange(240) % 2
X, y = rng.normal(size=(240, 4)), rng.integers(2, size=240)
task, targets = Task(X, y, sensitive_features=groups), np.arange(12.0)
def scores():
    search = GridSearchCV(
        ComplianceEditor(**fast), {"features": ["cells", "probes"]}, cv=2, error_score="raise"
    )
    search.fit(networks, task=task)
    assert isinstance(search.transform(networks), Population)
    options = {"cv": 2, "error_score": "raise"}
    return np.concatenate([
        cross_val_score(WeightSpaceRegressor(**fast), networks, targets, **options),
        cross_val_score(WeightSpaceClassifier(**fast), networks, targets % 2, **options),
        search.cv_results_["mean_test_score"],
    ])
expected = scores()
with sklearn.config_context(array_api_dispatch=True):
    np.testing.assert_array_equal(scores(), expected)
"""


def test_searches_under_array_api_dispatch_give_the_same_scores():
    # scipy reads the variable when it is imported.
    code = ["-W", "ignore", "-c", ARRAY_API]
    env = {"SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, *code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("last", [ComplianceEditor(**FAST), FineTune(n_steps=1), Swap()])
def test_networks_stay_networks_whatever_output_a_pipeline_is_asked_for(last):
    networks, task = inputs()
    last.fit(networks, task=task)
    for container in ("pandas", "polars", "default"):
        pipeline = make_pipeline(Swap().fit(networks, task=task), last)
        assert pipeline.set_output(transform=container) is pipeline
        assert isinstance(pipeline.transform(networks), Population)
        assert isinstance(pipeline.transform(list(networks)), list)
        with config_context(transform_output=container):
            assert not isinstance(pipeline.transform(networks), pd.DataFrame)


def test_gradients_of_networks_with_one_output():
    from skmeta.gradients import Recording

    networks = Population([nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))])
    ((_, stack),) = networks.blocks
    X = torch.linspace(-1, 1, 15).view(5, 3)
    recording = Recording(stack, X)
    gradient = recording.pull_back(2 * recording.logits).gradient()
    module = networks[0]
    module(X).square().sum().backward()
    parameters = [p.grad for p in module.parameters()]
    torch.testing.assert_close(gradient["0.weight"][0], parameters[0])
    torch.testing.assert_close(gradient["1.bias"][0], parameters[-1])
