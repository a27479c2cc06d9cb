"""What the editor refuses, and what it says then."""

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from skmeta import ComplianceEditor, Population, Task
from skmeta.networks import MLP, Architecture

FAST = {"max_epochs": 2, "hidden_channels": 16, "n_layers": 1, "random_state": 0}


def bad_fits(tasks, zoo):
    train, reference, _ = tasks
    X, y, s = reference.X, reference.y, reference.sensitive
    regressor = MLPRegressor(hidden_layer_sizes=(4,), max_iter=500, tol=1e-1).fit(
        train.X[:99], train.y[:99] * 1.0
    )
    many = np.stack([train.y[:99], 1 - train.y[:99]], 1)
    multilabel = MLPClassifier((4,), max_iter=500, tol=1e-1).fit(train.X[:99], many)
    three = Population.initialize(Architecture.mlp((X.shape[1], 4, 3)), 2, random_state=0)
    narrow = Population.initialize(Architecture.mlp((2, 4, 2)), 2, random_state=0)
    broken = MLP(Architecture.mlp((X.shape[1], 4, 2)))
    broken_population = Population([broken])
    weight = broken_population.blocks[0][1].params.weight[0]
    weight[0, 0, 0] = float("nan")
    return {
        "no task": (zoo, {}, {}, TypeError, "pass task=Task"),
        "empty": (zoo[:0], {"task": reference}, {}, ValueError, "at least one network"),
        "requirement": (
            zoo,
            {"task": reference},
            {"requirement": "equalised_odds"},
            ValueError,
            "Did you mean 'equalized_odds'",
        ),
        "features": (zoo, {"task": reference}, {"features": "cell"}, ValueError, "mean 'cells'"),
        "metanet": (zoo, {"task": reference}, {"metanet": "graf"}, ValueError, "mean 'graph'"),
        "lam": (zoo, {"task": reference}, {"lam": -1}, ValueError, "'lam' parameter"),
        "lam_range": (
            zoo,
            {"task": reference},
            {"lam_range": (0.5, 0.1)},
            ValueError,
            "ascending order",
        ),
        "infinite lam": (
            zoo,
            {"task": reference},
            {"lam_range": (0.1, np.inf)},
            ValueError,
            "ascending order",
        ),
        "lam pair": (zoo, {"task": reference}, {"lam_range": 0.3}, TypeError, "two positive"),
        "lam outside": (
            zoo,
            {"task": reference},
            {"lam_range": (0.3, 0.5)},
            ValueError,
            "must lie in 'lam_range'",
        ),
        "device": (zoo, {"task": reference}, {"device": "gpu"}, ValueError, "'device' parameter"),
        "callbacks": (zoo, {"task": reference}, {"callbacks": 5}, TypeError, "list of skorch"),
        "net": (zoo, {"task": reference}, {"net": 5}, TypeError, "must be a skorch.NeuralNet"),
        "metanet class": (
            zoo,
            {"task": reference},
            {"metanet": nn.Linear},
            TypeError,
            "skmeta.metanets.Trunk",
        ),
        "float labels": (
            zoo,
            {"task": Task(X, y + s / 2, sensitive_features=s)},
            {},
            ValueError,
            "astype",
        ),
        "no sensitive feature": (zoo, {"task": Task(X, y)}, {}, ValueError, "sensitive"),
        "one group": (
            zoo,
            {"task": Task(X, y, sensitive_features=np.zeros(len(y), int))},
            {},
            ValueError,
            "group",
        ),
        "empty cell": (
            zoo,
            {"task": Task(X, y, sensitive_features=np.where(y == 1, 0, s))},
            {},
            ValueError,
            "at least one row of every label in every group",
        ),
        "regressor": ([regressor], {"task": reference}, {}, ValueError, "is a regressor"),
        "multilabel": ([multilabel], {"task": reference}, {}, ValueError, "multilabel"),
        "classes": (three, {"task": reference}, {}, ValueError, "3 outputs"),
        "inputs": (narrow, {"task": reference}, {}, ValueError, "has 2 inputs"),
        "nan": (broken_population, {"task": reference}, {}, ValueError, "finite weights"),
    }


NAMES = [
    "no task", "empty", "requirement", "features", "metanet", "lam", "lam_range",
    "no sensitive feature", "one group", "empty cell", "regressor", "multilabel", "classes",
    "inputs", "nan", "infinite lam", "lam pair", "lam outside", "device", "callbacks", "net",
    "metanet class", "float labels",
]  # fmt: skip


@pytest.fixture(scope="module")
def cases(tasks, zoo):
    return bad_fits(tasks, zoo)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_gets_a_clear_error(name, cases):
    networks, fit_params, params, error, message = cases[name]
    with pytest.raises(error, match=message):
        ComplianceEditor(**{**FAST, **params}).fit(networks, **fit_params)


def test_lam_outside_the_range(editor, zoo):
    with pytest.raises(ValueError, match=r"\[0.02, 0.5\]. Got 2"):
        editor.transform(zoo, lam=2.0)
