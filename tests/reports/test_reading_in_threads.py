"""Networks are read in many threads as in one, and torch stays as it was."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skmeta import Population

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


@pytest.fixture
def eager_threads():
    """Let threads take turns often, so that what they share is seen half changed."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_modules_are_read_in_threads_while_others_run(eager_threads):
    call, getattribute = nn.Module.__call__, nn.Module.__getattr__
    modules = [
        nn.Sequential(nn.Linear(4, 3 + i % 9), nn.ReLU(), nn.Linear(3 + i % 9, 2)).eval()
        for i in range(60)
    ]
    expected = [module(torch.from_numpy(X)).detach() for module in modules]
    done, failed = threading.Event(), []

    def train_on():
        other = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        while not done.is_set():
            try:
                other(torch.from_numpy(X)).sum().backward()
            except Exception as error:
                failed.append(error)
                return

    thread = threading.Thread(target=train_on)
    thread.start()
    with ThreadPoolExecutor(4) as executor:
        populations = list(executor.map(lambda module: Population([module]), modules))
    done.set()
    thread.join()
    assert not failed
    for population, outputs in zip(populations, expected, strict=True):
        assert torch.allclose(population.forward(X)[0], outputs, atol=1e-5)
    assert (nn.Module.__call__, nn.Module.__getattr__) == (call, getattribute)


def test_one_net_is_read_in_threads(eager_threads):
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)),
        criterion=nn.CrossEntropyLoss,
    ).initialize()
    expected = net.predict_proba(X)
    with ThreadPoolExecutor(4) as executor:
        populations = list(executor.map(lambda _: Population([net]), range(12)))
    for population in populations:
        np.testing.assert_allclose(population.predict_proba(X)[0], expected, atol=1e-6)
