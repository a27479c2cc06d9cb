"""Decide uncertain cases in favour of the disadvantaged: :class:`RejectOption`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmeta._checks import shown
from skmeta.baselines.base import PostProcessor
from skmeta.baselines.group_search import membership
from skmeta.datasets import Cells, Task

THETAS = tuple(np.linspace(0.0, 0.25, 26).round(2).tolist())


@dataclass(eq=False, repr=False)
class RejectOption(PostProcessor):
    """Reject option classification [1]_ with flipped scores.

    Where a network is unsure, ``|p - .5| < theta``, a disadvantaged group gets the
    favourable label and the others the unfavourable one. A score that contradicts this is
    flipped, p -> 1 - p, which keeps how sure the network was. The favourable label is the
    second class; groups whose selection rate on the reference rows lies below the average
    of the groups are disadvantaged, network by network. As only scores near .5 move, little
    is gained at other thresholds (see :class:`GroupThresholds`).

    Parameters
    ----------
    requirement : str or Requirement, default="equalized_odds"
        What the networks must fulfil.
    lam : float, default=0.1
        Weight of the requirement against the divergence.
    thetas : sequence of float, optional
        Candidates for theta, in [0, .5]; the best on the reference rows is taken for each
        network. Default: 0, .01, ..., .25, where 0 does nothing.

    References
    ----------
    .. [1] F. Kamiran, A. Karim, X. Zhang, "Decision theory for discrimination-aware
       classification", ICDM 2012.

    Examples
    --------
    >>> from skmeta.baselines import RejectOption
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 2, epochs=2, n_checkpoints=1, progress=False, random_state=0)
    >>> RejectOption().fit(zoo, task=reference).predict_logits(zoo, test).shape
    torch.Size([2, 600, 2])
    """

    needs_sensitive_at_prediction = True
    games_threshold = True
    binary_only = True

    requirement: Any = "equalized_odds"
    _: KW_ONLY
    lam: float = 0.1
    thetas: Sequence[float] | None = None

    def _fit(self, networks: Any, task: Task) -> None:
        try:
            thetas = np.asarray(THETAS if self.thetas is None else self.thetas, dtype=float)
        except (TypeError, ValueError):
            thetas = np.empty(0)
        if thetas.ndim != 1 or not len(thetas) or not ((thetas >= 0) & (thetas <= 0.5)).all():
            raise ValueError(
                "The 'thetas' parameter of RejectOption must be numbers in the range [0, 0.5]. "
                f"Got {shown(self.thetas)} instead. Leave it out for the default grid."
            )
        self._thetas = thetas.tolist()

    def _choose(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Choose theta ``(n,)`` and the disadvantaged groups ``(n, n_groups)``."""
        groups = membership(self.task_, reference)
        selected = (reference[..., 1] > reference[..., 0]).to(reference)
        rates = selected @ groups / groups.sum(0)
        disadvantaged = (rates < rates.mean(1, keepdim=True)).to(reference)
        cells = Cells.of(self.task_, reference.device)
        value = self._exact_objective(reference, cells)
        values = [
            value(_flip(reference, groups, disadvantaged, reference.new_full((), theta)))
            for theta in self._thetas
        ]
        thetas = reference.new_tensor(self._thetas)
        return thetas[torch.stack(values).argmin(0)], disadvantaged

    def _apply(self, settings: tuple[Tensor, Tensor], logits: Tensor, task: Task) -> Tensor:
        theta, disadvantaged = settings
        return _flip(logits, membership(task, logits), disadvantaged, theta[:, None])


def _flip(logits: Tensor, groups: Tensor, disadvantaged: Tensor, theta: Tensor) -> Tensor:
    score = logits.softmax(-1)[..., 1]
    favour = (disadvantaged @ groups.T) > 0.5
    wrong = (score > 0.5) != favour
    critical = (score - 0.5).abs() < theta
    return torch.where((wrong & critical)[..., None], logits.flip(-1), logits)
