"""WeightStatistics as scikit-learn users meet it."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmeta import Population, WeightStatistics
from skmeta.evaluation import kendall_tau
from skmeta.population import to_rows
from tests.stages import of_field

from .reading_zoo import ARCHITECTURES, reading_zoo


@parametrize_with_checks([WeightStatistics()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_a_frame_of_mixed_depths():
    population, _, _ = reading_zoo(9)
    frame = WeightStatistics().set_output(transform="pandas").fit_transform(population)
    assert frame.shape == (9, 3 * 14)
    assert list(frame.columns[[0, -1]]) == ["hidden_1_weight_mean", "output_bias_q100"]
    missing = frame["hidden_2_weight_mean"].isna()
    assert missing.tolist() == [a.depth == 2 for a in population.architectures]
    largest = [of_field(record, "weight")[-1].max() for record in population.records()]
    np.testing.assert_allclose(frame["output_weight_q100"], largest, rtol=1e-6)


def test_further_hidden_layers_are_left_out():
    population, _, _ = reading_zoo(6)
    shallow, deep = population[:2], population[2:3]
    table = WeightStatistics().fit(shallow).transform(deep)
    assert table.shape == (1, 2 * 14) and np.isfinite(table).all()


def test_gradient_boosting_on_a_population():
    population, y, _ = reading_zoo()
    model = make_pipeline(WeightStatistics(), HistGradientBoostingRegressor(random_state=0))
    groups = population.metadata["run"]
    options = {"cv": GroupKFold(3), "groups": groups, "scoring": kendall_tau}
    scores = cross_val_score(model, population, y, error_score="raise", **options)
    assert scores.min() > 0.6


def test_rows_are_networks():
    population, _, _ = reading_zoo(6, ARCHITECTURES[:1])
    rows = pd.DataFrame(to_rows(population)).add_prefix("w")
    of_rows = WeightStatistics(architecture=ARCHITECTURES[0]).fit(rows)
    of_networks = WeightStatistics().fit(population)
    np.testing.assert_array_equal(of_rows.transform(rows), of_networks.transform(population))
    assert of_rows.n_features_in_ == rows.shape[1]
    assert of_rows.feature_names_in_[0] == "w0"
    one_layer = WeightStatistics().fit(rows)
    assert one_layer.get_feature_names_out()[0] == "output_weight_mean"
    np.testing.assert_allclose(one_layer.transform(rows)[:, 0], rows.mean(axis=1), rtol=1e-5)


def test_lists_of_modules_pickle_and_routing():
    population, _, _ = reading_zoo(6)
    modules = population.to_networks()
    with config_context(enable_metadata_routing=True):
        fitted = WeightStatistics().fit(modules)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(modules), fitted.transform(population))
    assert not hasattr(clone(fitted), "statistics_")


def test_errors():
    population, _, _ = reading_zoo(6)
    fitted = WeightStatistics().fit(population)
    with pytest.raises(ValueError, match="was fitted on networks. Got rows"):
        fitted.transform(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="'architecture' parameter of WeightStatistics"):
        WeightStatistics(architecture=(3, 4)).fit(population)
    with pytest.raises(ValueError, match="at least one network"):
        WeightStatistics().fit([])
    with pytest.raises(TypeError, match=r"pass \[network\]"):
        WeightStatistics().fit(population[0])
    empty = Population.from_records([])
    with pytest.raises(ValueError, match="at least one network"):
        WeightStatistics().fit(empty)
