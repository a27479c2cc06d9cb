"""What `make lint` finds in docstrings: the checker of docs/docstrings.py on a small package."""

import importlib
import runpy
import sys
from pathlib import Path

import pytest

CHECKER = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "docstrings.py"))
HEAD = '''
"""A floor."""

from dataclasses import dataclass

__all__ = ["Base", "Child", "Fields", "function"]


class Base:
    """Base."""

    def method(self, x):
        """Do.

        Parameters
        ----------
        x : int
            A number.

        Returns
        -------
        int
            The same.
        """
        return x


class Child(Base):
    """Child."""

    def method(self, x):
        """Do it in another way."""
        return x

    def _private(self, x):
        """Nobody asks."""
        return x


@dataclass
class Fields:
    """Fields.

    Attributes
    ----------
    a, b : int
        Numbers.
    """

    a: int
    b: int
    _cache: int = 0


def function(a, *, b=1):
    """Do.

    Parameters
    ----------
    a : int
        A number.
    b : int, default=1
        Another.

    Returns
    -------
    int
        Their sum.
    """
    return a + b


def internal(a):
    """Not in __all__."""
    return a
'''


@pytest.fixture
def codes(tmp_path, monkeypatch):
    """Return a function that says which codes a change of HEAD brings."""

    def find(old="", new=""):
        assert old in HEAD
        folder = tmp_path / "skfake" / "floor"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("")
        (folder / "__init__.py").write_text(HEAD.replace(old, new, 1) if old else HEAD)
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.split(".")[0] == "skfake"]:
            monkeypatch.delitem(sys.modules, name)
        found = CHECKER["faults"](importlib.import_module("skfake"))
        assert all(str(folder / "__init__.py") in fault for fault in found)
        return [fault.split()[1] for fault in found]

    return find


def test_what_is_in_order_is_left_alone(codes):
    assert codes() == []


@pytest.mark.parametrize(
    "old, new, code",
    [
        ("def function(a, *, b=1)", "def function(a, *, b=1, c=2)", "PR01"),
        ("def function(a, *, b=1)", "def function(a)", "PR02"),
        ("def function(a, *, b=1)", "def function(b, *, a=1)", "PR03"),
        ("a : int\n        A number", "a\n        A number", "PR04"),
        ("A number.\n    b", "A number\n    b", "PR09"),
        ("    Returns\n    -------\n    int\n        Their sum.\n", "", "RT01"),
        ("        Returns\n        -------\n        int\n            The same.\n", "", "RT01"),
        ("    a, b : int", "    a : int", "PR01"),
        ("    a, b : int", "    b, a : int", "PR03"),
        (
            'def method(self, x):\n        """Do it',
            'def method(self, x, y):\n        """Do it',
            "PR01",
        ),
    ],
)
def test_the_checker_catches_what_it_should(codes, old, new, code):
    assert code in codes(old, new)


def test_every_public_class_function_and_method_is_looked_at():
    import skmeta

    names = {name for name, _ in CHECKER["public"](skmeta)}
    assert {
        "skmeta.WeightSpaceClassifier",
        "skmeta.baselines.AdditiveCorrection",
        "skmeta.requirements.EqualizedOdds",
        "skmeta.population.population.Population.from_records",
        "skmeta.population.population.Population.load",
        "skmeta.estimators.weight_space.WeightSpaceEstimator.save",
    } <= names
