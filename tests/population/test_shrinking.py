"""Smaller networks with the same outputs."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skmeta.networks import Architecture, Record, to_module
from skmeta.population import Population, shrink
from tests.stages import layer

from .cases import ARCHITECTURES, CASES, NAMES, trained_looking
from .networks import N_INPUTS, X32, X, fit, mlp_classifier, mlp_regressor, multilabel

PLAIN = Architecture.mlp((5, 12, 10, 8, 2), activation="sigmoid")


def weights_of(record: Record) -> list[torch.Tensor]:
    """Weights of all stages."""
    return [t for name, t in record.tensors.items() if name.endswith(".weight")]


def masked(architecture: Architecture, seed: int, share: float = 0.5) -> Record:
    """Zero all weights into or out of random neurons, and some random weights."""
    record, generator = trained_looking(architecture, seed), torch.Generator().manual_seed(seed)
    for weight in weights_of(record):
        for axis, size in enumerate(weight.shape):
            mask = torch.rand(size, generator=generator) < share / 2
            weight[mask if axis == 0 else (slice(None), mask)] = 0
        weight[torch.rand(weight.shape, generator=generator) < share / 2] = 0
    return record


def needed(record: Record) -> list[torch.Tensor]:
    """Neurons of a plain network on a path of weights from an input to an output."""
    paths = [(weight != 0).double() for weight in weights_of(record)]
    ahead, behind = [torch.ones(paths[0].shape[1])], [torch.ones(len(paths[-1]))]
    for path in paths:
        ahead.append((path @ ahead[-1].double() > 0).double())
    for path in reversed(paths):
        behind.insert(0, (behind[0].double() @ path > 0).double())
    return [(a * b) > 0 for a, b in zip(ahead, behind, strict=True)]


def outputs(record: Record, rows=X32) -> torch.Tensor:
    with torch.no_grad():
        return to_module(record)(rows)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
@pytest.mark.parametrize("drop_inputs", [False, True])
def test_the_outputs_are_the_same(architecture, drop_inputs):
    records = [masked(architecture, seed) for seed in range(6)]
    shrunk = shrink(Population.from_records(records), drop_inputs=drop_inputs)
    for old, network, kept in zip(records, shrunk.networks, shrunk.kept_inputs, strict=True):
        rows = X32[:, kept] if drop_inputs else X32
        with torch.no_grad():
            torch.testing.assert_close(network(rows), outputs(old), rtol=1e-5, atol=1e-5)
        noise = X32.clone()
        noise[:, np.setdiff1d(np.arange(N_INPUTS), kept)] = 1e3
        torch.testing.assert_close(outputs(old, noise), outputs(old), rtol=1e-5, atol=1e-5)


def test_every_case_with_removable_neurons_shrinks():
    # All their hidden neurons are tied or in a layer normalisation.
    fixed = {
        "linear",
        "layer norm",
        "skips behind the activation",
        "skips before the activation",
        "padded chain",
        "sines",
        "padded skip from the input",
        "everything",
    }
    for name, architecture in CASES:
        records = [masked(architecture, seed) for seed in range(6)]
        sizes = [a.n_parameters for a in shrink(Population.from_records(records))[0].architectures]
        assert (sum(sizes) == 6 * architecture.n_parameters) == (name in fixed), name


@pytest.mark.parametrize("seed", range(12))
def test_what_stays_is_what_lies_on_a_path(seed):
    record = masked(PLAIN, seed, share=0.2 + 0.05 * seed)
    live = needed(record)
    (network,), (kept,) = shrink(Population.from_records([record]))
    widths = [max(1, int(x.sum())) for x in live]
    assert network.architecture.widths == (5, *widths[1:-1], 2)
    assert len(kept) == widths[0] and (not live[0].any() or live[0][kept].all())


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_nothing_dead_nothing_changed(architecture):
    record = trained_looking(architecture)
    shrunk = shrink(Population.from_records([record]), drop_inputs=True)
    (after,) = shrunk.networks.records()
    assert after.architecture == architecture
    assert shrunk.kept_inputs[0].tolist() == list(range(5))
    for slot, tensor in record.tensors.items():
        assert torch.equal(tensor, after.tensors[slot]), slot


def test_a_network_that_uses_nothing_keeps_one_of_each():
    record = trained_looking(PLAIN)
    record.tensors["1.weight"][:] = 0
    (network,), (kept,) = shrink(Population.from_records([record]), drop_inputs=True)
    assert network.architecture.widths == (1, 1, 1, 1, 2) and kept.tolist() == [0]
    with torch.no_grad():
        torch.testing.assert_close(network(X32[:, kept]), outputs(record))
    again = shrink([network])
    assert again.networks[0].architecture == network.architecture


def test_tied_and_normalised_neurons_stay():
    layers = [layer(6, "relu"), layer(9, "relu", skips=(1,)), layer(7, "gelu", "layer"), layer(2)]
    record = trained_looking(Architecture(5, layers))
    for weight in weights_of(record)[1:]:
        weight[:] = 0
    (network,), _ = shrink(Population.from_records([record]))
    # State 2 is tied to state 1 at its first six neurons only.
    assert network.architecture.widths == (5, 6, 6, 7, 2)
    with torch.no_grad():
        torch.testing.assert_close(network(X32), outputs(record))


def test_a_constant_gives_a_layer_without_bias_one():
    record = trained_looking(Architecture(5, [layer(4, "tanh"), layer(2, bias=False)]))
    record.tensors["0.weight"][1] = 0
    (network,), _ = shrink(Population.from_records([record]))
    assert network.architecture.stages[1].mix.bias and network.architecture.widths == (5, 3, 2)
    with torch.no_grad():
        torch.testing.assert_close(network(X32), outputs(record))


def prune(estimator):
    estimator.coefs_[0][[1, 3]] = 0  # two inputs,
    estimator.coefs_[0][:, 2] = 0  # a constant neuron,
    estimator.coefs_[1][[0, 5]] = 0  # and two that nothing depends on
    return estimator


@pytest.mark.parametrize(
    "make",
    [
        mlp_classifier,
        lambda: mlp_classifier(3, activation="tanh", early_stopping=True),
        lambda: mlp_classifier(activation="logistic"),
        multilabel,
        mlp_regressor,
    ],
)
def test_estimators_stay_estimators(make):
    estimator = prune(make())
    weights = [coef.copy() for coef in estimator.coefs_]
    (smaller,), (kept,) = shrink([estimator], drop_inputs=True)
    assert type(smaller) is type(estimator) and kept.tolist() == [0, 2, 4]
    assert smaller.hidden_layer_sizes == (5, *map(len, estimator.intercepts_[1:-1]))
    assert smaller.n_features_in_ == 3
    predict = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    expected = getattr(estimator, predict)(X)
    np.testing.assert_allclose(getattr(smaller, predict)(X[:, kept]), expected, atol=1e-6)
    if predict == "predict_proba":
        assert np.array_equal(smaller.predict(X[:, kept]), estimator.predict(X))
    assert all(map(np.array_equal, weights, estimator.coefs_))  # the one that came is untouched
    if not estimator.early_stopping:  # that scikit-learn cannot continue
        smaller.partial_fit(X[:, kept], estimator.predict(X))
    fit(smaller.set_params(max_iter=2), estimator.predict(X), X[:, kept])


def test_names_of_columns_are_kept():
    frame = pd.DataFrame(X, columns=list("abcde"))
    estimator = prune(mlp_classifier(X=frame))
    (smaller,), _ = shrink([estimator], drop_inputs=True)
    assert smaller.feature_names_in_.tolist() == ["a", "c", "e"]
    probabilities = smaller.predict_proba(frame[["a", "c", "e"]])
    np.testing.assert_allclose(probabilities, estimator.predict_proba(frame), atol=1e-6)


def test_kinds_and_metadata():
    big, small = nn.Linear(5, 2), nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        small[2].weight[:, 3:] = 0
    population = Population(
        [big, small, mlp_classifier()], metadata=pd.DataFrame({"run": [2, 1, 0]})
    )
    shrunk = shrink(population).networks
    kinds = [type(network).__name__ for network in shrunk]
    assert kinds == ["Linear", "MLP", "MLPClassifier"] and shrunk.metadata.run.tolist() == [2, 1, 0]
    torch.testing.assert_close(shrunk[1:2].forward(X32), population[1:2].forward(X32))
    assert isinstance(shrink(list(population)).networks, list)
