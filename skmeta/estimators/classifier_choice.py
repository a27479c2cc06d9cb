"""What an :class:`EditedClassifier` was asked for, what it chose, and what that has done."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names

from skmeta._checks import (
    check_in_range,
    check_n_jobs,
    check_option,
    check_verbose,
    shown,
)
from skmeta.datasets import Task
from skmeta.editing.candidates import KINDS
from skmeta.editing.checks import check_lam_range
from skmeta.editing.choice import Budget, Choice, choose, recall_columns, skill_table, within
from skmeta.editing.front import Front, Observed, observe
from skmeta.editing.guard import check_guard
from skmeta.editing.reporting import edit_report
from skmeta.editing.resampling import confirmed, expected_gap
from skmeta.editing.skills import SKILLS, Score, score_of_counts
from skmeta.editing.verdict import verdict
from skmeta.estimators.classifier_front import FittedFront
from skmeta.population import Population
from skmeta.requirements import split_requirements
from skmeta.requirements.joint import group_parts
from skmeta.requirements.resolve import Plan

_OWNER = "EditedClassifier"
_DEFAULT_DROP = 0.01
_DEFAULT_LAM = 0.1

WITHOUT_BUDGET = 0.05
"""Where no budget was given, skill is lost if it falls further than this."""

_MEASURED = ("gap", "gap_seen", "gap_held", "degenerate", "largest_recall_drop")
_SETTINGS = ("method", "tolerance", "cost_power", "lam", "edit", "point", "favours")
_WEAK = 0.55
_WORSE = 0.02
_SMALL_GAP = 0.02


class Asked(NamedTuple):
    """What the parameters ask for.

    Attributes
    ----------
    plan : Plan
        Requirements.
    kinds : tuple of {"finetune", "posthoc"}
        What makes candidates; nothing of these is an editor.
    lam : float, dict or None
        Of the one edit to make.
    budget : Budget
        Of the choice among many.
    scorers : dict of str to callable
        Of the skills in the budget that are no accuracies.
    """

    plan: Plan
    kinds: tuple[str, ...]
    lam: Any
    budget: Budget
    scorers: dict[str, Any]

    @property
    def weight(self) -> Any:
        """Lam as what makes the edit takes it: to fine-tuning, several requirements are one."""
        return self.plan.lam if self.kinds and self.lam is not None else self.lam

    def scores(self, classes: NDArray) -> dict[str, Score]:
        """Return the scorers as functions of counts of these labels and decisions."""
        return {name: score_of_counts(name, s, classes) for name, s in self.scorers.items()}

    @property
    def max_drops(self) -> dict[str, float]:
        """How far each skill may fall before it is lost."""
        drop = self.budget.max_drop if self.lam is None else None
        return dict.fromkeys(self.budget.scoring, WITHOUT_BUDGET if drop is None else drop)


def asked_of(classifier: Any) -> Asked:
    """Check all parameters of an EditedClassifier, and say what they ask for."""
    for name in ("n_networks", "zoo_epochs", "max_epochs"):
        check_in_range(name, getattr(classifier, name), owner=_OWNER, low=1, kind="int")
    check_guard(classifier.guard, _OWNER)
    check_verbose(classifier.verbose, _OWNER)
    check_n_jobs(classifier.n_jobs, _OWNER)
    method = check_option("method", classifier.method, ["auto", *KINDS, "editor"], owner=_OWNER)
    lam, drop, gap = classifier.lam, classifier.max_accuracy_drop, classifier.max_gap
    goals = {"max_accuracy_drop": drop, "max_gap": gap, "lam": lam}
    given = {name: value for name, value in goals.items() if value is not None}
    if len(given) > 1:
        raise ValueError(
            f"At most one of 'max_accuracy_drop', 'max_gap' and 'lam' of {_OWNER} may be given. "
            f"Got {', '.join(f'{name}={shown(value)}' for name, value in given.items())}. Set "
            "the others to None."
        )
    for name in ("max_accuracy_drop", "max_gap"):
        if name in given:
            check_in_range(name, given[name], owner=_OWNER, low=0, high=1)
    check_in_range(
        "confidence", classifier.confidence, owner=_OWNER, low=0.5, high=1, closed="left"
    )
    check_in_range("max_recall_drop", classifier.max_recall_drop, owner=_OWNER, low=0, high=1)
    plan = split_requirements(classifier.requirement, _DEFAULT_LAM if lam is None else lam, _OWNER)
    _check_thresholds(plan)
    if plan.mask is not None:
        method, lam = _of_mask(plan, method, lam, given)
    _check_options_of_editor(classifier, method, plan)
    scorers = _scorers(classifier.scoring)
    budget = Budget(
        max_drop=_DEFAULT_DROP if not given else drop,
        max_gap=gap,
        scoring=tuple(scorers),
        confidence=classifier.confidence,
        max_recall_drop=classifier.max_recall_drop,
    )
    others = {name: scorer for name, scorer in scorers.items() if name not in SKILLS}
    return Asked(plan, _kinds(method, lam), lam, budget, others)


def _kinds(method: str, lam: Any) -> tuple[str, ...]:
    """Whoever gives a lam means one edit."""
    if method == "auto":
        return KINDS if lam is None else KINDS[:1]
    return () if method == "editor" else (method,)


def _check_thresholds(plan: Plan) -> None:
    """What is observed of candidates is what they decide, at .5."""
    for part in getattr(plan.requirement, "requirements", [plan.requirement]):
        thresholds = getattr(part, "thresholds", (0.5,))
        if tuple(thresholds) != (0.5,):
            raise ValueError(
                f"The 'requirement' parameter of {_OWNER} must be measured on predicted labels: it "
                f"chooses by these. Got {part!r}, with thresholds={thresholds}. Take "
                "ComplianceEditor or FineTune for other thresholds on the score."
            )


def _of_mask(plan: Plan, method: str, lam: Any, given: dict[str, Any]) -> tuple[str, Any]:
    """A mask has an editor and a lam: there are no candidates to choose from."""
    if method in KINDS or given.keys() - {"lam"}:
        raise ValueError(
            f"The 'requirement' parameter of {_OWNER} holds one on weights, {plan.mask!r}, which "
            f"needs method='editor' and 'lam'. Got method={method!r} and {shown(given)}."
        )
    return "editor", _DEFAULT_LAM if lam is None else lam


def _check_options_of_editor(classifier: Any, method: str, plan: Plan) -> None:
    given = {"lam_range": classifier.lam_range, "guard": classifier.guard}
    if method != "editor":
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"The '{name}' parameter of {_OWNER} is for method='editor'. Got "
                    f"{shown(value)} with method={classifier.method!r}. 'max_accuracy_drop' and "
                    "'max_recall_drop' bound an edit."
                )
    elif classifier.lam_range is not None:
        low = classifier.lam_range[0] if classifier.lam is None else plan.lam
        check_lam_range(classifier.lam_range, low, _OWNER)


def _scorers(scoring: Any) -> dict[str, Any]:
    """Name what may be lost, as scikit-learn's searches name it."""
    names = (scoring,) if isinstance(scoring, str) else scoring
    if isinstance(names, tuple | list) and names:
        known = get_scorer_names()
        return {check_option("scoring", n, known, owner=_OWNER): get_scorer(n) for n in names}
    scorers = {"score": scoring} if callable(scoring) else scoring
    if isinstance(scorers, dict) and scorers:
        if all(isinstance(name, str) and callable(s) for name, s in scorers.items()):
            return _without_columns(scorers)
    raise TypeError(
        f"The 'scoring' parameter of {_OWNER} must be the name of a scorer of labels, such as "
        f"{', '.join(map(repr, SKILLS))} or 'f1_macro', a tuple of names, or a scorer or a dict of "
        f"scorers, as of make_scorer. Got {shown(scoring)}."
    )


