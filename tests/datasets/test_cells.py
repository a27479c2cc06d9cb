"""Cells: frequencies, weights, and the refusal of empty cells."""

import numpy as np
import pytest
import torch

from skmeta.datasets import Cells, Task


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    y = rng.choice(["deny", "grant", "wait"], 3000, p=[0.6, 0.3, 0.1])
    s = rng.choice(["Female", "Male"], 3000, p=[0.2, 0.8])
    return Task(rng.normal(size=(3000, 1)), y, sensitive_features=s)


def test_frequencies_are_shares_of_the_rows(task):
    expected = np.array([[np.mean((task.y == y) & (task.sensitive == s)) for s in range(2)]
                         for y in range(3)])  # fmt: skip
    np.testing.assert_allclose(Cells.of(task).frequencies, expected)


def test_weights_give_stratified_rows_the_average_of_the_task(task):
    cells = Cells.of(task)
    np.testing.assert_allclose(cells.row_weights(), 1 / task.n_samples)
    # A value that depends on the cell alone has exactly the average of the task.
    value = torch.arange(6.0, dtype=torch.float64)[cells.codes]
    rows = torch.as_tensor(task.stratified_sample(20, 0))
    weights = cells.take(rows).row_weights()
    assert weights.sum().item() == pytest.approx(1)
    assert (weights @ value[rows]).item() == pytest.approx(value.mean().item())
    assert value[rows].mean().item() != pytest.approx(value.mean().item(), rel=0.1)


def test_an_empty_cell_is_named(task):
    cells = Cells.of(task.subset((task.y != 1) | (task.sensitive != 0)))
    with pytest.raises(ValueError, match="none of label 'grant' in group 'Female'"):
        cells.require_all("Anything")
    cells.require_groups("Anything")
    with pytest.raises(ValueError, match="Anything needs .* every group. Got none of 'Female'"):
        Cells.of(task.subset(task.sensitive != 0)).require_groups("Anything")


def test_rows_that_leave_a_cell_empty_are_refused(task):
    cells = Cells.of(task)
    rows = torch.from_numpy(np.flatnonzero(task.y != 2))
    with pytest.raises(ValueError, match="'wait' in group 'Female', label 'wait' in group 'Male'"):
        cells.take(rows)


def test_without_sensitive_features_the_cells_are_the_labels():
    cells = Cells.of(Task([[0.0]] * 4, [0, 1, 1, 1]))
    assert cells.frequencies.tolist() == [[0.25], [0.75]]


def test_regression_is_refused():
    with pytest.raises(ValueError, match="Got a regression task"):
        Cells.of(Task([[0.0]] * 2, [0.5, 1.5], sensitive_features=["a", "b"]))
