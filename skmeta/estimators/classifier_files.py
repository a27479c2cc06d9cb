"""Fitted EditedClassifiers as files: :func:`write`, :func:`read`.

The two networks are saved as a population, the editor as an editor, side by side in one file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skmeta._checks import check_unchanged, params_now
from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.edited_classifier import FOLLOWED, EditedClassifier
from skmeta.estimators.estimator_files import (
    FORMAT,
    VERSION,
    describe_estimator,
    rebuild_estimator,
)
from skmeta.estimators.file_values import decode, encode
from skmeta.files.checks import expect, fields_of
from skmeta.files.container import write_file
from skmeta.population import Population, storage

_OWNER = "EditedClassifier"
_LEARNED = ("classes_", "n_features_in_", "feature_names_in_", "lam_")


def write(classifier: EditedClassifier, path: str | Path, *, include_task: bool = False) -> None:
    """Write a fitted classifier.

    Parameters
    ----------
    classifier : EditedClassifier
        Its networks must be MLPClassifiers: those of torch and skorch are code.
    path : str or Path
        An existing file is replaced.
    include_task : bool, default=False
        Whether the file holds the rows that the editor looks at.
    """
    check_is_fitted(classifier)
    networks = (classifier.estimator_, classifier.edited_estimator_)
    for network in networks:
        if type(network) is not MLPClassifier:
            raise ValueError(
                f"The 'estimator' of {_OWNER} cannot be saved, because it is code: a "
                f"{type(network).__name__}. Pickle the {_OWNER}, or save what its network has "
                "learned: skmeta.save(Population([classifier.edited_estimator_]), path)."
            )
    params = classifier.get_params(deep=False)
    learned = {name: getattr(classifier, name, None) for name in _LEARNED}
    described, tensors = storage.describe(Population(list(networks)))
    tensors = {f"networks.{name}": value for name, value in tensors.items()}
    editor = None
    if classifier.editor_ is not None:
        editor, learned_by_it = describe_estimator(classifier.editor_, include_task=include_task)
        tensors |= {f"editor.{name}": value for name, value in learned_by_it.items()}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "class": _OWNER,
        "params": {name: encode(value, name, _OWNER) for name, value in params.items()},
        "fitted": {name: encode(value, name, _OWNER) for name, value in learned.items()},
        "networks": described,
        "editor": editor,
    }
    check_unchanged(classifier, "save", obeyed=FOLLOWED)
    # A file that cannot be read is found out too late.
    read(json.loads(json.dumps(header)), tensors)
    write_file(path, header, tensors, f"An {_OWNER}", private=include_task)


def read(header: Any, tensors: Mapping[str, Tensor]) -> EditedClassifier:
    """Return the classifier of a file that may come from anybody."""
    kinds: dict[str, Any] = {"format": str, "version": int, "class": str, "params": dict}
    kinds |= {"fitted": dict, "networks": dict, "editor": (dict, type(None))}
    _, version, _, params, fitted, networks, editor = fields_of(header, "the header", **kinds)
    expect(version == VERSION, f"its version is {version}, this skmeta reads {VERSION}")
    classifier = EditedClassifier()
    known = set(classifier.get_params(deep=False))
    expect(set(params) == known, f"these are no parameters of {_OWNER}")
    classifier.set_params(**{name: decode(value) for name, value in params.items()})
    classifier._check_params()
    parts = {part: _part(tensors, part) for part in ("networks", "editor")}
    expect(sum(map(len, parts.values())) == len(tensors), "there are tensors too many")
    records, sources, metadata = storage.rebuild(networks, parts["networks"])
    found = Population.from_records(records, sources=sources, metadata=metadata).to_networks()
    expect([type(n) for n in found] == [MLPClassifier] * 2, "these are no two networks")
    classifier.estimator_, classifier.edited_estimator_ = found
    classifier.editor_ = None
    if editor is not None:
        classifier.editor_ = rebuild_estimator(
            editor, parts["editor"], {"ComplianceEditor": ComplianceEditor}
        )
    else:
        expect(not parts["editor"], "there is an editor too many")
    _restore(classifier, {name: decode(value) for name, value in fitted.items()})
    return classifier


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    start = f"{part}."
    named = {name: value for name, value in tensors.items() if name.startswith(start)}
    return {name.removeprefix(start): value for name, value in named.items()}


def _restore(classifier: EditedClassifier, fitted: dict[str, Any]) -> None:
    """Take what was learned beside networks and editor, after checks."""
    kinds: dict[str, Any] = {"classes_": np.ndarray, "n_features_in_": int}
    kinds |= {"feature_names_in_": (np.ndarray, type(None))}
    kinds |= {"lam_": (int, float, dict, type(None))}
    classes, n_features, names, lam = fields_of(fitted, "what was learned", **kinds)
    editor = classifier.editor_
    for network in (classifier.estimator_, classifier.edited_estimator_):
        good = np.array_equal(network.classes_, classes) and network.n_features_in_ == n_features
        expect(good, "the classifier and its networks disagree")
    if editor is not None:
        same = (editor.n_inputs_, editor.n_classes_) == (n_features, len(classes))
        expect(same, "the classifier and its editor disagree")
    expect((lam is None) == (editor is None), "there is a lam without an editor, or none")
    expect(names is None or len(names) == n_features, "the names of features do not fit")
    classifier.classes_, classifier.n_features_in_, classifier.lam_ = classes, n_features, lam
    classifier._params_of_fit = params_now(classifier)
    if names is not None:
        classifier.feature_names_in_ = names
