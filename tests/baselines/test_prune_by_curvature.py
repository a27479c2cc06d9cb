"""Pruning by the scores of a regressor of curvature."""

import copy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skmeta import CurvatureRegressor
from skmeta.baselines import Prune
from tests.baselines.test_masks import MIXED, TASK, flat_weights, modules


@pytest.mark.parametrize("criterion", ["obd", "obs"])
@pytest.mark.parametrize("method", ["standard", "sample-weights"])
def test_a_regressor_of_curvature_gives_scores(criterion, method):
    model = CurvatureRegressor(method, n_gradients=20, n_target=50, max_epochs=1, random_state=0)
    model.fit(MIXED, task=TASK)
    rival = Prune(criterion, budget=0.4, curvature=FrozenEstimator(model), random_state=0)
    rival = clone(rival).fit(MIXED, task=TASK)
    assert rival._sample.n_samples == 20
    every = CurvatureRegressor(method, n_gradients=20, n_target=20, max_epochs=1, random_state=0)
    every.fit(MIXED, task=rival._sample).reader_ = model.reader_
    costs = every.saliency(MIXED, kind=criterion)
    for new, scores in zip(modules(rival.transform(MIXED)), modules(costs), strict=True):
        kept, scores = flat_weights(new) != 0, flat_weights(scores)
        assert scores[kept].min() >= scores[~kept].max() * (1 - 1e-4)


def test_a_regressor_of_curvature_is_checked():
    model = CurvatureRegressor("standard", n_gradients=20, n_target=50)
    with pytest.raises(TypeError, match="'curvature' parameter of Prune must be a fitted"):
        Prune("obd", curvature=model).fit(MIXED, task=TASK)
    model.fit(MIXED, task=TASK)
    with pytest.raises(ValueError, match="is for criterion='obd' and criterion='obs'. Got .*wanda"):
        Prune("wanda", curvature=model).fit(MIXED, task=TASK)
    stale = copy.deepcopy(model).set_params(method="ekfac")
    with pytest.raises(ValueError, match="'curvature' parameter of Prune was changed after fit"):
        Prune("obd", curvature=stale).fit(MIXED, task=TASK)
    with pytest.raises(ValueError, match="looks at 20 rows, .* Got a task of 10"):
        Prune("obd", curvature=model).fit(MIXED, task=TASK.subset(np.arange(10)))
