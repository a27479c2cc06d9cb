"""Populations are immutable: what came in is copied, once, and equal ones are equal bytes."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import Population, make_zoo
from skmeta.baselines import Prune, Swap
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.population import to_rows

X = np.random.default_rng(0).normal(size=(200, 4))
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
X32 = X.astype(np.float32)


@pytest.fixture(scope="module")
def zoo():
    bunch = make_biased_classification(600, random_state=0)
    train, _, _ = split_tasks(bunch, "group", random_state=0)
    return make_zoo(train, 6, epochs=2, n_checkpoints=2, progress=False, random_state=0)


def kept_and_handed_out(population):
    """The probabilities of what a population holds, hands out and pickles."""
    handed = Population(population.to_networks())
    pickled = pickle.loads(pickle.dumps(population))
    return [p.predict_proba(X) for p in (population, handed, pickled)]


def check_unchanged(populations, tmp_path):
    population = Population.concatenate(populations)
    probabilities = population.predict_proba(X)
    assert np.abs(probabilities[0] - probabilities[-1]).max() > 1e-3  # it did train
    for other in kept_and_handed_out(population):
        np.testing.assert_array_equal(other, probabilities)
    population.save(tmp_path / "networks.safetensors")
    loaded = Population.load(tmp_path / "networks.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), probabilities)


def test_population_keeps_what_an_mlp_was_when_its_source_trains_on(tmp_path):
    network = MLPClassifier((8,), learning_rate_init=0.02, random_state=0)
    epochs = [Population([network.partial_fit(X, Y, classes=[0, 1])]) for _ in range(3)]
    check_unchanged(epochs, tmp_path)


def test_population_keeps_what_a_skorch_net_was_when_it_trains_on(tmp_path):
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    net = NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        lr=0.5,
        optimizer=torch.optim.Adam,
        optimizer__lr=0.02,
        verbose=0,
        max_epochs=1,
        train_split=None,
    )
    epochs = [Population([net.partial_fit(X32, Y)]) for _ in range(3)]
    check_unchanged(epochs, tmp_path)
    back = epochs[0].to_networks()[0]
    assert back.optimizer_.param_groups[0]["params"][0] is back.module_[0].weight
    before = back.module_[0].weight.detach().clone()
    back.partial_fit(X32, Y)  # it trains on by itself
    assert not torch.equal(before, back.module_[0].weight)


def test_state_dicts_loaded_into_one_module_stay_apart(tmp_path):
    skeleton = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).eval()
    populations = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        state = {
            name: torch.rand(value.shape, generator=generator).to(value.dtype)
            for name, value in skeleton.state_dict().items()
        }
        skeleton.load_state_dict(state)
        populations.append(Population([skeleton]))
    check_unchanged(populations, tmp_path)
    found = Population.concatenate(populations).to_networks()
    assert found[0][1].running_var.tolist() != found[1][1].running_var.tolist()


def test_weights_changed_in_place_do_not_reach_the_population():
    module = nn.Sequential(nn.Linear(4, 2)).double()
    network = MLPClassifier((3,), max_iter=2, random_state=0)
    network.partial_fit(X, Y, classes=[0, 1])
    population = Population([module, network])
    before = kept_and_handed_out(population)
    with torch.no_grad():
        module[0].weight.add_(1)
    network.coefs_[0] += 1
    network.classes_ = np.array(["a", "b"])
    for old, new in zip(before, kept_and_handed_out(population), strict=True):
        np.testing.assert_array_equal(old, new)
    assert population.classes[1].tolist() == [0, 1]


def test_networks_handed_out_are_not_those_inside():
    population = Population([nn.Sequential(nn.Linear(4, 2)).double()] * 2)
    expected = population.predict_proba(X)
    for network in population.to_networks():
        nn.init.zeros_(network[0].weight)
    assert all(np.array_equal(p, expected) for p in kept_and_handed_out(population))
    first, second = population
    assert first[0].weight is not second[0].weight


def test_metadata_of_a_population_cannot_be_changed_from_outside(zoo):
    table = zoo.metadata
    table.loc[0, "epoch"] = 99
    del table["run"]
    assert "run" in zoo.metadata and zoo.metadata["epoch"].max() < 99


def test_population_of_a_zoo_holds_every_weight_once(zoo):
    n_bytes = 4 * sum(architecture.n_parameters for architecture in zoo.architectures)
    for population in (zoo, Population(list(zoo)), Population.concatenate([zoo[:3], zoo[3:]])):
        assert len(pickle.dumps(population)) < 1.15 * n_bytes + 20_000
        assert len(pickle.dumps(population[:2])) < len(pickle.dumps(population)) / 3


def test_networks_that_differ_in_weights_share_one_skeleton():
    modules = [nn.Sequential(nn.Linear(50, 40), nn.ReLU(), nn.Linear(40, 2)) for _ in range(20)]
    population = Population(modules)
    n_bytes = 4 * sum(architecture.n_parameters for architecture in population.architectures)
    assert len(pickle.dumps(population)) < 1.1 * n_bytes + 5_000
    assert len({id(source.skeleton) for source in population._sources}) == 1


def test_equal_populations_hash_alike(zoo, tmp_path):
    modules = [nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)) for _ in "abc"]
    networks = [
        MLPClassifier((3,), max_iter=2, random_state=i).partial_fit(X, Y, classes=[0, 1])
        for i in range(3)
    ]
    zoo.save(tmp_path / "zoo.safetensors")
    for population, others in (
        (zoo, [Population.load(tmp_path / "zoo.safetensors")]),
        (Population(modules), [Population(modules)]),
        (Population(networks), [Population(networks)]),
    ):
        expected = joblib.hash(population)
        again = pickle.loads(pickle.dumps(population))
        rejoined = Population.concatenate([population[:2], population[2:]])
        for other in (population, again, population[:], *others):
            assert joblib.hash(other) == expected
        for other in (population, population[:], *others):
            assert pickle.dumps(other) == pickle.dumps(population)
        if population is zoo:
            assert joblib.hash(rejoined) == expected
        assert joblib.hash(population[::-1]) != expected


def test_joblib_memory_hits_on_a_population(zoo, tmp_path):
    calls = []

    def count(population):
        calls.append(len(population))
        return len(population)

    cached = joblib.Memory(tmp_path, verbose=0).cache(count)
    assert [cached(zoo), cached(zoo), cached(pickle.loads(pickle.dumps(zoo)))] == [len(zoo)] * 3
    assert calls == [len(zoo)]


def test_networks_handed_out_keep_the_order_of_their_arrays():
    network = MLPClassifier((3,), max_iter=2).partial_fit(X, Y, classes=[0, 1])
    population = Population([network])
    blocks = [(p, s.with_weights(s.weights.map(lambda t: t * 2))) for p, s in population.blocks]
    for edited in (population, population.with_blocks(blocks)):
        assert all(coef.flags.c_contiguous for coef in edited.to_networks()[0].coefs_)


def test_rows_with_nan_are_refused_and_not_counted_as_the_first_class():
    network = MLPClassifier((3,), max_iter=2).partial_fit(X, Y, classes=[0, 1])
    population = Population([network])
    for value in (np.nan, np.inf, 1e300):
        rows = X.copy()
        rows[7, 2] = value
        for run in (population.forward, population.predict_proba, lambda r: population.score(r, Y)):
            with pytest.raises(ValueError, match="X must be finite .* in row 7, column 2. Fill in"):
                run(rows)


def test_a_diverged_network_is_wrong_and_not_of_the_first_class():
    records = Population([nn.Linear(4, 2)]).records()
    records[0].tensors["0.weight"].fill_(torch.nan)
    diverged = Population.from_records(records)
    assert diverged.score(X, np.zeros(len(X), dtype=int)).tolist() == [0.0]


@pytest.mark.parametrize("fitted, scored", [([1, 2], [0, 1]), ([5, 6], [0, 1])])
def test_labels_that_the_network_does_not_know_are_not_reread_as_codes(fitted, scored):
    y = np.resize(fitted, len(X))
    population = Population([MLPClassifier((3,), max_iter=1).partial_fit(X, y, classes=fitted)])
    with pytest.raises(ValueError, match=r"must hold the labels .*Got .*\[0"):
        population.score(X, np.resize(scored, len(X)))


def test_labels_that_mean_different_outputs_for_two_networks_are_refused():
    networks = [
        MLPClassifier((3,), max_iter=1).partial_fit(X, 1 + Y, classes=[1, 2]),
        MLPClassifier((3,), max_iter=1).partial_fit(X, Y, classes=[0, 1]),
    ]
    with pytest.raises(ValueError, match="must mean the same for all networks"):
        Population(networks).score(X, np.ones(len(X), dtype=int))


def test_a_population_in_bfloat16_still_gives_arrays(zoo):
    rows = np.random.default_rng(0).normal(size=(5, zoo.architectures[0].n_inputs))
    probabilities = zoo.to(dtype=torch.bfloat16).predict_proba(rows)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, zoo.predict_proba(rows), atol=0.1)
    assert pickle.loads(pickle.dumps(zoo.to(dtype=torch.bfloat16))).dtype == torch.bfloat16


def test_a_population_in_bfloat16_reaches_rows_and_rivals(zoo):
    bunch = make_biased_classification(600, random_state=0)
    _, reference, _ = split_tasks(bunch, "group", random_state=0)
    half = zoo.to(dtype=torch.bfloat16)
    assert to_rows(half[:1]).dtype == np.float32
    assert len(Swap(random_state=0).fit(half, task=reference).objective_) == len(zoo)
    assert len(Prune().fit(half, task=reference).transform(half)) == len(zoo)


def test_labels_of_pipelines_and_classes_of_ones_own_are_kept_in_files(tmp_path):
    class Own(MLPClassifier):
        pass

    y = np.array(["a", "b", "c"])[np.arange(len(X)) % 3]
    numbers = np.array([1, 2, 3])[np.arange(len(X)) % 3]
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((3,), random_state=0, tol=0.1))
    for network, labels in ((pipeline, y), (Own((3,), random_state=0, tol=0.1), numbers)):
        population = Population([network.fit(X, labels)])
        population.save(tmp_path / "one")
        loaded = Population.load(tmp_path / "one")
        assert loaded.classes[0].tolist() == population.classes[0].tolist()
        assert loaded.score(X, labels) == population.score(X, labels)
        loaded.save(tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        assert joblib.hash(loaded) == joblib.hash(pickle.loads(pickle.dumps(loaded)))
    few = numbers < 3
    assert loaded.score(X[few], numbers[few]) == population.score(X[few], numbers[few])


@pytest.mark.parametrize("came", ["dates", "durations", "complex numbers"])
def test_dates_and_complex_numbers_are_no_rows(came):
    population = Population([nn.Linear(2, 2)])
    dates = pd.DataFrame({"a": pd.to_datetime(["2026-01-01", "2026-01-02"])}).assign(b=1.0)
    rows = {
        "dates": [dates, dates[["a", "a"]].to_numpy()],
        "durations": [dates.assign(a=dates["a"] - dates["a"][0])],
        "complex numbers": [np.ones((2, 2)) * 1j, torch.ones(2, 2) * 1j],
    }
    for X in rows[came]:
        with pytest.raises(ValueError, match=f"X must hold real numbers. Got {came}"):
            population.predict_proba(X)


@pytest.mark.parametrize(
    "options", [{"device": "gpu"}, {"dtype": "float64"}, {"dtype": torch.int8}]
)
def test_a_place_or_type_that_there_is_not_is_refused_by_name(zoo, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Population.to must be a"):
        zoo.to(**options)
    with pytest.raises(TypeError, match="'architecture' parameter of Population.initialize"):
        Population.initialize(3)
