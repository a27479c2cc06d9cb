"""A small population and its tasks."""

import pytest

from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.zoo import MLPSearchSpace, make_zoo


@pytest.fixture(scope="session")
def tasks():
    bunch = make_biased_classification(4000, gap=0.3, random_state=0)
    return split_tasks(bunch, "group")


@pytest.fixture(scope="session")
def zoo(tasks):
    # Rates and widths at which every network learns something: a constant one has no gap.
    space = MLPSearchSpace(hidden_widths=(8, 16), learning_rate=(5e-3, 1e-2))
    return make_zoo(
        tasks[0], 6, search_space=space, epochs=5, n_checkpoints=1, progress=False, random_state=3
    )
