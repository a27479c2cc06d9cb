"""The demo, ``python -m skmeta demo``: edit classifiers that the editor has never seen."""
