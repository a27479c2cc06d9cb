"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest
import torch

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
