"""A small population, its tasks and a barely trained editor."""

import pytest

from skmeta import ComplianceEditor, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.zoo import MLPSearchSpace


@pytest.fixture(scope="module")
def tasks():
    return split_tasks(make_biased_classification(4000, random_state=0), "group")


@pytest.fixture(scope="module")
def zoo(tasks):
    space = MLPSearchSpace(hidden_widths=(8, 12), learning_rate=(3e-3, 3e-2))
    return make_zoo(
        tasks[0], 12, search_space=space, epochs=3, n_checkpoints=1, progress=False, random_state=0
    )


@pytest.fixture(scope="module")
def editor(tasks, zoo):
    return ComplianceEditor(
        lam_range=(0.02, 0.5), max_epochs=2, hidden_channels=16, n_layers=1, random_state=0
    ).fit(zoo[:10], task=tasks[1])
