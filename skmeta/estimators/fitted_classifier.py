"""What a fitted :class:`EditedClassifier` does: the base class :class:`FittedClassifier`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skmeta._columns import checked_column
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta._random import local_draws
from skmeta.datasets import Task
from skmeta.estimators.classifier_choice import before_and_after, report_on
from skmeta.estimators.classifier_files import contents, restore
from skmeta.estimators.classifier_rows import dense, rows_for, whole_labels
from skmeta.evaluation.frames import rates_by_group

FLOATS = [np.float64, np.float32]


class FittedClassifier(StablePickle, ClassifierMixin, BaseEstimator):
    """Predicts with a network that was edited, and reports on it."""

    classes_: NDArray
    estimator_: Any
    edited_estimator_: Any

    def _task(self, X: NDArray, y: NDArray, sensitive_features: Any) -> Task:
        names = getattr(self, "feature_names_in_", None)
        rows = X if names is None else pd.DataFrame(X, columns=names)
        return Task(rows, whole_labels(y), sensitive_features=sensitive_features)

    @in_own_modes
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
            One row with the columns of :meth:`ComplianceEditor.report`; ``balanced_accuracy`` and
            ``recall_<label>`` before and after; ``changed``, the share of rows whose label
            has changed; ``expected_gap``, see ``choice_``. The ``status`` is

            * "reduced": the 95 % interval of the gap's change is below zero, and skill was kept;
            * "levelled down": so it is, but mainly because the better-off group got worse (by
              demographic parity: fewer of it get the last of ``classes_``);
            * "skill lost": a skill fell beyond the budget (.05 without one) by more than a
              standard error, the recall of a class by more than ``max_recall_drop``, or a class is
              nearly never predicted;
            * "raised", "unclear": the interval is above zero, or contains it (or there is none:
              ``requirement`` compares no rates of groups);
            * "kept": no decision has changed; "rolled back": by a guard.
        """
        self._check_edited("report")
        task, X = self._new_task(X, y, sensitive_features, "report")
        return report_on(self, task, X, n_bootstrap)

    @in_own_modes
    def report_by_group(self, X: Any, y: Any, *, sensitive_features: Any) -> pd.DataFrame:
        """Give the rates of each group before and after the edit.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows, best new ones.
        y : array-like of shape (n_samples,)
            Their labels.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, n_columns)
            Their groups.

        Returns
        -------
        DataFrame
            One row per group, and "all". Columns are pairs of a rate and "before" or "after": of
            two classes ``selection_rate``, ``true_positive_rate``, ``false_positive_rate`` and
            ``precision`` of the second; of more, each of them for each, as in
            ``precision of x``. Then ``rows``, and ``changed``, the share whose label changed.
        """
        self._check_edited("report_by_group")
        task, X = self._new_task(X, y, sensitive_features, "report_by_group")
        front, (first, last) = before_and_after(self)
        logits = list(front.pieces(task, X))
        return rates_by_group(logits[first][0], logits[last][0], task)

    def _new_task(
        self, X: Any, y: Any, sensitive_features: Any, method: str
    ) -> tuple[Task, NDArray]:
        """Return rows as a task, and in their own type."""
        y = None if y is None else checked_column("y", y, owner=f"EditedClassifier.{method}")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, reset=False)
        if not np.array_equal(labels := np.unique(y), self.classes_):
            raise ValueError(
                f"The rows of EditedClassifier.{method} must have all labels of fit, and no "
                f"others: {self.classes_.tolist()}. Got {labels.tolist()}. Pass more rows, or the "
                "labels as they were in fit."
            )
        X = dense(X)
        return self._task(X, y, sensitive_features), X

    def _check_edited(self, method: str) -> None:
        check_is_fitted(self, "estimator_")
        if self._fitted is None and self.editor_ is None and self.choice_ is None:
            raise ValueError(
                f"{method} needs an edit, and this EditedClassifier was fitted without groups. "
                "Pass fit(X, y, sensitive_features=...)."
            )

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
        X = dense(validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False))
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