def _without_columns(scorers: dict[str, Any]) -> dict[str, Any]:
    """Refuse names that mean something else in ``front_``."""
    for name in scorers:
        if name in (*SKILLS, *_MEASURED, *_SETTINGS) or name.startswith("recall_"):
            raise ValueError(
                f"A scorer in the 'scoring' parameter of {_OWNER} must not have the name of a "
                f"column of front_. Got {name!r}. Call it 'my {name}', for instance."
            )
    return scorers


def describe_choice(
    fitted: FittedFront,
    table: pd.DataFrame,
    asked: Asked,
    scores: dict[str, Score],
    forced: int | None = None,
) -> pd.Series:
    """Choose a candidate, and say what it does on the rows held out.

    Parameters
    ----------
    fitted : FittedFront
        Candidates.
    table : DataFrame
        What they do, with the skills that are asked for.
    asked : Asked
        The budget.
    scores : dict of str to callable
        Skills beside the accuracies.
    forced : int, optional
        A candidate that needs no choice.

    Returns
    -------
    Series
        See ``EditedClassifier.choice_``.
    """
    requirement, budget = asked.plan.requirement, asked.budget
    if forced is not None:
        choice = Choice(forced, "")
    else:
        seen = None if fitted.cross_fitted else fitted.seen
        choice = choose(table, budget)
        choice = confirmed(choice, fitted.held, seen, requirement, budget.confidence)
    row = table.loc[choice.candidate]
    expected = row["gap_held"]
    by_gap = forced is None and choice.candidate and budget.max_gap is None
    if by_gap and requirement is not None and group_parts(requirement):
        allowed, _ = within(table, budget)
        expected = max(expected, expected_gap(fitted.held, fitted.seen, allowed, requirement))
        if expected >= (before := table.loc[0, "gap_held"]):
            reason = (
                f"the smallest gap within the budget is luck: {expected:.3f} is to be expected on "
                f"new rows, against {before:.3f}"
            )
            choice, row, expected = Choice(0, reason), table.loc[0], before
    status = verdict(
        fitted.held.of([0, choice.candidate]),
        requirement,
        asked.max_drops,
        budget.max_recall_drop,
        scores=scores,
    )
    described = {
        "candidate": choice.candidate,
        "status": status,
        "reason": choice.reason,
        "gap_before": table.loc[0, "gap_held"],
        "gap_after": row["gap_held"],
        "expected_gap": expected,
    }
    described |= {f"{skill}_change": -row[f"{skill}_loss"] for skill in (*SKILLS, *asked.scorers)}
    if fitted.source is not None:
        described |= _of_student(table)
    described |= row[fitted.front.table.columns].dropna()
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in described.items()}
    return pd.Series(plain, dtype=object)


