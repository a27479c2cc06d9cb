"""All of it for somebody who only has a table: :class:`EditedClassifier`."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skmeta._checks import (
    check_in_range,
    check_n_jobs,
    check_rng,
    check_unchanged,
    check_verbose,
    check_weights,
    params_now,
)
from skmeta._columns import checked_column
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta._random import local_draws
from skmeta.datasets import Task
from skmeta.editing.checks import check_lam_range
from skmeta.editing.guard import check_guard
from skmeta.estimators.classifier_files import FOLLOWED, contents, restore
from skmeta.estimators.classifier_rows import (
    by_weight,
    dense,
    new_network,
    rows_for,
    split,
    train_network,
    warn_of_no_edit,
    weighing,
)
from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.requirements import split_requirements
from skmeta.requirements.resolve import Plan
from skmeta.zoo import make_zoo

_FLOATS = [np.float64, np.float32]


class EditedClassifier(StablePickle, ClassifierMixin, BaseEstimator):
    """A neural classifier of a table, edited so that a measured gap between groups shrinks.

    ``fit`` trains ``estimator`` on two thirds of the rows, trains a zoo like it on the same
    rows, fits a :class:`ComplianceEditor` on the zoo and the third that was held back, and
    edits the network with it. What comes out is an ordinary classifier that asks for no
    sensitive feature. The edit reduces a measured gap on this data; it guarantees nothing
    about other data.

    The network is trained on X as it comes. It wants numbers of a similar size: encode
    categories and standardise numbers in earlier steps of a Pipeline.

    Parameters
    ----------
    estimator : classifier, optional
        ``MLPClassifier`` (the default, with its own defaults) or a skorch classifier whose
        module a :class:`Population` can read. It is cloned, and seeded from ``random_state``
        unless it has one of its own.
    requirement : str, Requirement, callable or list of them, default="equalized_odds"
        What the edit must bring about, as of :class:`ComplianceEditor`.
    lam : float or dict, default=0.1
        Weight of the requirement against the divergence from the original network.
    lam_range : (float, float), optional
        Fit one editor for all lam in this range: :meth:`reedit` then moves to another
        ``lam`` in milliseconds.
    guard : dict, optional
        Bounds as of :class:`ComplianceEditor`: an edit that breaks one on the reference rows
        is rolled back, which leaves ``estimator_`` as it was.
    n_networks : int, default=100
        Training runs in the zoo; up to three checkpoints of each are used.
    zoo_epochs : int, default=10
        Passes of each run over the rows.
    max_epochs : int, default=60
        Passes of the editor's training over the zoo.
    n_jobs : int or None
        Groups of the zoo trained at once; the result does not depend on it.
    verbose : int, default=0
        1 shows progress bars, 2 the editor's table of losses.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had any.
    estimator_ : classifier
        The network before the edit. A skorch net is trained on float32 rows and on the
        positions of labels in ``classes_``.
    edited_estimator_ : classifier
        The network after the edit, of the same kind.
    editor_ : ComplianceEditor or None
        The fitted editor; None if there was nothing to edit for. It keeps the reference
        rows with their sensitive features: treat it like the data.
    lam_ : float or None
        The weight of the present edit; None without an edit.

    See Also
    --------
    ComplianceEditor : Edits networks that you have, many at once.
    skmeta.baselines.FineTune : The cheaper way for one network at one ``lam``: zoo and editor
        pay off when there are more of either.

    Notes
    -----
    A requirement on groups cannot be met without groups: ``fit`` without
    ``sensitive_features`` warns, trains the network on all rows and edits nothing.

    With metadata routing enabled, ``sensitive_features`` reaches ``fit`` through a
    Pipeline, ``GridSearchCV`` or ``cross_validate`` without a further call. A grid over
    ``lam`` needs a scorer that sees groups, since accuracy says nothing about them; each of
    its fits trains a zoo of its own. Sparse rows are made dense.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement
       compliance", sections 3 to 5.

    Examples
    --------
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmeta import EditedClassifier
    >>> from skmeta.datasets import make_biased_classification
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> X, y, groups = bunch.data.drop(columns="group"), bunch.target, bunch.sensitive_features
    >>> classifier = EditedClassifier(
    ...     MLPClassifier((16,), early_stopping=True),
    ...     lam_range=(0.03, 0.3),
    ...     n_networks=8,  # small, to be quick
    ...     zoo_epochs=3,
    ...     max_epochs=5,
    ...     random_state=0,
    ... ).fit(X, y, sensitive_features=groups)
    >>> classifier.predict(X[:3]).shape
    (3,)
    >>> classifier.set_params(lam=0.3).reedit().lam_
    0.3
    """

    __metadata_request__fit = {"sensitive_features": True}

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        requirement: Any = "equalized_odds",
        lam: Any = 0.1,
        lam_range: tuple[float, float] | None = None,
        guard: dict | None = None,
        n_networks: int = 100,
        zoo_epochs: int = 10,
        max_epochs: int = 60,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.requirement = requirement
        self.lam = lam
        self.lam_range = lam_range
        self.guard = guard
        self.n_networks = n_networks
        self.zoo_epochs = zoo_epochs
        self.max_epochs = max_epochs
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @in_own_modes
    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> EditedClassifier:
        """Train a network, a zoo around it and an editor, and edit the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels of two or more classes.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns), optional
            The groups, with at least three rows of every label in each; several columns
            make intersectional groups. Without them a requirement on groups edits nothing,
            with a warning.
        sample_weight : array-like of shape (n_samples,), optional
            A row of weight k counts as k rows, in training and where edits are measured; one
            of weight 0 is not there. What takes no weights, the zoo and the reference rows
            of the editor, repeats rows: whole weights exactly, others rounded to tenths of the
            mean weight.

        Returns
        -------
        EditedClassifier
            Itself.
        """
        requirement = self._check_params().requirement
        self._params_of_fit = params_now(self)
        estimator = new_network(self.estimator)
        y = None if y is None else checked_column("y", y, owner="EditedClassifier.fit")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=_FLOATS)
        check_classification_targets(y)
        X = dense(X)
        weights = check_weights(sample_weight, len(X), "EditedClassifier")
        X, y, sensitive_features, weights = weighing(X, y, sensitive_features, weights)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(
                "EditedClassifier needs rows of at least two classes. Got 1 class, "
                f"{self.classes_.tolist()}."
            )
        task = self._task(X, y, sensitive_features)
        seeds = check_rng(self.random_state).integers(2**31, size=4).tolist()
        needs_groups = requirement is not None and requirement.needs_sensitive
        if needs_groups and sensitive_features is None:
            warn_of_no_edit(type(requirement).__name__)
            self.estimator_ = train_network(estimator, X, y, self.classes_, weights, seeds[0])
            self.edited_estimator_, self.editor_, self.lam_ = self.estimator_, None, None
            return self
        by_label = requirement is None or not needs_groups or requirement.needs_labels
        train, reference = split(task, needs_groups, by_label, seeds[1])
        in_training = None if weights is None else weights[train]
        self.estimator_ = train_network(
            estimator, X[train], y[train], self.classes_, in_training, seeds[0]
        )
        if weights is not None:
            train, reference = (by_weight(task, rows, weights) for rows in (train, reference))
        self.editor_ = self._fit_editor(task, train, reference, seeds[2:])
        return self.reedit()

    def _check_params(self) -> Plan:
        """Return the resolved requirements; what only the editor knows, it checks."""
        owner = "EditedClassifier"
        for name in ("n_networks", "zoo_epochs", "max_epochs"):
            check_in_range(name, getattr(self, name), owner=owner, low=1, kind="int")
        check_guard(self.guard, owner)
        check_verbose(self.verbose, owner)
        check_n_jobs(self.n_jobs, owner)
        plan = split_requirements(self.requirement, self.lam, owner)
        if self.lam_range is not None:
            check_lam_range(self.lam_range, plan.lam, owner)
        return plan

    def _task(self, X: NDArray, y: NDArray, sensitive_features: Any) -> Task:
        names = getattr(self, "feature_names_in_", None)
        rows = X if names is None else pd.DataFrame(X, columns=names)
        # To a Task a float is a target of regression; float labels are whole numbers.
        labels = y.astype(np.int64) if y.dtype.kind == "f" else y
        return Task(rows, labels, sensitive_features=sensitive_features)

    def _fit_editor(
        self, task: Task, train: NDArray, reference: NDArray, seeds: list[int]
    ) -> ComplianceEditor:
        # make_zoo holds back a stratified tenth: ten rows per class, repeated if need be.
        rows = np.resize(train, max(len(train), 10 * task.n_classes))
        zoo = make_zoo(
            task.subset(rows),
            self.n_networks,
            like=self.estimator_,
            epochs=self.zoo_epochs,
            n_jobs=self.n_jobs,
            progress=bool(self.verbose),
            random_state=seeds[0],
        )
        editor = ComplianceEditor(
            self.requirement,
            lam=self.lam,
            lam_range=self.lam_range,
            guard=self.guard,
            max_epochs=self.max_epochs,
            verbose=self.verbose,
            random_state=seeds[1],
        )
        return editor.fit(zoo, task=task.subset(reference))

    def reedit(self) -> EditedClassifier:
        """Edit the network again with the editor as it is, by the present parameters.

        ``set_params`` alone changes no prediction. This follows ``lam``, for which other
        values than that of ``fit`` need a ``lam_range`` there, ``guard`` and the budget of a
        mask; a change of any other parameter needs another fit and is refused.

        Returns
        -------
        EditedClassifier
            Itself.
        """
        fitted = self._fitted_editor("reedit")
        check_guard(self.guard, "EditedClassifier")
        check_unchanged(self, "reedit", obeyed=FOLLOWED)
        if fitted.task_ is None:
            raise ValueError(
                "reedit looks at the reference rows of fit, and this EditedClassifier was loaded "
                "without them. Save it with skmeta.save(classifier, path, include_task=True)."
            )
        # A copy: an edit that is refused leaves everything as it was.
        present = {name: getattr(self, name) for name in ("requirement", "lam", "guard")}
        editor = copy(fitted).set_params(**present)
        (self.edited_estimator_,) = editor.transform([self.estimator_])
        self.editor_, self.lam_ = editor, self.lam
        return self

    def report(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any = None,
        n_bootstrap: int = 500,
    ) -> pd.DataFrame:
        """Say on rows of your choice, best on new ones, what the edit did.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        sensitive_features : array-like of shape (n_samples,), optional
            Their groups, as in :meth:`fit`.
        n_bootstrap : int, default=500
            Resamples of the rows for the intervals.

        Returns
        -------
        DataFrame
            One row with the columns of :meth:`ComplianceEditor.report`.
        """
        editor = self._fitted_editor("report")
        y = None if y is None else checked_column("y", y, owner="EditedClassifier.report")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=_FLOATS, reset=False)
        task = self._task(dense(X), y, sensitive_features)
        return editor.report([self.estimator_], task=task, n_bootstrap=n_bootstrap)

    def _fitted_editor(self, method: str) -> ComplianceEditor:
        check_is_fitted(self)
        if self.editor_ is None:
            raise ValueError(
                f"{method} needs an edit, and this EditedClassifier was fitted without groups. "
                "Pass fit(X, y, sensitive_features=...)."
            )
        return self.editor_

    def predict_proba(self, X: Any) -> NDArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns are in the order of ``classes_``.
        """
        check_is_fitted(self)
        X = dense(validate_data(self, X, accept_sparse="csr", dtype=_FLOATS, reset=False))
        with local_draws(0):  # skorch's data loader draws a seed that it does not use
            return self.edited_estimator_.predict_proba(rows_for(self.edited_estimator_, X))

    def predict(self, X: Any) -> NDArray:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Of ``classes_``.
        """
        codes = self.predict_proba(X).argmax(axis=1)
        return self.classes_[codes]

    def _contents(self, *, include_task: bool) -> dict[str, Any]:
        return contents(self, include_task=include_task)

    def _restore(self, fitted: dict[str, Any]) -> None:
        restore(self, fitted)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
