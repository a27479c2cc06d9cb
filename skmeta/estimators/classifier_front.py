"""From rows to candidates: what :class:`EditedClassifier` does in fit, apart from the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skmeta.datasets import Task, stratified_folds
from skmeta.editing.candidates import lam_edits, taught_edits
from skmeta.editing.choice import skill_table
from skmeta.editing.front import Front, Observed, observe
from skmeta.editing.skills import Score
from skmeta.estimators.classifier_rows import Copies, rounded, split
from skmeta.estimators.compliance_editor import ComplianceEditor
from skmeta.estimators.distilling import trained
from skmeta.population import Population
from skmeta.requirements import FairTeacher, GroupFairness, Requirement
from skmeta.zoo import make_zoo

FEW_ROWS = 2000
"""Of fewer rows none are held out for good: each is held out from one of several fits."""

_N_FOLDS = 5
_LAMS = (0.03, 0.1, 0.3, 1.0, 3.0)


class EditorSettings(NamedTuple):
    """How the zoo and the editor of ``method="editor"`` are made."""

    requirement: Any
    lam_range: tuple[float, float] | None
    guard: dict | None
    n_networks: int
    zoo_epochs: int
    max_epochs: int


@dataclass(frozen=True)
class FittedFront:
    """A trained network, its candidates, and what they do on rows that none of them has seen.

    Attributes
    ----------
    estimator : classifier
        The network.
    front : Front
        Its candidates.
    held : Observed
        On rows held out; of few rows, by the candidates of folds that have not seen them.
    seen : Observed
        On the rows of training.
    cross_fitted : bool
        Whether every row was held out from some network.
    editor : ComplianceEditor or None
        What made the edits, of ``method="editor"``.
    trees : ndarray of int of shape (n_samples,) or None
        What the trees of the teacher decide on the rows held out.
    """

    estimator: Any
    front: Front
    held: Observed
    seen: Observed
    cross_fitted: bool
    editor: ComplianceEditor | None
    trees: NDArray[np.int64] | None = None

    @property
    def source(self) -> Any:
        """What the network has learned from, if it is not the same."""
        return self.front.source

    @cached_property
    def table(self) -> pd.DataFrame:
        """Each candidate with its settings and measures."""
        return self.front.table.join(skill_table(self.held, self.seen))

    def table_with(self, scores: Mapping[str, Score]) -> pd.DataFrame:
        """The table with other skills beside the accuracies."""
        if not scores:
            return self.table.copy()
        return self.front.table.join(skill_table(self.held, self.seen, scores))


class Rows(NamedTuple):
    """A table as fit gets it.

    Attributes
    ----------
    task : Task
        All rows.
    X : ndarray
        Rows as they came.
    y : ndarray
        Labels as they came.
    weights : ndarray or None
        Of rows.
    copies : Copies or None
        How often each stands for what knows no weights.
    by_group, by_label : bool
        Whether groups are compared, and whether label by label.
    """

    task: Task
    X: NDArray
    y: NDArray
    weights: NDArray | None
    copies: Copies | None
    by_group: bool
    by_label: bool

    def counts(self, rows: NDArray[np.intp]) -> NDArray[np.int64] | None:
        """How often rows stand: what has to be rounded keeps the sum of each cell of the part."""
        if self.weights is None or self.copies is None:
            return None
        if self.copies.evidence == 1:
            return self.copies.counts[rows]
        order = np.argsort(self.task.cells()[rows], kind="stable")
        counts = np.empty(len(rows), dtype=np.int64)
        counts[order] = rounded(self.weights[rows[order]], self.weights.mean())
        return counts

    def repeated(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows as often as they weigh."""
        counts = self.counts(rows)
        return rows if counts is None else np.repeat(rows, counts)

    def part(self, rows: NDArray[np.intp]) -> Task:
        """Rows as often as they weigh."""
        return self.task.subset(self.repeated(rows))

    def observe(
        self, fronts: list[Front], parts: list[NDArray[np.intp]], requirement: Any
    ) -> Observed:
        """Look at candidates on rows, those of each front on a part of its own."""
        tasks = [self.part(rows) for rows in parts]
        whole = [self.X[self.repeated(rows)] for rows in parts]
        observed = observe(fronts, tasks, requirement, whole)
        if self.copies is None:
            return observed
        ids = np.concatenate([self.repeated(rows) for rows in parts])
        return replace(observed, ids=ids, evidence=self.copies.evidence)

    def train(self, estimator: BaseEstimator, rows: NDArray[np.intp], seed: int) -> tuple[Any, Any]:
        """Fit a clone; return the network, and what it learned from if it is not the same."""
        weights = None if self.weights is None else self.weights[rows]
        X, y = self.X[rows], self.y[rows]
        return trained(estimator, X, y, np.unique(self.y), weights, seed)