def _of_student(table: pd.DataFrame) -> dict[str, float]:
    """Say how good the network is that has learned from another classifier, before any edit."""
    return {f"student_{skill}": float(table.loc[1, skill]) for skill in SKILLS}


def warn_of_base(fitted: FittedFront) -> None:
    """Warn of a classifier that is hardly better than a constant, or worse than trees.

    Budgets from a weak network mean little: what it loses is nothing, and a better one has other
    gaps.
    """
    held = fitted.held
    first = fitted.table.iloc[0]
    balanced, chance = first["balanced_accuracy"], 1 / held.n_classes
    way_out = "Pass a better 'estimator', scale the columns, or train it longer."
    said, better = "", "Pass estimator=HistGradientBoostingClassifier(), from which a network"
    if balanced < chance + (_WEAK - 0.5) or first["degenerate"]:
        worst, name = min((first[name], name) for name in recall_columns(held))
        said = f"before any edit: a constant has {chance:.3f} ({name} is {worst:.3f})"
    if fitted.trees is not None:
        both = np.stack([fitted.trees, held.decisions[0]]).astype(np.int16)
        pair = _compared(both, held).iloc[1]
        ahead = pair["balanced_accuracy_loss"] - pair["balanced_accuracy_loss_se"]
        if ahead > _WORSE and pair["accuracy_loss"] > 0:
            trees = balanced + pair["balanced_accuracy_loss"]
            said = said or f"beside boosted trees, which have {trees:.3f}"
            if fitted.source is None:
                way_out = f"{better} learns first, or a better network."
    if said:
        warnings.warn(
            f"The {_base_of(fitted)} of EditedClassifier is weak {said}. Its balanced accuracy is "
            f"{balanced:.3f} on rows held out. A gap is easily small then and means little. "
            f"{way_out}",
            UserWarning,
            stacklevel=6,
        )


