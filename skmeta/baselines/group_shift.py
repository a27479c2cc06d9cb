"""Move the logits of a group by a constant: :class:`GroupShift`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from skmeta._checks import check_rng
from skmeta.baselines.code_model import fit_codes, predicted_codes
from skmeta.baselines.group_search import GroupSearch, membership
from skmeta.datasets import Task


@dataclass(eq=False, repr=False)
class GroupShift(GroupSearch):
    """Add a constant per group to the logits of each class but the first.

    The constants minimise divergence + lam * measure on reference rows. Unlike
    thresholds, they move all scores of a group, so the gap closes at every threshold.

    Parameters
    ----------
    requirement : str or Requirement, default="equalized_odds"
        What the networks must fulfil.
    lam : float, default=0.1
        Weight of the requirement against the divergence.
    predicted : bool, default=False
        Use the probabilities of the groups that a logistic regression predicts from X in
        place of the groups, which are then not needed at prediction.
    n_per_cell : int, default=1000
        Reference rows per (label, group) cell that the search looks at.
    random_state : int, RandomState or None
        Seed of these rows.

    Attributes
    ----------
    group_model_ : LogisticRegression or None
        Predicts the group.

    Examples
    --------
    >>> from skmeta.baselines import GroupShift
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 2, epochs=2, n_checkpoints=1, progress=False, random_state=0)
    >>> shift = GroupShift(random_state=0).fit(zoo, task=reference)
    >>> shift.predict_logits(zoo, test).shape
    torch.Size([2, 600, 2])
    """

    requirement: Any = "equalized_odds"
    _: KW_ONLY
    lam: float = 0.1
    predicted: bool = False
    n_per_cell: int = 1000
    random_state: Any = None

    @property
    def needs_sensitive_at_prediction(self) -> bool:
        """Whether the sensitive features of new rows must be known to predict."""
        return not self.predicted

    options = {"predicted": [False, True]}

    def _fit(self, networks: Any, task: Task) -> None:
        self._seed = int(check_rng(self.random_state).integers(2**31))
        self.group_model_ = None
        if self.predicted:
            model = LogisticRegression(max_iter=1000)
            self.group_model_ = fit_codes(model, task, task.sensitive)

    def _groups(self, task: Task, like: Tensor) -> Tensor:
        if self.group_model_ is None:
            return membership(task, like)
        return predicted_codes(self.group_model_, task, self.task_.n_groups).to(like)

    def _choose(self, reference: Tensor) -> Tensor:
        groups = self._groups(self.task_, reference)
        return self._search(reference, groups, self.n_per_cell, self._seed)

    def _apply(self, settings: Tensor, logits: Tensor, task: Task) -> Tensor:
        return self._change(settings, logits, self._groups(task, logits))

    def _change(self, settings: Tensor, logits: Tensor, groups: Tensor) -> Tensor:
        # Only differences of logits matter: the first class needs no shift.
        shift = groups @ torch.nn.functional.pad(settings, (1, 0))
        return logits + shift
