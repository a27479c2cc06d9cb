"""What a file keeps of a fitted EditedClassifier: :func:`contents`, :func:`restore`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.neural_network import MLPClassifier

from skmeta._checks import check_unchanged, params_now
from skmeta.editing.verdict import STATUSES
from skmeta.estimators.classifier_choice import asked_of
from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.files import describe, rebuild
from skmeta.files.checks import expect, fields_of
from skmeta.files.codec import Fields

_BUDGET = ("max_accuracy_drop", "max_gap", "scoring", "confidence", "max_recall_drop")
_FOLLOWED = (*_BUDGET, "guard", "budget", "memory", "n_jobs", "verbose")

_OWNER = "EditedClassifier"
_KINDS: dict[str, Any] = {
    "classes_": np.ndarray,
    "n_features_in_": int,
    "feature_names_in_": np.ndarray | None,
    "lam_": float | dict[str, float] | None,
    "estimator_": MLPClassifier,
    "edited_estimator_": MLPClassifier,
}


def followed(classifier: Any) -> tuple[str, ...]:
    """Name the parameters that may change after fit: reedit follows them, or nothing does."""
    known = classifier._params_of_fit["lam"] is not None, classifier.lam is not None
    return (*_FOLLOWED, "lam") if all(known) and classifier.editor_ is not None else _FOLLOWED


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
    check_unchanged(classifier, "save", obeyed=followed(classifier))
    asked, now = classifier._asked, asked_of(classifier)
    if (asked.lam, asked.budget) != (now.lam, now.budget):
        raise ValueError(
            f"The parameters of this {_OWNER} ask for another edit than it has: a file would hold "
            f"both. Got {now.budget} and lam={now.lam!r}, after an edit by {asked.budget} and "
            f"lam={asked.lam!r}. Call reedit() first, or set them back."
        )
    choice = None if classifier.choice_ is None else classifier.choice_.to_dict()
    return {**fields, "choice_": choice, "editor_": editor}


def restore(classifier: Any, fitted: Fields) -> None:
    """Take what a file claims to have kept, after checks."""
    kinds = {**_KINDS, "choice_": dict | None, "editor_": dict | None}
    *values, choice, editor = fields_of(fitted, "what was learned", **kinds)
    if editor is not None:
        editor = rebuild(editor, {"ComplianceEditor": ComplianceEditor})
    for name, value in {**dict(zip(_KINDS, values, strict=True)), "editor_": editor}.items():
        if value is not None or name != "feature_names_in_":
            setattr(classifier, name, value)
    if choice is not None:
        scalars = all(isinstance(value, int | float | str) for value in choice.values())
        expect(scalars and choice.get("status") in STATUSES, "what was chosen is not described")
        choice = pd.Series(choice, dtype=object)
    # The candidates stay with the rows of fit.
    classifier.choice_, classifier.front_, classifier._fitted = choice, None, None
    classifier.source_ = None
    classes, n_features, names, _, *networks = values
    for network in networks:
        good = getattr(network, "n_features_in_", None) == n_features
        good = good and np.array_equal(network.classes_, classes)
        expect(good, "the classifier and its networks disagree")
    if editor is not None:
        outline = editor.reference_.outline
        same = (outline.n_features, outline.n_classes) == (n_features, len(classes))
        expect(same, "the classifier and its editor disagree")
    expect(names is None or len(names) == n_features, "the names of features do not fit")
    classifier._params_of_fit = params_now(classifier)
    classifier._asked = asked_of(classifier)
