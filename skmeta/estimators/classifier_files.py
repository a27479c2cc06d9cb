"""What a file keeps of a fitted EditedClassifier: :func:`contents`, :func:`restore`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from skmeta._checks import check_unchanged, params_now
from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.files import describe, rebuild
from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields

FOLLOWED = ("lam", "guard", "budget", "n_jobs", "verbose")
"""Parameters that may change after fit: reedit follows them, or they change no number."""

_OWNER = "EditedClassifier"
_KINDS: dict[str, Any] = {
    "classes_": np.ndarray,
    "n_features_in_": int,
    "feature_names_in_": np.ndarray | None,
    "lam_": float | dict[str, float] | None,
    "estimator_": MLPClassifier,
    "edited_estimator_": MLPClassifier,
}


def contents(classifier: Any, *, include_task: bool) -> Fields:
    """Return what was learned; the networks must be MLPClassifiers: others are code."""
    fields = {name: getattr(classifier, name, None) for name in _KINDS}
    for network in (classifier.estimator_, classifier.edited_estimator_):
        if type(network) is not MLPClassifier:
            raise ValueError(
                f"The 'estimator' of {_OWNER} cannot be saved, because it is code: a "
                f"{type(network).__name__}. Pickle the {_OWNER}, or save what its network has "
                "learned: skmeta.save(Population([classifier.edited_estimator_]), path)."
            )
    editor = classifier.editor_
    editor = None if editor is None else describe(editor, include_task=include_task)
    check_unchanged(classifier, "save", obeyed=FOLLOWED)
    return {**fields, "editor_": editor}


def restore(classifier: Any, fitted: Fields) -> None:
    """Take what a file claims to have kept, after checks."""
    *values, editor = fields_of(fitted, "what was learned", **_KINDS, editor_=dict | None)
    if editor is not None:
        editor = rebuild(editor, {"ComplianceEditor": ComplianceEditor})
    for name, value in {**dict(zip(_KINDS, values, strict=True)), "editor_": editor}.items():
        if value is not None or name != "feature_names_in_":
            setattr(classifier, name, value)
    classes, n_features, names, lam, *networks = values
    for network in networks:
        good = getattr(network, "n_features_in_", None) == n_features
        good = good and np.array_equal(network.classes_, classes)
        expect(good, "the classifier and its networks disagree")
    if editor is not None:
        outline = editor.reference_.outline
        same = (outline.n_features, outline.n_classes) == (n_features, len(classes))
        expect(same, "the classifier and its editor disagree")
    expect((lam is None) == (editor is None), "there is a lam without an editor, or none")
    expect(names is None or len(names) == n_features, "the names of features do not fit")
    classifier._params_of_fit = params_now(classifier)
