"""A small population and its tasks."""

import pytest

from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.zoo import make_zoo


@pytest.fixture(scope="session")
def tasks():
    bunch = make_biased_classification(4000, gap=0.3, random_state=0)
    return split_tasks(bunch, "group")


@pytest.fixture(scope="session")
def zoo(tasks):
    return make_zoo(tasks[0], 6, epochs=3, n_checkpoints=1, progress=False, random_state=1)
