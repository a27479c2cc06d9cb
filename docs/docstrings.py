"""Hold the docstrings of all that is public to numpydoc's rules; ``make lint`` runs this.

Public is what a floor's ``__all__`` names, and the methods of such a class.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from numpydoc.docscrape_sphinx import get_doc_object
from numpydoc.validate import Validator, validate

CHECKS = {
    *("GL06", "GL07"),  # known sections in numpydoc's order
    *("PR01", "PR02", "PR03"),  # every parameter, no other, in the signature's order
    *("PR04", "PR05", "PR06", "PR07", "PR08", "PR09", "PR10"),  # with a type and a sentence
    *("RT01", "RT05", "YD01"),  # and what comes back
}


class Docstring(Validator):
    """A docstring to check."""

    def __init__(self, obj_name: Any):
        super().__init__(get_doc_object(obj_name, config={"show_class_members": False}))

    @property
    def signature_parameters(self) -> tuple[str, ...]:
        """All parameters but private ones, which are nobody's to pass."""
        return tuple(name for name in super().signature_parameters if not name.startswith("_"))

    @property
    def doc_all_parameters(self) -> dict[str, tuple[str, list[str]]]:
        """What is described; a class that is made of its fields may call them attributes."""
        described = super().doc_all_parameters
        if is_dataclass(self.obj) or hasattr(self.obj, "_fields"):
            fields = self._doc_parameters(["Attributes"])
            described |= {n: fields[n] for n in fields if n in self.signature_parameters}
        return described


def public(package: ModuleType) -> Iterator[tuple[str, type | FunctionType]]:
    """Yield (name, object) for all public classes, functions and methods, once each."""
    seen = set()
    floors = (m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    for module in map(importlib.import_module, (package.__name__, *floors)):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            members = [(f"{module.__name__}.{name}", value)]
            if inspect.isclass(value):
                members += methods(value, package.__name__)
            for path, member in members:
                if inspect.isroutine(member) or inspect.isclass(member):
                    if member not in seen:
                        yield path, member
                    seen.add(member)


def methods(owner: type, package: str) -> Iterator[tuple[str, FunctionType]]:
    """Yield (name, method) for the public methods that a class has from the package.

    Of a method that overrides another under the same signature, the text of the first is the
    contract: the override only says what it does about it.
    """
    bases = [base for base in owner.__mro__ if base.__module__.split(".")[0] == package]
    signatures: dict[str, set[tuple[str, ...]]] = {}
    for base in reversed(bases):
        for name, member in vars(base).items():
            function = getattr(member, "__func__", member)  # of a class method or static method
            if not name.startswith("_") and inspect.isfunction(function):
                signature = tuple(inspect.signature(function).parameters)
                if signature not in signatures.setdefault(name, set()):
                    yield f"{base.__module__}.{base.__qualname__}.{name}", function
                signatures[name].add(signature)


def faults(package: ModuleType) -> list[str]:
    """List what breaks the rules, as ``file:line: code name: what is wrong``."""
    found = []
    for name, member in public(package):
        report = validate(member, Docstring)
        where = f"{report['file']}:{report['file_line']}"
        found += [f"{where}: {c} {name}: {text}" for c, text in report["errors"] if c in CHECKS]
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    found = faults(importlib.import_module("skmeta"))
    print(*found, sep="\n")
    sys.exit(f"{len(found)} faults in docstrings" if found else 0)
