"""Learned optimizers in skorch: alone, in searches, from files, in other processes."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, LRScheduler, TrainEndCheckpoint
from torch import nn

from skmeta.optimizing import AttachModule, Optimizer, OptimizerFactory, Training

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(120, 4, generator=GENERATOR).numpy()
y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


class Network(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 2))
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))

    def forward(self, x):
        return self.layers(x)


def factory(rule="kfac"):
    return OptimizerFactory(Optimizer.start(rule, Training(100, 32)))


def net(**options):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": factory(),
        "lr": 1.0,
        "max_epochs": 6,
        "batch_size": 24,
        "train_split": None,
        "verbose": 0,
        "callbacks": [AttachModule()],
        "iterator_train__shuffle": False,
    }
    return NeuralNetClassifier(Network, **defaults | options)


@pytest.mark.parametrize("rule", ["sgdm", "adam", "muon", "kfac"])
def test_it_trains_over_as_many_steps_as_there_are(rule):
    fitted = net(optimizer=factory(rule), max_epochs=40).fit(X, y)
    assert fitted.optimizer_.n_steps == 40 * 5
    assert fitted.history[-1]["train_loss"] < 0.8 * fitted.history[0]["train_loss"]
    assert fitted.score(X, y) > 0.7
    learned = fitted.optimizer_.state_dict()["learned"]
    assert learned["n_steps"] == 200
    parameters = torch.cat([p.detach().flatten() for p in fitted.module_.parameters()])
    assert torch.equal(parameters[None], learned["average"])


def test_a_length_of_ones_own_is_kept():
    assert net(optimizer__n_steps=77).fit(X, y).optimizer_.n_steps == 77


def test_training_in_parts_is_training_at_once():
    whole = net(max_epochs=6).fit(X, y)
    parts = net(max_epochs=3, optimizer__n_steps=30)
    parts.fit(X, y).partial_fit(X, y)
    for ours, theirs in zip(parts.module_.parameters(), whole.module_.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_pickle_goes_on_to_the_same_bits():
    first = net(max_epochs=3, optimizer__n_steps=30).fit(X, y)
    again = pickle.loads(pickle.dumps(first))
    assert np.array_equal(again.predict_proba(X), first.predict_proba(X))
    again.partial_fit(X, y)
    first.partial_fit(X, y)
    assert np.array_equal(again.predict_proba(X), first.predict_proba(X))


def test_it_predicts_the_same_in_another_process(tmp_path):
    fitted = net().fit(X, y)
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "X.npy", X)
    program = (
        "import pickle, sys, numpy as np; from pathlib import Path; folder = Path(sys.argv[1]); "
        "net = pickle.loads((folder / 'net.pkl').read_bytes()); "
        "np.save(folder / 'out.npy', net.predict_proba(np.load(folder / 'X.npy')))"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
    assert np.array_equal(np.load(tmp_path / "out.npy"), fitted.predict_proba(X))


def test_a_grid_over_rules_does_not_depend_on_processes():
    grid = {"optimizer": [factory("adam"), factory("kfac")], "lr": [0.1, 1.0]}
    scores = [
        GridSearchCV(net(), grid, cv=2, scoring="neg_log_loss", n_jobs=n)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n in (1, 2)
    ]
    assert np.array_equal(*scores) and len(set(scores[0])) == 4
    assert clone(net()).optimizer == factory()


def test_checkpoints_hold_the_average_and_go_on(tmp_path):
    saved = Checkpoint(dirname=tmp_path / "best", monitor=None, load_best=False)
    last = TrainEndCheckpoint(dirname=tmp_path / "last")
    first = net(max_epochs=3, optimizer__n_steps=30, callbacks=[AttachModule(), saved, last])
    first.fit(X, y)
    probabilities = first.predict_proba(X)
    second = net(max_epochs=3, optimizer__n_steps=30).initialize()
    second.load_params(checkpoint=saved)
    assert np.array_equal(second.predict_proba(X), probabilities)
    second.partial_fit(X, y)
    first.partial_fit(X, y)
    assert np.array_equal(second.predict_proba(X), first.predict_proba(X))


def test_learning_rates_of_a_scheduler_multiply():
    scheduler = LRScheduler("LambdaLR", lr_lambda=lambda epoch: 0.0)
    fitted = net(callbacks=[AttachModule(), scheduler]).fit(X, y)
    for ours, start in zip(fitted.module_.parameters(), Network().parameters(), strict=True):
        assert torch.equal(ours, start)


@pytest.mark.parametrize(
    "options, error, match",
    [
        ({"callbacks": []}, RuntimeError, r"give skorch the callback AttachModule\(\)"),
        ({"optimizer": torch.optim.Adam}, TypeError, "makes a Adam"),
        ({"lr": 0.01}, ValueError, "Pass lr=1.0 to the net"),
    ],
)
def test_what_is_missing_is_said(options, error, match):
    with pytest.raises(error, match=match):
        net(**options).fit(X, y)


def test_a_small_learning_rate_that_is_meant_is_taken():
    assert net(optimizer__lr=0.01).fit(X, y).optimizer_.param_groups[0]["lr"] == 0.01
