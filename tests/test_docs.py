"""The user guide runs, and the reference covers what is public."""

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest
import torch

import skmeta

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [page for page in sorted(DOCS.glob("*.rst")) if ">>>" in page.read_text(encoding="utf-8")]
FLOORS = [module.name for module in pkgutil.iter_modules(skmeta.__path__) if module.ispkg]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_guide_runs(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, attempted = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert attempted and not failed


@pytest.mark.parametrize("path", sorted(DOCS.glob("figures/*.py")), ids=lambda path: path.stem)
def test_a_figure_of_the_guide_can_be_drawn(path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    with torch.random.fork_rng():
        runpy.run_path(str(path))
    pyplot.close("all")


def test_the_reference_lists_every_floor():
    listed = {line.strip() for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines()}
    assert {f"skmeta.{floor}" for floor in FLOORS if floor != "demo"} <= listed


def test_the_reference_lists_the_names_at_the_top():
    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    block = text[text.index("from skmeta import") :].split("\n\n")[0]
    assert set(re.findall(r"\w+", block)) - {"from", "skmeta", "import"} == set(skmeta.__all__)


@pytest.mark.parametrize("floor", [floor for floor in FLOORS if floor != "demo"])
def test_a_floor_says_what_is_public(floor):
    module = importlib.import_module(f"skmeta.{floor}")
    assert module.__doc__
    for name in module.__all__:
        assert getattr(module, name).__doc__


def named_tests(text):
    """Return the tests that a text names, as (file, function)."""
    return re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", text)


def test_every_promise_names_tests_that_exist():
    text = (DOCS / "errors_and_files.rst").read_text(encoding="utf-8")
    promises = text[text.index("What is promised") :].split("   * - ")[2:]
    assert len(promises) > 10
    for promise in promises:
        named = named_tests(promise)
        assert named, promise
        for file, function in named:
            found = (DOCS.parent / file).read_text(encoding="utf-8")
            assert f"\ndef {function}(" in found, f"{file}::{function}"


def test_the_reader_of_promises_finds_names():
    assert named_tests("x\n - ``tests/a/b_c.py::test_d``, ``tests/e.py``") == [
        ("tests/a/b_c.py", "test_d")
    ]
