"""Sphinx configuration. Build with ``python -m sphinx docs docs/_build``."""

from importlib import metadata

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
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "sg_execution_times.rst"]
html_theme = "alabaster"
numpydoc_show_class_members = False
autodoc_typehints = "none"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "show_memory": False,
}
