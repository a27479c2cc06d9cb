"""All of it for somebody who only has a table: :class:`EditedClassifier`."""

from __future__ import annotations

import warnings
from copy import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_memory, validate_data

from skmeta._checks import check_rng, check_unchanged, check_weights, params_now
from skmeta._columns import checked_column
from skmeta._modes import in_own_modes
from skmeta.estimators.classifier_choice import (
    Asked,
    asked_of,
    describe_choice,
    warn_of_base,
    warn_of_lam,
)
from skmeta.estimators.classifier_files import followed
from skmeta.estimators.classifier_front import EditorSettings, Rows, fit_front
from skmeta.estimators.classifier_rows import (
    copies,
    dense,
    new_classifier,
    warn_of_no_edit,
    weighing,
)
from skmeta.estimators.distilling import trained
from skmeta.estimators.fitted_classifier import FLOATS, FittedClassifier


class EditedClassifier(FittedClassifier):
    """A neural classifier of a table, edited so that a measured gap between groups shrinks.

    ``fit`` trains ``estimator``, makes many candidates of it, measures them on rows that neither
    the network nor the edits have seen, and keeps the one with the smallest gap that loses no more
    skill than you allow; or no edit, with the reason. What comes out is an ordinary
    classifier that asks for no sensitive feature. The edit reduces a measured gap on this data; it
    guarantees nothing about other data.

    The network is trained on X as it comes. It wants numbers of a similar size: encode
    categories and standardise numbers in earlier steps of a Pipeline.

    Parameters
    ----------
    estimator : classifier, optional
        ``MLPClassifier`` (the default, with its own defaults) or a skorch classifier whose
        module a :class:`Population` can read. It is cloned, and seeded from ``random_state``
        unless it has one of its own. Any other classifier with ``predict_proba``, such as boosted
        trees, teaches a network of 64 hidden units first: begin with the best model at hand.
    requirement : str, Requirement, callable or list of them, default="equalized_odds"
        What the edit must bring about, as of :class:`ComplianceEditor`. One on weights needs
        ``method="editor"``.
    max_accuracy_drop : float, optional
        Skill that the edit may cost: .01 is one point. The smallest gap within is wanted. This is
        what is meant, with .01, if none of the three is given; at most one may be.
    max_gap : float, optional
        The gap to reach; the least loss of skill that reaches it is wanted.
    lam : float or dict, optional
        For experts: one edit that minimises the divergence from the network plus ``lam`` times
        the violation. It changes scores little, and skill is not looked at.
    scoring : str, tuple of str, callable or dict of callables
        Skills that may fall by ``max_accuracy_drop`` each; by default accuracy and balanced
        accuracy. One alone hides harm: on a table with few positives a constant is accurate. Any
        scorer of predicted labels will do that takes weights of rows: "f1_macro", or
        ``make_scorer(f1_score, pos_label="yes")``.
    confidence : float, default=0.9
        With which a candidate must keep the budget on new rows: one-sided, from the rows held out.
    max_recall_drop : float, default=0.15
        How far the recall of any class may fall.
    method : {"auto", "finetune", "posthoc", "editor"}, default="auto"
        What makes the candidates. "finetune": the network's own weights learn from a
        :class:`~skmeta.requirements.FairTeacher`, at many settings at once. "posthoc": those of
        its last stage do. "editor": a zoo is trained like the network, a
        :class:`ComplianceEditor` on the zoo, and the network is edited at several ``lam``; it
        takes minutes. "auto" takes the first two; with ``lam`` the first; the last for
        requirements on weights.
    lam_range : (float, float), optional
        Of ``method="editor"``: fit it for all lam in this range. With ``lam``, :meth:`reedit` then
        moves to another one in milliseconds.
    guard : dict, optional
        Of ``method="editor"``: bounds as of :class:`ComplianceEditor`.
    n_networks : int, default=100
        Of ``method="editor"``: training runs in the zoo; up to three checkpoints of each are used.
    zoo_epochs : int, default=10
        Of ``method="editor"``: passes of each run over the rows.
    max_epochs : int, default=60
        Of ``method="editor"``: passes of the editor's training over the zoo.
    memory : str or joblib.Memory, optional
        Where fits are remembered: one that differs in ``max_accuracy_drop``, ``max_gap``,
        ``scoring``, ``confidence`` or ``max_recall_drop`` alone then only chooses anew, as in a
        search over a budget. It needs a ``random_state``, and keeps networks trained on your data.
    n_jobs : int or None
        Groups of the zoo trained at once; the result does not depend on it.
    verbose : int, default=0
        Of ``method="editor"``: 1 shows progress bars, 2 the editor's table of losses.
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
    source_ : classifier or None
        What ``estimator_`` has learned from, if ``estimator`` is no network. It is what edits are
        compared with: budgets count from it, and it is handed out if there is no edit.
        ``choice_`` and :meth:`report` have the accuracies of the network before any edit as
        ``student_accuracy`` and ``student_balanced_accuracy``.
    edited_estimator_ : classifier
        The network after the edit, of the same kind; without one, ``source_`` or ``estimator_``.
    front_ : DataFrame or None
        Every candidate: what made it (``method``, "source" for ``source_`` and "original" for
        ``estimator_``, and its settings, ``point`` between network and edit, ``favours``, the code
        of a class that the output bias favours); ``gap_held`` and ``gap_seen``, on rows held out
        and on those of training, and ``gap``, their mean by number of rows; each skill, its loss
        and the standard error of that; the recall of each class; ``degenerate`` where a class is
        nearly never predicted. None without groups.
    choice_ : Series or None
        The candidate: its number in ``front_`` (0 is no edit; behind a ``source_``, 1 is the
        network that has learned from it, as it is), ``status`` on the rows held out (see
        :meth:`report`) and ``reason``; ``expected_gap``, what to expect on new rows: the choice
        is repeated without the rows that it is measured on.
    editor_ : ComplianceEditor or None
        Of ``method="editor"``. It keeps the reference rows with their sensitive features: treat
        it like the data.
    lam_ : float, dict or None
        The weight of the present edit, if ``lam`` was given.

    See Also
    --------
    ComplianceEditor : Edits networks that you have, many at once.

    Notes
    -----
    A requirement on groups cannot be met without groups: ``fit`` without
    ``sensitive_features`` warns, trains the network on all rows and edits nothing.

    A third of the rows is held out for the choice. Of fewer than 2,000 rows none is: five networks
    are trained and edited, each on four fifths of the rows, and measured on the fifth; the choice
    that is best there is made with a network of all rows.

    Nothing is edited where the gap before it could be chance (groups drawn by lot differ as much,
    in standard errors, in more than 5 % of draws, both on the rows held out and on all rows), or
    where the edit's smaller gap could be, at the ``confidence``, or is not to be expected again.

    With metadata routing enabled, ``sensitive_features`` reaches ``fit`` through a
    Pipeline, ``GridSearchCV`` or ``cross_validate`` without a further call. Sparse rows are made
    dense. A pickle keeps the labels and groups of the rows of ``fit``, without their features.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement
       compliance", sections 3 to 5.
    .. [2] R. Xian, H. Zhao, "Optimal group fair classifiers from linear post-processing",
       arXiv:2405.04025, 2024.

    Examples
    --------
    >>> from sklearn.neural_network import MLPClassifier
    >>> from skmeta import EditedClassifier
    >>> from skmeta.datasets import make_biased_classification
    >>> bunch = make_biased_classification(6000, gap=0.4, proxy_strength=4.0, random_state=0)
    >>> X, y, groups = bunch.data.drop(columns="group"), bunch.target, bunch.sensitive_features
    >>> network = MLPClassifier((16,), early_stopping=True)
    >>> classifier = EditedClassifier(network, max_accuracy_drop=0.02, random_state=0)
    >>> classifier = classifier.fit(X, y, sensitive_features=groups)
    >>> classifier.predict(X[:3]).shape
    (3,)
    >>> classifier.choice_["status"]
    'reduced'
    >>> classifier.reedit(max_accuracy_drop=0.05).choice_["status"]
    'reduced'
    """

    __metadata_request__fit = {"sensitive_features": True}

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        requirement: Any = "equalized_odds",
        max_accuracy_drop: float | None = None,
        max_gap: float | None = None,
        lam: Any = None,
        scoring: Any = ("accuracy", "balanced_accuracy"),
        confidence: float = 0.9,
        max_recall_drop: float = 0.15,
        method: str = "auto",
        lam_range: tuple[float, float] | None = None,
        guard: dict | None = None,
        n_networks: int = 100,
        zoo_epochs: int = 10,
        max_epochs: int = 60,
        memory: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.requirement = requirement
        self.max_accuracy_drop = max_accuracy_drop
        self.max_gap = max_gap
        self.lam = lam
        self.scoring = scoring
        self.confidence = confidence
        self.max_recall_drop = max_recall_drop
        self.method = method
        self.lam_range = lam_range
        self.guard = guard
        self.n_networks = n_networks
        self.zoo_epochs = zoo_epochs
        self.max_epochs = max_epochs
        self.memory = memory
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @in_own_modes
    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None
    ) -> EditedClassifier:
        """Train a network, make candidates of it, and choose one.

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
            of weight 0 is not there. What takes no weights, the edits and a zoo, repeats rows:
            whole weights exactly, others rounded to tenths of the mean weight.

        Returns
        -------
        EditedClassifier
            Itself.
        """
        trial = self._twin()
        trial._fit(X, y, sensitive_features, sample_weight)
        return self._become(trial)

    def _fit(self, X: Any, y: Any, sensitive_features: Any, sample_weight: Any) -> None:
        asked = self._check_params()
        self._params_of_fit = params_now(self)
        estimator = new_classifier(self.estimator, for_editor=not asked.kinds)
        y = None if y is None else checked_column("y", y, owner="EditedClassifier.fit")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS)
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
        for score in asked.scores(self.classes_).values():  # before anything is trained
            score(np.ones((len(self.classes_), len(self.classes_))))
        seeds = check_rng(self.random_state).integers(2**31, size=4).tolist()
        requirement = asked.plan.requirement
        by_group = asked.plan.needs_sensitive
        if by_group and sensitive_features is None:
            warn_of_no_edit(type(requirement).__name__)
            self.estimator_, self.source_ = trained(
                estimator, X, y, self.classes_, weights, seeds[0]
            )
            self.edited_estimator_ = self.estimator_ if self.source_ is None else self.source_
            self._asked = asked
            self._fitted, self.editor_, self.lam_ = None, None, None
            self.front_, self.choice_ = None, None
            return
        by_label = requirement is None or not by_group or requirement.needs_labels
        repeats = None if weights is None else copies(weights)
        rows = Rows(task, X, y, weights, repeats, by_group, by_label)
        settings = None
        if not asked.kinds:
            names = ("requirement", "lam_range", "guard", "n_networks", "zoo_epochs", "max_epochs")
            given = {name: getattr(self, name) for name in names}
            settings = EditorSettings(**given)
        make = check_memory(self.memory).cache(fit_front, ignore=["n_jobs", "verbose"])
        effort = {"n_jobs": self.n_jobs, "verbose": self.verbose}
        fitted = make(
            estimator, rows, requirement, asked.weight, asked.kinds, settings, seeds, **effort
        )
        self._fitted = fitted
        self.estimator_, self.editor_ = fitted.estimator, fitted.editor
        self.source_ = fitted.source
        if requirement is not None:
            warn_of_base(fitted)
            warn_of_lam(fitted)
        self._follow(asked)

    def _twin(self) -> EditedClassifier:
        """Return another one in the same state; what fails on it leaves this one as it was."""
        trial = object.__new__(type(self))
        trial.__dict__.update(self.__dict__)
        return trial

    def _become(self, trial: EditedClassifier) -> EditedClassifier:
        """Take another one's state, and say why if there is no edit."""
        self.__dict__.clear()
        self.__dict__.update(trial.__dict__)
        if self.choice_ is not None and self.choice_["reason"]:
            warnings.warn(
                f"EditedClassifier has edited nothing: {self.choice_['reason']}.",
                UserWarning,
                stacklevel=4,
            )
        return self

    def _check_params(self) -> Asked:
        """Return what is asked for; what only an editor knows, it checks."""
        return asked_of(self)

    @in_own_modes
    def reedit(self, **params: Any) -> EditedClassifier:
        """Choose again, or edit again, by the present parameters.

        ``set_params`` alone changes no prediction. This follows ``max_accuracy_drop``, ``max_gap``,
        ``scoring``, ``confidence`` and ``max_recall_drop`` with the candidates of ``fit``. With
        ``lam``, it follows ``lam`` (other values than that of ``fit`` need a ``lam_range`` there),
        ``guard`` and the budget of a mask. A change of any other parameter needs another fit and
        is refused.

        It takes milliseconds; a scorer in ``scoring`` that is no accuracy takes seconds.

        Parameters
        ----------
        **params
            Parameters to set before; they stay as they were if the edit is refused.

        Returns
        -------
        EditedClassifier
            Itself.
        """
        trial = self._twin()
        for name in {name.split("__")[0] for name in params if "__" in name}:
            if hasattr(trial, name):  # its parts are not those of this one
                setattr(trial, name, clone(getattr(trial, name), safe=False))
        trial.set_params(**params)
        trial._check_edited("reedit")
        check_unchanged(trial, "reedit", obeyed=followed(trial))
        trial._follow(trial._check_params())
        return self._become(trial)

    def _follow(self, asked: Asked) -> None:
        fitted: Any = self._fitted
        if fitted is None and (asked.lam is None or self.editor_ is None):
            raise ValueError(
                "reedit needs the candidates of fit, which files leave out. Fit again, or pickle "
                "the EditedClassifier."
            )
        scores = asked.scores(self.classes_)
        table = None if fitted is None else fitted.table_with(scores)
        if asked.lam is None:
            choice = describe_choice(fitted, table, asked, scores)
            edited = self.estimator_ if self.source_ is None else self.source_
            if choice["candidate"]:
                [edited] = fitted.front.network(choice["candidate"]).to_networks()
        elif self.editor_ is not None:
            if self.editor_.task_ is None:
                raise ValueError(
                    "reedit looks at the reference rows of fit, and this EditedClassifier was "
                    "loaded without them. Save it with skmeta.save(classifier, path, "
                    "include_task=True)."
                )
            present = {"requirement": self.requirement, "lam": asked.lam, "guard": self.guard}
            editor = copy(self.editor_).set_params(**present)
            [edited] = editor.transform([self.estimator_])
            self.editor_, choice = editor, None
        else:
            last = len(fitted.front.table) - 1
            choice = describe_choice(fitted, table, asked, scores, forced=last)
            [edited] = fitted.front.network(last).to_networks()
        self.edited_estimator_, self.choice_, self.lam_ = edited, choice, asked.lam
        self._asked, self.front_ = asked, table
