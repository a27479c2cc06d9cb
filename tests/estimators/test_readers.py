"""scikit-learn's checks, and every metanetwork by its name."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import skmeta
from skmeta import WeightSpaceClassifier, WeightSpaceRegressor
from skmeta.metanets import TRUNKS
from skmeta.networks import Architecture

from .reading_zoo import reading_zoo

CHECKED = {"hidden_channels": 16, "n_layers": 1, "max_epochs": 8, "lr": 2e-2, "random_state": 0}
TINY = {"hidden_channels": 4, "n_layers": 2, "max_epochs": 1, "batch_size": 8, "random_state": 0}
DEPTHS = (Architecture.mlp((4, 5, 2)), Architecture.mlp((4, 3, 6, 2)))


# A network of weight 2 counts twice in the loss; repeated, it would stand in other batches.
BATCHES = {"check_sample_weight_equivalence_on_dense_data": "batches are drawn from the networks"}


@parametrize_with_checks(
    [WeightSpaceRegressor(**CHECKED), WeightSpaceClassifier(**CHECKED)],
    expected_failed_checks=lambda estimator: BATCHES,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("quasi", [False, True])
@pytest.mark.parametrize("metanet", TRUNKS)
def test_every_metanet(metanet, quasi, tmp_path):
    population, y, labels = reading_zoo(24, DEPTHS)
    model = WeightSpaceRegressor(metanet=metanet, quasi=quasi, **TINY)
    model.fit(population[:16], y[:16])
    predicted = model.predict(population)
    assert np.ptp(predicted) > 1e-4
    alone = [model.predict(population[[i]])[0] for i in (0, 1)]
    np.testing.assert_allclose(alone, predicted[:2], rtol=1e-3, atol=1e-5)
    permuted = population.permuted(0)
    np.testing.assert_allclose(model.predict(permuted), predicted, rtol=1e-3, atol=1e-4)
    model.save(tmp_path / "model")
    assert np.array_equal(skmeta.load(tmp_path / "model").predict(population), predicted)
    classifier = WeightSpaceClassifier(metanet=metanet, quasi=quasi, **TINY).fit(population, labels)
    assert classifier.predict_proba(population[:3]).shape == (3, 2)


def test_a_monomial_reader_ignores_scales_and_a_permutation_reader_does_not():
    population, y, _ = reading_zoo(24, DEPTHS)
    rescaled = population.rescaled(0)

    def change(metanet):
        model = WeightSpaceRegressor(metanet=metanet, **TINY).fit(population, y)
        return np.abs(model.predict(rescaled) - model.predict(population)).max()

    assert change("monomial") < 1e-4 < 1e-2 < change("nfn-hnp")


@pytest.mark.parametrize("quasi", [False, True])
@pytest.mark.parametrize("metanet", TRUNKS)
def test_unknown_depths_are_refused_or_read(metanet, quasi):
    population, y, _ = reading_zoo(16, DEPTHS)
    shallow, deep = population[::2], population[1::2]
    model = WeightSpaceRegressor(metanet=metanet, quasi=quasi, **TINY).fit(shallow, y[::2])
    if metanet in ("graph", "neuron", "statistics") and not quasi:
        assert np.isfinite(model.predict(deep)).all()
    else:
        with pytest.raises(ValueError, match="Got dense-dense-dense"):
            model.predict(deep)
