"""What a Population refuses, and the words it uses."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn
from torch.nn.utils import parametrizations, prune

from skmeta.networks import UnsupportedNetworkError
from skmeta.population import Population

from . import networks as make


class Forward(nn.Module):
    """Two linear layers and any forward."""

    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.narrow, self.scale = nn.Linear(5, 1), nn.Parameter(torch.ones(5))
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def mlp(*between):
    return nn.Sequential(nn.Linear(5, 4), *between, nn.Linear(4, 2))


def tied():
    module = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    module[2].weight = module[0].weight
    return module


def reused():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer)


def pruned():
    module = mlp()
    prune.random_unstructured(module[0], "weight", amount=0.5)
    return module


def plain_tensor():
    module = mlp()
    weight = module[0].weight.detach()
    del module[0].weight
    module[0].register_buffer("weight", weight)
    return module


relu = torch.relu

UNSUPPORTED = {
    "conv": (mlp(nn.Conv1d(1, 1, 1)), "Conv1d at '1' is not a supported module"),
    "inside": (nn.Sequential(nn.Sequential(nn.Linear(5, 4), nn.Mish())), "Mish at '0.1' is not a"),
    "slope": (mlp(nn.LeakyReLU(0.2)), "LeakyReLU at '1' has negative_slope=0.2; only"),
    "gelu": (mlp(nn.GELU("tanh")), "GELU at '1' has approximate='tanh'; only approximate='none'"),
    "elu": (mlp(nn.ELU(0.5)), "ELU at '1' has alpha=0.5"),
    "softplus": (mlp(nn.Softplus(2)), "Softplus at '1' has beta=2"),
    "function": (
        Forward(lambda m, x: m.c(nn.functional.leaky_relu(m.a(x), 0.3))),
        "leaky_relu in the forward of the network has negative_slope=0.3",
    ),
    "two norms": (
        mlp(nn.LayerNorm(4), nn.BatchNorm1d(4)),
        "Linear at '0' is followed by norm -> norm, which is not one layer",
    ),
    "two activations": (mlp(nn.ReLU(), nn.Tanh()), "followed by activation -> activation"),
    "softmax inside": (mlp(nn.Softmax(-1)), "Linear at '0' is followed by softmax"),
    "softmax over samples": (mlp(nn.Softmax(0)), "does not act on the last axis"),
    "norm first": (
        nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 2)),
        "BatchNorm1d at '0' stands before the first Linear",
    ),
    "activation first": (nn.Sequential(nn.ReLU(), nn.Linear(5, 2)), "stands before the first"),
    "no statistics": (
        mlp(nn.BatchNorm1d(4, track_running_stats=False)),
        "BatchNorm1d at '1' keeps no running statistics",
    ),
    "no shift": (mlp(nn.LayerNorm(4, bias=False)), "has only one of a scale and a shift"),
    "norm of samples": (mlp(nn.LayerNorm([3, 4])), "LayerNorm at '1' does not normalise 4 neurons"),
    "broadcast": (
        Forward(lambda m, x: m.c(m.a(x) + m.narrow(x))),
        "does not take the output of the layer before it",
    ),
    "narrow skip": (
        Forward(lambda m, x: (lambda h: m.narrow(h) + h)(relu(m.a(x)))),
        "add in the forward of the network broadcasts an addition of widths 5 and 1",
    ),
    "inner skip": (
        Forward(lambda m, x: (lambda z: m.c(m.b(relu(z)) + z))(m.a(x))),
        "adds a value from inside a layer",
    ),
    "double skip": (
        Forward(lambda m, x: m.c(m.a(x) + x + x)),
        "adds the same state twice",
    ),
    "own skip": (
        Forward(lambda m, x: (lambda z: m.c(z + relu(z)))(m.a(x))),
        "adds two values of one layer",
    ),
    "scaled skip": (Forward(lambda m, x: m.c(torch.add(m.a(x), x, alpha=2))), "plain addition"),
    "constant": (Forward(lambda m, x: m.c(m.a(x) + 1)), "takes something else than the output"),
    "parameter": (Forward(lambda m, x: m.c(m.a(x) + m.scale)), "takes something else than"),
    "product": (Forward(lambda m, x: m.c(m.a(x) * x)), "mul in the forward of the network is not"),
    "skip behind norm": (
        Forward(lambda m, x: m.c(relu(torch.tanh(m.a(x)) + x))),
        "followed by activation -> skip -> activation",
    ),
    "data dependent": (
        Forward(lambda m, x: m.c(x) if x.sum() > 0 else m.a(x)),
        "cannot be traced, perhaps because its forward depends on the data",
    ),
    "two outputs": (
        Forward(lambda m, x: (lambda h: (m.c(h), h))(m.a(x))),
        "returns more than one tensor",
    ),
    "two branches": (
        Forward(lambda m, x: m.c(relu(m.a(x))) + m.narrow(x)),
        "does not take the output of the layer before it",
    ),
    "loose end": (
        Forward(lambda m, x: (lambda h: (m.c(h), h)[1])(m.a(x))),
        "does not return the output",
    ),
    "always dropout": (
        Forward(lambda m, x: m.c(nn.functional.dropout(m.a(x)))),
        "drops out in evaluation too; pass training=self.training",
    ),
    "flat samples": (Forward(lambda m, x: torch.flatten(m.c(x))), "flattens the samples"),
    "tied": (tied(), "shares its weight: 0.weight, 2.weight are one parameter"),
    "shared": (reused(), "shares its weight: 0.weight, 2.weight are one parameter"),
    "reused": (Forward(lambda m, x: m.a(relu(m.a(x)))), "Linear at 'a' is used more than once"),
    "pruned": (pruned(), r"no plain parameter \(pruned or parametrized\); make it permanent first"),
    "plain tensor": (plain_tensor(), "Linear at '0' has a weight that is no plain parameter"),
    "parametrized": (
        nn.Sequential(parametrizations.weight_norm(nn.Linear(5, 2))),
        "ParametrizedLinear at '0' is not a supported module",
    ),
    "empty": (nn.Sequential(), "does not return the output of its last Linear"),
    "one class": (nn.Sequential(nn.Linear(5, 1), nn.Softmax(1)), "softmax over one output"),
    "norm and sigmoid": (
        nn.Sequential(nn.Linear(5, 1), nn.BatchNorm1d(1), nn.Sigmoid()),
        "a binary classifier needs one plain Linear unit",
    ),
    "meta": (nn.Linear(5, 2, device="meta"), "'weight' is not a dense floating-point tensor"),
    "poisson": (make.fit(MLPRegressor(loss="poisson"), make.X[:, 0] ** 2), "loss='poisson'"),
    "int": (3, r"Network 1 \(int\) is not supported: Supported are fitted MLPClassifier and"),
    "none": (None, r"Network 1 \(NoneType\) is not supported"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name):
    network, words = UNSUPPORTED[name]
    good = mlp(nn.ReLU())
    with pytest.raises(UnsupportedNetworkError, match=words) as caught:
        Population([good, network])
    text = str(caught.value)
    assert text.startswith(f"Network 1 ({type(network).__name__}) is not supported: ")
    assert isinstance(caught.value, TypeError)
    if name not in ("one class", "norm and sigmoid", "meta"):
        assert "Supported are" in text


def test_full_message():
    with pytest.raises(TypeError) as caught:
        Population([nn.Sequential(nn.Linear(5, 2), nn.Hardtanh())])
    assert str(caught.value) == (
        "Network 0 (Sequential) is not supported: Hardtanh at '1' is not a supported module. "
        "Supported are Linear, Conv2d with global mean pooling behind the last, BatchNorm1d and "
        "2d, LayerNorm, MaxPool2d, Dropout, Identity, Flatten, the activations relu, leaky_relu, "
        "gelu, tanh, sigmoid, silu, elu and softplus with default parameters, and sin (of a "
        "multiple), additive skip connections between layers of equal width, and a Softmax, "
        "LogSoftmax or Sigmoid at the end."
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite(bad):
    module = mlp(nn.ReLU()).double()
    with torch.no_grad():
        module[2].bias[0] = bad
    words = r"Network 2 \(Sequential\) has NaN or infinite numbers \(as float32\) in the bias of l"
    with pytest.raises(ValueError, match=words):
        Population([mlp(), mlp(), module])
    estimator = make.mlp_classifier()
    estimator.coefs_[1][0, 0] = bad
    with pytest.raises(ValueError, match=r"Network 0 \(MLPClassifier\).*in the weight of layer 2"):
        Population([estimator])


def test_not_fitted():
    with pytest.raises(ValueError, match=r"Network 0 \(MLPClassifier\) cannot be read: .* fit fir"):
        Population([MLPClassifier()])


@pytest.mark.parametrize(
    "networks, words",
    [
        (mlp(), "Got a single Sequential; pass \\[network\\]"),
        (nn.ModuleList([mlp()]), "Got a single ModuleList; pass \\[network\\]"),
        (make.mlp_classifier(), "Got a single MLPClassifier; pass \\[network\\]"),
        (np.zeros((3, 4)), r"one-dimensional with dtype object. Got shape \(3, 4\) and dtype fl"),
        (np.array([[mlp()]], dtype=object), "must be one-dimensional with dtype object"),
        ("networks", "must be a list, a tuple or a one-dimensional object array.*Got str"),
        ({"a": mlp()}, "Got dict"),
        ((m for m in [mlp()]), "Got generator"),
        (pd.DataFrame({"a": [1]}), "Got DataFrame"),
        (None, "Got NoneType"),
        (3, "Got int"),
    ],
)
def test_not_a_list_of_networks(networks, words):
    with pytest.raises(TypeError, match=words):
        Population(networks)


def test_sequences_that_are_fine():
    networks = [mlp(), mlp(nn.ReLU())]
    array = np.empty(2, dtype=object)
    array[0], array[1] = networks
    for value in (networks, tuple(networks), array, pd.Series(array), Population(networks)):
        assert len(Population(value)) == 2
    assert len(Population([])) == 0