def fit_front(
    estimator: BaseEstimator,
    rows: Rows,
    requirement: Requirement | None,
    lam: float | None,
    kinds: tuple[str, ...],
    settings: EditorSettings | None,
    seeds: list[int],
    n_jobs: int | None = None,
    verbose: int = 0,
) -> FittedFront:
    """Train a network, make candidates, and look at them on rows that none of them has seen.

    Parameters
    ----------
    estimator : classifier
        Untrained.
    rows : Rows
        The table.
    requirement : Requirement or None
        What the edits are for.
    lam : float or None
        Of the one edit to make; by default there are many.
    kinds : tuple of {"finetune", "posthoc"}
        Which weights of the network are trained, see :mod:`skmeta.editing.candidates`.
    settings : EditorSettings or None
        Of zoo and editor; the network is trained by default.
    seeds : list of four int
        Of the network, the split, the edits or the zoo, and the editor.
    n_jobs, verbose : int, optional
        Of the zoo; they change no number.

    Returns
    -------
    FittedFront
    """
    train, held = split(rows.task, rows.by_group, rows.by_label, seeds[1])
    if settings is not None:
        network, front, editor, train = _with_editor(
            estimator, rows, lam, settings, (train, held), seeds, (n_jobs, verbose)
        )
        return _looked_at(network, [front], rows, front, train, [held], requirement, editor)

    teachers: list[FairTeacher] = []

    def edit(network: Population, source: Any, train: NDArray[np.intp]) -> Front:
        if lam is None and isinstance(requirement, GroupFairness):
            task, counts = rows.task.subset(train), rows.counts(train)
            edits, table, teacher = taught_edits(
                network, task, requirement, seeds[2], kinds, counts
            )
            teachers.append(teacher)
            return Front.of(network, edits, table, source)
        assert requirement is not None  # without one there is a mask, and an editor
        lams = _LAMS if lam is None else (lam,)
        edits, table = lam_edits(network, rows.part(train), requirement, lams, seeds[2], kinds)
        return (Front.of if lam is None else Front.single)(network, edits, table, source)

    if rows.task.n_samples < FEW_ROWS:
        return _cross_fitted(estimator, rows, requirement, edit, seeds, teachers)
    network, source = rows.train(estimator, train, seeds[0])
    front = edit(Population([network]), source, train)
    fitted = _looked_at(network, [front], rows, front, train, [held], requirement)
    return _with_trees(fitted, teachers, rows, [held])


def _cross_fitted(
    estimator: BaseEstimator,
    rows: Rows,
    requirement: Requirement | None,
    edit: Callable[[Population, Any, NDArray[np.intp]], Front],
    seeds: list[int],
    teachers: list[FairTeacher],
) -> FittedFront:
    """Hold out each row from one of several networks; the last one is made of all rows."""
    folds = stratified_folds(rows.task.cells(), _N_FOLDS, seeds[1])
    fronts, parts = [], [np.flatnonzero(folds == fold) for fold in range(_N_FOLDS)]
    for fold in range(_N_FOLDS):
        rest = np.flatnonzero(folds != fold)
        network, source = rows.train(estimator, rest, seeds[0])
        fronts.append(edit(Population([network]), source, rest))
    everything = np.arange(rows.task.n_samples)
    network, source = rows.train(estimator, everything, seeds[0])
    front = edit(Population([network]), source, everything)
    fitted = _looked_at(network, fronts, rows, front, everything, parts, requirement)
    return _with_trees(fitted, teachers, rows, parts)