def _base_of(fitted: FittedFront) -> str:
    return "network" if fitted.source is None else "estimator"


def warn_of_lam(fitted: FittedFront) -> None:
    """Warn of edits at several lam that are all alike and leave most of the gap."""
    table = fitted.table
    if fitted.editor is None or table["lam"].nunique() < 2:
        return
    whole = table[(table["point"] == 1) & (table["favours"] < 0)].set_index("lam")["gap_seen"]
    least, most = whole.index.min(), whole.index.max()
    before, closed = table.loc[0, "gap_seen"], whole[least] - whole[most]
    if before > _SMALL_GAP and whole[most] > before / 2 and closed < before / 10:
        warnings.warn(
            f"The edits of EditedClassifier do not follow lam: of a gap of {before:.3f}, "
            f"{whole[least]:.3f} is left at lam={least:g} and {whole[most]:.3f} at lam={most:g}, "
            "on rows of training. Take method='finetune', or more 'n_networks' and 'max_epochs'.",
            UserWarning,
            stacklevel=6,
        )


def _compared(both: NDArray[np.int16], held: Observed) -> pd.DataFrame:
    """Say what the second loses against the first."""
    pair = Observed(both, np.zeros(2), held.y, held.cells)
    return skill_table(pair, pair)


def before_and_after(classifier: Any) -> tuple[Front, list[int]]:
    """Put what a fitted classifier was and is on a front; say which candidates these are."""
    source, edited = classifier.source_, classifier.edited_estimator_
    before = Population([classifier.estimator_])
    after = before if edited is source else Population([edited])
    front = Front.single(before, after, pd.DataFrame({"method": ["edit"]}), source)
    return front, [0, 0 if edited is source else len(front.table) - 1]


def report_on(classifier: Any, task: Task, X: NDArray, n_bootstrap: int) -> pd.DataFrame:
    """Report the edit of a fitted classifier on rows; see ``EditedClassifier.report``.

    ``X`` are the rows in their own type.
    """
    asked: Asked = classifier._asked  # of the edit there is, whatever the parameters are now
    requirement = asked.plan.requirement
    front, which = before_and_after(classifier)
    before, after = front.original, front.edits
    same = all(
        np.array_equal(a.weights.flat, b.weights.flat)
        for (_, a), (_, b) in zip(before.blocks, after.blocks, strict=True)
    )
    guard = getattr(classifier.editor_, "guard", None)
    rolled_back = np.array([same and guard is not None and asked.lam is not None])
    observed = observe([front], [task], requirement, [X])
    pair, logits = observed.of(which), list(front.pieces(task, X))
    compared: tuple[Any, Any] = before, after
    if front.source is not None:
        compared = logits[which[0]], logits[which[1]]
    report = edit_report(*compared, task, asked.plan, n_bootstrap, rolled_back)
    scores = asked.scores(classifier.classes_)
    table = skill_table(pair, pair, scores)
    for name in ("balanced_accuracy", *asked.scorers, *recall_columns(pair)):
        report[f"{name}_before"], report[f"{name}_after"] = table[name]
    report["changed"] = (pair.decisions[0] != pair.decisions[1]).mean()
    if front.source is not None:
        for name, value in _of_student(skill_table(observed, observed)).items():
            report[name] = value
    if classifier.choice_ is not None:
        report["expected_gap"] = classifier.choice_["expected_gap"]
    if requirement is not None and not rolled_back[0]:
        report["status"] = verdict(
            pair,
            requirement,
            asked.max_drops,
            asked.budget.max_recall_drop,
            scores=scores,
            n_bootstrap=n_bootstrap,
        )
    report["status"] = report.pop("status")
    return report
