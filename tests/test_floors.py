"""Imports between the package's floors (FLOORS, below) run downwards only; files stay short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "skmeta"
FLOORS = [  # from the ground up
    "files",
    "datasets",
    "networks",
    "population",
    "gradients",
    "training",
    "metanets",
    "requirements",
    "zoo",
    "learning",
    "optimizing",
    "reading",
    "editing",
    "baselines",
    "evaluation",
    "estimators",
]
GROUND = {  # below every floor
    *("_columns", "_modes", "_plain", "_random", "_text", "_checks", "__version__"),
}
ROOF = {"", "__init__", "__main__", "demo"}  # above every floor; "" is the package itself
MAX_LINES = 400


def height(name: str) -> int | None:
    """Rank the part of the package that a top-level name belongs to; None if it is unknown."""
    if name in GROUND:
        return -1
    if name in ROOF:
        return len(FLOORS)
    return FLOORS.index(name) if name in FLOORS else None


def imported(path: Path, package: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, dotted name in parts) for all that a module imports from its own package.

    What is imported for annotations only does not count.
    """
    folder = (package.name, *path.relative_to(package).parent.parts)
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(folder[: len(folder) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            modules = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, module[1:]) for module in modules if module[0] == package.name)


def imported_parts(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, top-level name) for all that a module imports from its own package."""
    for line, parts in imported(path, package):
        name = parts[0] if parts else ""
        # `from skmeta import Task` goes through the roof, which imports everything.
        yield line, name if height(name) is not None else ""


def module_of(parts: list[str], package: Path) -> Path:
    """Return the file that a dotted name is found in."""
    for n in range(len(parts), -1, -1):
        place = package.joinpath(*parts[:n])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    raise FileNotFoundError(".".join(parts))


def circles(package: Path) -> list[str]:
    """List the modules from which imports lead back to them."""
    files = sorted(package.rglob("*.py"))
    graph = {
        file: {module_of(parts, package) for _, parts in imported(file, package)} for file in files
    }
    ends = [file for file in files if not graph[file]]
    while ends:  # nothing below these leads anywhere
        for end in ends:
            del graph[end]
        for targets in graph.values():
            targets.difference_update(ends)
        ends = [file for file in graph if not graph[file]]
    return [str(file.relative_to(package)) for file in graph if file in set.union(*graph.values())]


def upward_imports(package: Path) -> list[str]:
    """List all imports that break the rule, and all modules that lie on no floor."""
    faults = []
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package)
        own = height(where.parts[0].removesuffix(".py"))
        if own is None:
            faults.append(f"{where}: on no floor")
            continue
        for line, name in imported_parts(path, package):
            above = height(name)
            # Modules of the ground know nothing of each other's package, floors know their own.
            if above is None or above > own or above == own == -1:
                faults.append(f"{where}:{line}: imports {name or 'the package itself'}")
    return faults


def test_imports_run_downwards():
    assert upward_imports(PACKAGE) == []


def test_no_imports_lead_back():
    assert circles(PACKAGE) == []


def test_files_stay_short():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize(
    "where, statement, caught",
    [
        ("population/a.py", "import skmeta.zoo", True),
        ("population/a.py", "import numpy, skmeta.zoo.build as b", True),
        ("population/a.py", "from skmeta.zoo import make_zoo", True),
        ("population/a.py", "from skmeta import zoo", True),
        ("population/a.py", "from skmeta import Task", True),
        ("population/a.py", "import skmeta", True),
        ("population/a.py", "from ..zoo import make_zoo", True),
        ("population/a.py", "from .. import zoo", True),
        ("population/deep/a.py", "from ...zoo.build import x", True),
        ("population/a.py", "def f():\n    from ..zoo import x", True),
        ("_checks.py", "from skmeta.datasets import Task", True),
        ("plotting/a.py", "import numpy", True),
        ("loose.py", "import numpy", True),
        ("population/a.py", "from ..datasets import Task", False),
        ("population/a.py", "from skmeta.population.b import x", False),
        ("population/a.py", "from .b import zoo", False),
        ("population/a.py", "from skmeta._checks import check_option", False),
        ("population/a.py", "from skmeta import datasets, __version__", False),
        ("population/a.py", "import zoo", False),
        ("demo/a.py", "from skmeta.estimators import x", False),
        ("__init__.py", "from skmeta.estimators import x", False),
        ("__main__.py", "from skmeta.demo import main", False),
    ],
)
def test_the_checker_catches_what_it_should(tmp_path, where, statement, caught):
    path = tmp_path / "skmeta" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(statement)
    assert len(upward_imports(tmp_path / "skmeta")) == caught


@pytest.mark.parametrize(
    "first, second, caught",
    [
        ("from skmeta.population.b import x", "from skmeta.population.a import y", 2),
        ("from skmeta.population.b import x", "def f():\n    from . import a", 2),
        ("from skmeta.population.b import x", "from skmeta.population import y", 3),
        ("from .b import x", "if TYPE_CHECKING:\n    from .a import y", 0),
        ("from .b import x", "import numpy", 0),
    ],
)
def test_the_checker_finds_circles(tmp_path, first, second, caught):
    folder = tmp_path / "skmeta" / "population"
    folder.mkdir(parents=True)
    (tmp_path / "skmeta" / "__init__.py").write_text("from skmeta.population import a")
    (folder / "__init__.py").write_text("from skmeta.population.a import y")
    (folder / "a.py").write_text(first)
    (folder / "b.py").write_text(second)
    assert len(circles(tmp_path / "skmeta")) == caught