def _with_trees(
    fitted: FittedFront,
    teachers: list[FairTeacher],
    rows: Rows,
    held: list[NDArray[np.intp]],
) -> FittedFront:
    """Remember what the trees of teachers decide on rows held out, which they have not seen."""
    if not teachers:
        return fitted
    parts = [rows.part(part) for part in held]  # the last one of several teachers has seen all
    joint = [t.predict_joint(part) for t, part in zip(teachers, parts, strict=False)]
    return replace(fitted, trees=np.concatenate(joint).sum(2).argmax(1))


def _looked_at(
    network: Any,
    fronts: list[Front],
    rows: Rows,
    front: Front,
    train: NDArray[np.intp],
    held: list[NDArray[np.intp]],
    requirement: Requirement | None,
    editor: ComplianceEditor | None = None,
) -> FittedFront:
    seen = rows.observe([front], [train], requirement)
    unseen = rows.observe(fronts, held, requirement)
    return FittedFront(network, front, unseen, seen, len(fronts) > 1, editor)


def _with_editor(
    estimator: BaseEstimator,
    rows: Rows,
    lam: float | None,
    settings: EditorSettings,
    parts: tuple[NDArray[np.intp], NDArray[np.intp]],
    seeds: list[int],
    effort: tuple[int | None, int],
) -> tuple[Any, Front, ComplianceEditor, NDArray[np.intp]]:
    """Train a zoo beside the network, and an editor on it.

    With one lam the editor looks at the rows that are held out from the network. To choose among
    several, they must be new to the editor, too: it gets a third of the other rows then.
    """
    train, held = parts
    reference = held
    if lam is None:
        inner = split(rows.task.subset(train), rows.by_group, rows.by_label, seeds[1])
        train, reference = train[inner[0]], train[inner[1]]
    network, _ = rows.train(estimator, train, seeds[0])
    editor = _fit_editor(rows, network, settings, lam, (train, reference), seeds[2:], effort)
    original = Population([network])
    if lam is None:
        lams = np.geomspace(*editor.editor_.lam_range, len(_LAMS)).tolist()
        edits = Population.concatenate([editor.transform(original, lam=value) for value in lams])
        front = Front.of(original, edits, pd.DataFrame({"method": "editor", "lam": lams}))
    else:
        settings_of = pd.DataFrame({"method": "editor", "lam": editor.editor_.plan.lam}, index=[0])
        front = Front.single(original, editor.transform(original), settings_of)
    return network, front, editor, train


def _fit_editor(
    rows: Rows,
    network: Any,
    settings: EditorSettings,
    lam: Any,
    parts: tuple[NDArray[np.intp], NDArray[np.intp]],
    seeds: list[int],
    effort: tuple[int | None, int],
) -> ComplianceEditor:
    (train, reference), (n_jobs, verbose) = parts, effort
    train = rows.repeated(train)
    # make_zoo holds back a stratified tenth: ten rows per class, repeated if need be.
    zoo = make_zoo(
        rows.task.subset(np.resize(train, max(len(train), 10 * rows.task.n_classes))),
        settings.n_networks,
        like=network,
        epochs=settings.zoo_epochs,
        n_jobs=n_jobs,
        progress=bool(verbose),
        random_state=seeds[0],
    )
    lam_range = settings.lam_range
    if lam is None:
        lam_range = (_LAMS[0], 1.0) if lam_range is None else lam_range
        lam = float(np.sqrt(lam_range[0] * lam_range[1]))
    editor = ComplianceEditor(
        settings.requirement,
        lam=lam,
        lam_range=lam_range,
        guard=settings.guard,
        max_epochs=settings.max_epochs,
        verbose=verbose,
        random_state=seeds[1],
    )
    return editor.fit(zoo, task=rows.part(reference))
