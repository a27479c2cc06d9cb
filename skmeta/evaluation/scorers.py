"""Scorers for cross-validation and searches over editors: :class:`EditScorer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED

from skmeta._checks import check_option
from skmeta.datasets import Task
from skmeta.editing.measures import measure_edits
from skmeta.evaluation.fitted import edit_networks, measuring_task, requirement_of
from skmeta.population import Population

_NAMES = (
    "neg_divergence",
    "neg_measure",
    "neg_measure_over_thresholds",
    "neg_measure_soft",
    "accuracy",
    "accuracy_change",
)


class EditScorer(BaseEstimator):
    """Edit networks and score what the edits did; greater is better.

    It is the ``scoring`` of ``GridSearchCV`` and ``cross_validate`` over a population of
    networks, for an editor or a rival, alone or at the end of a pipeline. Networks are
    edited once, however many scores are asked for.

    Parameters
    ----------
    names : str, list of str or None
        A column of :func:`measure_edits`; with ``neg_`` in front minus its values, as less
        is better: "neg_divergence", "neg_measure", "neg_measure_over_thresholds",
        "neg_measure_soft", "accuracy", "accuracy_change". A name gives a number, a list of
        names a dict. None gives the dict of all of these that the requirement has.
    requirement : str or Requirement, optional
        What to measure; the default is the requirement of the estimator. An estimator
        without one is scored by divergence and accuracy only.

    See Also
    --------
    least_divergence, least_violation : Choose a candidate by two of the scores.

    Notes
    -----
    With metadata routing, ``task`` is requested: ``search.fit(networks, task=task)`` fits
    and scores on one task, and ``EditScorer().set_score_request(task="validation")`` scores
    on the rows given as ``search.fit(networks, task=task, validation=other)``. Without
    routing, it measures on the editor's ``task_``, the rows of ``fit``: on these a search
    overrates editors that look at them.

    Examples
    --------
    >>> import sklearn
    >>> from sklearn.model_selection import cross_validate
    >>> from skmeta.baselines import FineTune
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.evaluation import EditScorer
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 4, epochs=2, n_checkpoints=1, progress=False, random_state=0)
    >>> scoring = EditScorer(["neg_divergence", "neg_measure"])
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     tables = cross_validate(
    ...         FineTune(n_steps=5, random_state=0),
    ...         zoo,
    ...         cv=2,
    ...         scoring=scoring.set_score_request(task="validation"),
    ...         params={"task": reference, "validation": test},
    ...     )
    >>> sorted(tables)
    ['fit_time', 'score_time', 'test_neg_divergence', 'test_neg_measure']
    """

    # Estimator and networks are no metadata.
    __metadata_request__score = {"task": True, "estimator": UNUSED, "networks": UNUSED}

    def __init__(
        self, names: str | Sequence[str] | None = None, *, requirement: Any = None
    ) -> None:
        # Searches turn an error of score into nan: a name that no score has is refused here.
        for name in _as_list(names):
            check_option("names", name, _NAMES, owner="EditScorer")
        self.names = names
        self.requirement = requirement

    def score(
        self, estimator: object, networks: Any, y: Any = None, *, task: Task | None = None
    ) -> float | dict[str, float]:
        """Edit networks and score the edits.

        Parameters
        ----------
        estimator : fitted editor, rival or Pipeline
            With ``transform``, or ``predict_logits`` if it changes predictions only.
        networks : Population or sequence of networks
            Networks to edit.
        y : None
            Ignored.
        task : Task, optional
            Rows to measure on; the default is the ``task_`` of the estimator.

        Returns
        -------
        float or dict of str to float
            Means over the networks, under the asked names.
        """
        task = measuring_task(estimator, task, "EditScorer")
        population = Population(networks)
        edited = edit_networks(estimator, population, task, "EditScorer")
        wanted = requirement_of(estimator) if self.requirement is None else self.requirement
        frame = measure_edits(population, edited, task, wanted)
        scores = {}
        for column, mean in frame.mean(skipna=False).items():
            if column.startswith("accuracy"):
                scores[column] = float(mean)
            elif not column.endswith("_change"):
                scores[f"neg_{column}"] = -float(mean)
        if self.names is None:
            return scores
        owner = f"EditScorer for the requirement {wanted!r}"
        names = _as_list(self.names)
        chosen = {check_option("names", name, scores, owner=owner): scores[name] for name in names}
        return chosen[self.names] if isinstance(self.names, str) else chosen

    __call__ = score


def _as_list(names: Any) -> list[str]:
    """Return the names of scores; none for all."""
    if names is None or isinstance(names, str):
        return [] if names is None else [names]
    if not isinstance(names, Sequence) or not len(names):
        raise TypeError(
            "The 'names' parameter of EditScorer must be a name, a list of one or more of them, or "
            f"None for all. Got {names!r} instead. Names are {', '.join(_NAMES)}."
        )
    return list(names)


divergence_scorer = EditScorer("neg_divergence")
"""Minus the mean divergence."""

measure_scorer = EditScorer("neg_measure")
"""Minus the mean exact measure of the estimator's requirement."""

accuracy_change_scorer = EditScorer("accuracy_change")
"""Mean accuracy after the edit minus that before."""
