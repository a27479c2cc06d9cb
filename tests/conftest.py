"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
import torch

from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.zoo import MLPSearchSpace, make_zoo

# Two xdist workers share two cores, and the matrices here are small.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_home() -> Path:
    """Return the folder with the original UCI files, or skip."""
    shared = Path(__file__).parents[2] / "shared" / "data"
    home = Path(os.environ.get("SKMETA_DATA_HOME", shared))
    if not (home / "adult").is_dir():
        pytest.skip(f"no real data in {home}; set SKMETA_DATA_HOME to a folder that holds adult/")
    return home


@pytest.fixture(scope="session")
def tasks():
    """Return a small biased task in three parts."""
    bunch = make_biased_classification(4000, gap=0.3, random_state=0)
    return split_tasks(bunch, "group")


@pytest.fixture(scope="session")
def zoo(tasks):
    """Return a few networks of the first part."""
    # Rates and widths at which every network learns something: a constant one has no gap.
    space = MLPSearchSpace(hidden_widths=(8, 16), learning_rate=(5e-3, 1e-2))
    return make_zoo(
        tasks[0], 6, search_space=space, epochs=5, n_checkpoints=1, progress=False, random_state=3
    )
