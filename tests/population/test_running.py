"""Running populations: in pieces, on all that holds numbers, against labels."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta.networks import Architecture
from skmeta.population import Population, forward, run_stack

from .cases import mixed_population

X = np.random.default_rng(0).normal(size=(40, 5))
CODES = (X[:, 0] > 0).astype(int)
LABELS = np.array(["a", "b"])[CODES]


@pytest.fixture(scope="module")
def classifiers():
    return [MLPClassifier((4,), tol=0.1, random_state=i).fit(X, LABELS) for i in range(2)]


def test_pieces_change_nothing(monkeypatch):
    population = mixed_population().to(dtype=torch.float64)
    expected = population.forward(X)
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", 500)
    with torch.no_grad():
        torch.testing.assert_close(population.forward(X), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(population.predict_proba(X), expected.softmax(-1), atol=1e-12)
    _, stack = population.blocks[0]
    own = torch.randn(len(stack), 40, 5, dtype=torch.float64)
    torch.testing.assert_close(run_stack(stack, own), forward(stack, own), rtol=0, atol=1e-12)


def test_many_rows_stay_small(monkeypatch):
    rows = []

    def noted(stack, X):
        rows.append(len(X))
        return forward(stack, X)

    monkeypatch.setattr("skmeta.population.running.forward", noted)
    population = Population.initialize(Architecture.mlp((5, 64, 2)), 100, random_state=0)
    population.score(np.zeros((6000, 5)), np.zeros(6000, dtype=int))
    assert sum(rows) == 6000 and max(rows) * 100 * 64 <= 2**21


def test_states_are_dropped_unless_a_skip_needs_them():
    (_, stack), *_ = Population.initialize(Architecture.mlp((5, 8, 8, 2)), 1).blocks
    assert stack.skip_sources == frozenset()
    sources = {s for a in mixed_population().architectures for x in a.stages for s in x.skips}
    found = {s for _, stack in mixed_population().blocks for s in stack.skip_sources}
    assert found == sources != set()


def test_rows_are_converted():
    population = Population.initialize(Architecture.mlp((5, 8, 2)), 2, random_state=0)
    expected = population.forward(torch.from_numpy(X).float())
    for rows in (X, X.tolist(), pd.DataFrame(X), torch.from_numpy(X)):
        torch.testing.assert_close(population.forward(rows), expected)
    with pytest.raises(ValueError, match="X must hold numbers: .* Encode it"):
        population.forward(np.full((3, 5), "a"))


def test_scores_take_labels_and_codes(classifiers):
    population = Population(classifiers)
    expected = [classifier.score(X, LABELS) for classifier in classifiers]
    for y in (LABELS, CODES, CODES.astype(float), CODES.astype(bool), LABELS.tolist()):
        np.testing.assert_allclose(population.score(X, y), expected)
    mixed = Population([*classifiers, nn.Linear(5, 2)])
    np.testing.assert_allclose(mixed.score(X, CODES)[:2], expected)
    swapped = [MLPClassifier((4,), tol=0.1, random_state=0).fit(X, 1 + CODES)]
    assert Population(swapped).score(X, 1 + CODES) == swapped[0].score(X, 1 + CODES)
    with pytest.raises(
        ValueError, match=r"must hold the labels \[1, 2\]. Got \[0\] among \[0, 1\]"
    ):
        Population(swapped).score(X, CODES)


@pytest.mark.parametrize(
    "y, came",
    [(np.char.upper(LABELS), "['A', 'B']"), (CODES.astype(str), "['0', '1']"), (CODES * 2, "[2]")],
)
def test_unknown_labels_are_refused(classifiers, y, came):
    came = re.escape(came)
    message = rf"must hold the labels \['a', 'b'\] or the codes \[0, 1\]. Got {came}"
    with pytest.raises(ValueError, match=message):
        Population(classifiers).score(X, y)
    with pytest.raises(ValueError, match=rf"must hold the codes \[0, 1\]. Got {came}"):
        Population([nn.Linear(5, 2)]).score(X, y)


def test_other_kinds_are_refused():
    multilabel = nn.Sequential(nn.Linear(5, 2), nn.Sigmoid())
    with pytest.raises(ValueError, match="score needs .* one label per row. Got multilabel"):
        Population([multilabel]).score(X, CODES)
    with pytest.raises(ValueError, match="predict_proba needs networks of one kind"):
        Population([multilabel, nn.Linear(5, 2)]).predict_proba(X)
    with pytest.raises(ValueError, match="score needs .* Got regressors"):
        Population([nn.Linear(5, 1)]).score(X, CODES)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda p: p.to(dtype=torch.int64), ValueError, "must be a floating type.*torch.int64"),
        (lambda p: Population(p, metadata={"a": [1]}), TypeError, r"Got dict. Pass pd.DataFrame\("),
        (lambda p: p[None], IndexError, "A Population has one axis"),
        (lambda p: p[[[0, 1]]], IndexError, "A Population has one axis"),
        (lambda p: Population.concatenate([]), TypeError, "one or more Populations. Got none"),
        (lambda p: Population.concatenate([p, [p[0]]]), TypeError, "Got list. Make one"),
        (lambda p: Population.initialize((3, 4, 2), 2), TypeError, r"Architecture.mlp\(\(3, 4, 2"),
        (lambda p: Population.initialize(p.architectures[0], -1), ValueError, "'n' parameter"),
    ],
)
def test_plausible_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call(Population([nn.Linear(5, 2)] * 2))
