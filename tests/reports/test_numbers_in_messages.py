"""A message shows 1, not np.int64(1), whatever the caller's numbers are made of."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.utils import Bunch

from skmeta import ComplianceEditor, EditedClassifier, Population, Task
from skmeta._checks import check_in_range, check_option, check_rng
from skmeta.baselines import RejectOption
from skmeta.datasets import split_tasks
from skmeta.editing.checks import check_lam_range
from skmeta.editing.guard import check_guard
from skmeta.evaluation import least_violation
from skmeta.networks import Architecture
from skmeta.zoo import CNNSearchSpace
from tests.stages import layer

ONE, HALF, TEXT = np.int64(1), np.float64(0.5), np.str_("a")
X = np.arange(24.0).reshape(12, 2)
TASK = Task(X, np.arange(12) % 2, sensitive_features=np.arange(12) // 2 % 2)


def split(**changes):
    rng = np.random.default_rng(0)
    parts = {
        "data": pd.DataFrame(rng.normal(size=(40, 2)), columns=["u", "v"]),
        "target": np.arange(40) % 2,
        "sensitive_features": pd.DataFrame({"s": np.arange(40) // 2 % 2}),
    }
    options = {name: changes.pop(name) for name in ("sizes", "sensitive") if name in changes}
    return split_tasks(Bunch(**parts | changes), **options)


def rare(n):
    return np.where(np.arange(40) < n, 7, np.arange(40) % 2)


CALLS = {
    "range": lambda: check_in_range("a", ONE, owner="f", low=2),
    "type": lambda: check_in_range("a", HALF, owner="f", kind="int"),
    "option": lambda: check_option("a", TEXT, [np.str_("b"), np.int64(3)], owner="f"),
    "random state": lambda: check_rng(np.float64(0.5)),
    "list": lambda: check_option("a", [ONE, (HALF,)], ["b"], owner="f"),
    "lam range": lambda: check_lam_range((ONE, HALF), 0.1, "f"),
    "guard": lambda: check_guard({"max": HALF}, "f"),
    "sizes": lambda: split(sizes=(HALF, HALF, HALF)),
    "column": lambda: split(sensitive=ONE),
    "small cell": lambda: split(target=rare(2)),
    "layer": lambda: layer(4, kernel=(np.int64(0), ONE)),
    "search space": lambda: CNNSearchSpace((1, 8, 8), learning_rate=(HALF, np.float64(0.1))),
    "thetas": lambda: RejectOption(thetas=[np.float64(2)]).fit([], task=TASK),
    "labels": lambda: Population.initialize(Architecture.mlp((2, 3, 2)), 1).score(
        X, np.array([ONE, np.int64(5)] * 6, dtype=object)
    ),
    "candidates": lambda: least_violation(max_divergence=1e-9)(
        {
            "mean_test_neg_divergence": np.array([-1.0]),
            "mean_test_neg_measure": np.array([-1.0]),
            "params": [{"lam": HALF}],
        }
    ),
    "rare group": lambda: EditedClassifier(MLPClassifier((2,)), random_state=0).fit(
        X, np.arange(12) % 2, sensitive_features=np.where(np.arange(12) < 1, 5, 6)
    ),
    "lam of a mask": lambda: ComplianceEditor("pruning", lam_range=(HALF, ONE)).fit(
        Population.initialize(Architecture.mlp((2, 3, 2)), 2), task=TASK
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_message_shows_a_scalar_of_numpy(call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert "np." not in str(caught.value)
    assert any(character.isdigit() for character in str(caught.value)) or "'a'" in str(caught.value)


def test_groups_that_would_look_alike_show_plain_values():
    columns = pd.DataFrame({"a": ["x, 1", "x"] * 6, "b": ["2", "1, 2"] * 6, "c": [3] * 12})
    assert Task(X, np.arange(12) % 2, sensitive_features=columns).groups.tolist() == [
        "'x', '1, 2', 3",
        "'x, 1', '2', 3",
    ]
