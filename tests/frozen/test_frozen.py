"""The package computes what it did before its core was rebuilt, up to float32 sums."""

import numpy as np
import pytest

from tests.frozen import cases

# Other orders of float32 sums change a number by some 1e-6. Where that grows, through an update
# rule that divides by a small gradient or a divergence that is a difference of equal numbers,
# record.py has measured by how much inputs that are off by 3e-7 move it: ten times as far is
# allowed there, in that network only.
RTOL, TIMES_MOVED = 1e-4, 10
# A refactoring may draw a metanetwork's first parameters in another order: with other seeds the
# editor's score moves by a third.
RTOL_PUBLIC = 0.5


def deviating(name, got):
    """Names of the arrays that are not as they were."""
    with np.load(cases.HERE / f"{name}.npz") as saved:
        frozen = dict(saved)
    moved = {key[:-2]: frozen.pop(key) for key in list(frozen) if key.endswith(" ~")}
    assert set(got) == set(frozen)
    names = []
    for key, wanted in frozen.items():
        assert got[key].shape == wanted.shape, key
        if key not in moved:
            equal = np.array_equal(got[key], wanted)
        elif name == "public":
            equal = (cases.deviation(got[key], wanted) <= RTOL_PUBLIC).all()
        else:
            by = cases.deviation(got[key], wanted)
            equal = (by <= RTOL + TIMES_MOVED * moved[key].astype(float)).all()
        if not equal:
            names.append(key)
    return names


@pytest.mark.parametrize("name", cases.CASES)
def test_numbers_are_as_they_were(name):
    assert deviating(name, cases.CASES[name](cases.networks())) == []


@pytest.mark.parametrize(
    "name", ["copies", "edits_pruned", "readings", "statistics", "fine_tuned", "rules"]
)
def test_one_weight_off_by_a_hundredth_is_noticed(name):
    rows = cases.rows_of(cases.networks())
    for position in (2, 10):
        rows[position][np.abs(rows[position]).argmax()] *= 1.01
    assert deviating(name, cases.CASES[name](cases.from_many_rows(rows)))
