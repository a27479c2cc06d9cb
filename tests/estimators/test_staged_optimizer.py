"""Optimizers with a learned perceptron, and those that come with the package."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import skmeta
from skmeta import GradientMetaOptimizer, Population, Task
from skmeta.files import FileError
from skmeta.networks import Architecture
from skmeta.optimizing import MetaTraining, Optimizer, Residual, Training
from skmeta.optimizing.residual import perceptron
from skmeta.population import to_rows

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 4))
TASK = Task(X, (X[:, 0] * X[:, 1] > 0).astype(int))
NETWORKS = Population.initialize(Architecture.mlp((4, 6, 2)), 8, random_state=0)
FAST = {
    "meta_algorithm": "staged",
    "horizon": 20,
    "batch_size": 32,
    "n_meta_steps": 1,
    "n_candidates": 3,
    "n_parallel": 2,
    "truncation": 5,
    "n_unrolls": 10,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted():
    return GradientMetaOptimizer("sgdm", **FAST).fit(NETWORKS, task=TASK)


@pytest.fixture
def with_perceptron(fitted):
    """One whose perceptron was kept, whatever the few trainings found."""
    model = pickle.loads(pickle.dumps(fitted))
    size = perceptron(gradient_features=True).n_numbers
    numbers = torch.randn(size, generator=torch.Generator().manual_seed(0)) / 3
    residual = Residual(tuple(numbers.double().tolist()), True)
    old = model.optimizer_
    model.optimizer_ = Optimizer(old.rule, old.numbers, old.training, residual)
    return model


def test_looks_say_what_the_perceptron_brings(fitted):
    (look,) = fitted.looks_.to_dict("records")
    assert look["n_unrolls"] == 10
    kept = fitted.optimizer_.residual is not None
    assert kept == (look["with"] < look["without"])
    again = GradientMetaOptimizer("sgdm", **FAST).fit(NETWORKS, task=TASK)
    assert again.optimizer_ == fitted.optimizer_


def test_the_perceptron_changes_what_is_trained_and_goes_through_files(
    with_perceptron, fitted, tmp_path
):
    rows = to_rows(with_perceptron.transform(NETWORKS))
    plain = GradientMetaOptimizer("sgdm", **FAST | {"meta_algorithm": "cem"})
    assert not np.array_equal(rows, to_rows(plain.fit(NETWORKS, task=TASK).transform(NETWORKS)))
    with_perceptron.save(tmp_path / "optimizer")
    loaded = skmeta.load(tmp_path / "optimizer")
    assert loaded.optimizer_ == with_perceptron.optimizer_ and loaded.looks_ is None
    assert np.array_equal(to_rows(loaded.transform(NETWORKS, task=TASK)), rows)


def test_a_file_with_another_perceptron_is_refused(with_perceptron, tmp_path):
    with_perceptron.gradient_features = False
    with_perceptron._params_of_fit["gradient_features"] = False
    with pytest.raises(ValueError, match="the perceptron has another size"):
        with_perceptron.save(tmp_path / "optimizer")


def test_a_module_is_trained_with_the_perceptron(with_perceptron):
    x, y, _ = TASK.tensors()
    losses = []
    for model in (with_perceptron, GradientMetaOptimizer.from_pretrained()):
        network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for p in network.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / 2)
        optimizer = model.to_optimizer()(network, n_steps=20)
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        state = optimizer.state_dict()
        optimizer.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert losses[0] != losses[1] and np.isfinite(losses).all()


def test_meta_training_goes_on_where_it_was_interrupted(tmp_path, monkeypatch, fitted):
    unroll, calls = MetaTraining._unroll, []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return unroll(self, *args)

    monkeypatch.setattr(MetaTraining, "_unroll", interrupted)
    model = GradientMetaOptimizer("sgdm", cache_dir=tmp_path, **FAST)
    with pytest.raises(KeyboardInterrupt):
        model.fit(NETWORKS, task=TASK)
    model.fit(NETWORKS, task=TASK)
    assert len(calls) == 7 + 4
    assert model.optimizer_ == fitted.optimizer_
    assert model.looks_.equals(fitted.looks_)


def test_the_one_of_the_package_trains_what_it_has_never_seen():
    model = GradientMetaOptimizer.from_pretrained("tabular-mlp")
    assert model.task_ is None and model.rule == "kfac"
    trained = model.transform(NETWORKS, task=TASK)
    assert (trained.score(TASK.X, TASK.y) > NETWORKS.score(TASK.X, TASK.y)).all()
    slow = Optimizer("adam", {"lr": 1e-3, "decay": 0.0, "window": 1e-6, "weight_decay": 0.0},
                     Training(model.horizon, model.batch_size))  # fmt: skip
    adam = slow.train(NETWORKS, TASK, seeds=range(8)).curves
    mine = model.optimizer_.train(NETWORKS, TASK, seeds=range(8)).curves
    assert mine.mean() < 0.5 * adam.mean()


def test_a_damaged_file_of_the_package_is_refused(tmp_path, monkeypatch):
    from skmeta.estimators import gradient_meta_optimizer as module

    whole = module.PRETRAINED["tabular-mlp"].read_bytes()
    broken = tmp_path / "broken"
    broken.write_bytes(whole.replace(b"decay", b"Decay", 1))
    monkeypatch.setitem(module.PRETRAINED, "tabular-mlp", broken)
    with pytest.raises(FileError):
        GradientMetaOptimizer.from_pretrained("tabular-mlp")


@pytest.mark.parametrize(
    "call, error, match",
    [
        (
            lambda: GradientMetaOptimizer(meta_algorithm="stagd").fit(NETWORKS, task=TASK),
            ValueError,
            "Did you mean 'staged'",
        ),
        (
            lambda: GradientMetaOptimizer(gradient_features="yes").fit(NETWORKS, task=TASK),
            TypeError,
            "'gradient_features' parameter",
        ),
        (
            lambda: GradientMetaOptimizer(truncation=0).fit(NETWORKS, task=TASK),
            ValueError,
            "'truncation' parameter",
        ),
        (
            lambda: GradientMetaOptimizer.from_pretrained("tabular"),
            ValueError,
            "must be one of 'tabular-mlp'",
        ),
    ],
)
def test_wrong_parameters_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()
