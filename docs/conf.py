"""Sphinx configuration; ``make docs`` builds with it."""

import importlib
import pkgutil
import re
from importlib import metadata

from sphinx.ext.autosummary import Autosummary
from sphinx.pycode import ModuleAnalyzer

project = "skmeta"
copyright = "skmeta developers"
author = "skmeta developers"
try:
    release = metadata.version("skmeta")
except metadata.PackageNotFoundError:  # built from a source tree that is not installed
    release = "0.1.0"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "sg_execution_times.rst"]
default_role = "autolink"  # numpydoc's: `name` links to the reference where that is possible

html_theme = "alabaster"
html_static_path = ["_static"]
html_css_files = ["skmeta.css"]
html_theme_options = {
    "description": "Every sample is a network.",
    "fixed_sidebar": True,
    "page_width": "1120px",
    "sidebar_collapse": True,
}
html_show_sourcelink = False

# A floor's page lists what its __all__ names, wherever that was defined.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

plot_formats = [("png", 110)]
plot_html_show_formats = False
plot_html_show_source_link = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
}


class Summaries(Autosummary):
    """Tables of summaries without citations, whose targets are on other pages."""

    def get_items(self, names):
        """Return names, signatures and summaries."""
        return [
            (name, signature, re.sub(r" ?\[R\w+-\d+\]_", "", summary), full)
            for name, signature, summary, full in super().get_items(names)
        ]


def skip_namedtuple_fields(app, what, name, obj, skip, options):
    """Leave out fields that Python documents as their position; the class says what they are."""
    return True if str(obj.__doc__).startswith("Alias for field number") else skip


def take_docs_of_values(app, what, name, obj, options, lines):
    """Give a value the text below its definition in place of that of its type."""
    if what != "data":
        return
    floor, _, value = name.rpartition(".")
    package = importlib.import_module(floor)
    modules = [floor, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{floor}."))]
    for module in modules:
        found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", value))
        if found:
            lines[:] = found
            return


def setup(app):
    """Connect what is above."""
    app.add_directive("autosummary", Summaries, override=True)
    app.connect("autodoc-skip-member", skip_namedtuple_fields)
    app.connect("autodoc-process-docstring", take_docs_of_values, priority=100)
