"""fairlearn's post-processor, network by network: :class:`ThresholdOptimizer`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from fairlearn import postprocessing
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor

from skmeta._checks import check_rng
from skmeta.baselines.labels import LabelPostProcessor
from skmeta.datasets import Cells, Task


@dataclass(eq=False, repr=False)
class ThresholdOptimizer(LabelPostProcessor):
    """fairlearn's ThresholdOptimizer [1]_ for equalized odds, one per network.

    It gives labels, drawn at random between two thresholds per group. Labels have no
    divergence from scores of their own; ``scores`` says which scores they stand for.

    Parameters
    ----------
    scores : {"minimal", "hard"}, default="minimal"
        "minimal": a score whose label changed is moved to just past .5, which is the least
        change that gives these labels. "hard": the labels themselves as certain scores,
        which makes the divergence inherently large.
    grid_size : int, default=1000
        Points on the ROC curve that fairlearn looks at.
    random_state : int, RandomState or None
        Seed of the randomised labels.

    References
    ----------
    .. [1] M. Hardt, E. Price, N. Srebro, "Equality of opportunity in supervised learning",
       2016.

    Examples
    --------
    >>> from skmeta.baselines import ThresholdOptimizer
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.zoo import make_zoo
    >>> bunch = make_biased_classification(2000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 2, epochs=2, n_checkpoints=1, progress=False, random_state=0)
    >>> rival = ThresholdOptimizer(random_state=0).fit(zoo, task=reference)
    >>> rival.predict_logits(zoo, test).shape
    torch.Size([2, 600, 2])
    """

    needs_sensitive_at_prediction = True

    _: KW_ONLY
    scores: str = "minimal"
    grid_size: int = 1000
    random_state: Any = None

    def _fit(self, networks: Any, task: Task) -> None:
        Cells.of(task).require_all("ThresholdOptimizer")
        self._seed = int(check_rng(self.random_state).integers(2**31))

    def _choose(self, reference: Tensor) -> list[postprocessing.ThresholdOptimizer]:
        return [
            postprocessing.ThresholdOptimizer(
                estimator=_GivenScores(),
                constraints="equalized_odds",
                grid_size=self.grid_size,
                prefit=True,
                predict_method="predict_proba",
            ).fit(scores, self.task_.y, sensitive_features=self.task_.sensitive)
            for scores in _as_columns(reference)
        ]

    def _apply(
        self, settings: list[postprocessing.ThresholdOptimizer], logits: Tensor, task: Task
    ) -> Tensor:
        # The same seed for each network: its labels do not depend on the other networks.
        labels = [
            rival.predict(scores, sensitive_features=task.sensitive, random_state=self._seed)
            for rival, scores in zip(settings, _as_columns(logits), strict=True)
        ]
        positive = torch.as_tensor(np.stack(labels) > 0, device=logits.device)
        return self._score(logits, positive)


def _as_columns(logits: Tensor) -> NDArray[np.float64]:
    """Scores of the second class, ``(n, n_samples, 1)``; fairlearn crashes on float32."""
    return logits.double().softmax(-1)[..., 1:].cpu().numpy()


class _GivenScores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose X is its score."""

    def fit(self, X: Any, y: Any) -> _GivenScores:
        """Do nothing; scikit-learn only calls what can be fitted an estimator."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        scores = np.asarray(X, dtype=np.float64)
        return np.column_stack([1 - scores, scores])
