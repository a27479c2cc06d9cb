"""Small fitted networks of all kinds that a Population takes."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from skmeta.networks import MLP

from .cases import ARCHITECTURES

N_INPUTS = 5
X = np.random.default_rng(0).normal(size=(60, N_INPUTS))
X32 = torch.from_numpy(X.astype(np.float32))


def labels(n_classes: int) -> np.ndarray:
    return np.digitize(X[:, 0] + X[:, 1] ** 2, np.linspace(0, 2, n_classes - 1))


def fit(estimator, y, X=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def mlp_classifier(n_classes=2, y=None, X=X, **params):
    params = {"hidden_layer_sizes": (8, 6), "max_iter": 5, "random_state": 0} | params
    return fit(MLPClassifier(**params), labels(n_classes) if y is None else y, X)


def mlp_regressor(n_outputs=1, **params):
    y = X[:, 0] if n_outputs == 1 else X[:, :n_outputs]
    return fit(MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0, **params), y)


def string_labels(n_classes):
    return np.array(["no", "perhaps", "yes"])[labels(n_classes)]


def multilabel():
    return mlp_classifier(y=np.stack([labels(2), X[:, 2] > 0, X[:, 3] > 0], 1).astype(int))


def sklearn_networks() -> dict:
    return {
        "binary": mlp_classifier(),
        "binary strings": mlp_classifier(y=string_labels(2), activation="logistic"),
        "binary float32": mlp_classifier(X=X.astype(np.float32)),
        "multiclass": mlp_classifier(3, activation="tanh"),
        "multiclass strings": mlp_classifier(y=string_labels(3)),
        "multilabel": multilabel(),
        "early stopping": mlp_classifier(early_stopping=True),
        "lbfgs": mlp_classifier(solver="lbfgs"),
        "no hidden layer": mlp_classifier(hidden_layer_sizes=(), activation="identity"),
        "regressor": mlp_regressor(),
        "regressor, two outputs": mlp_regressor(2),
    }


class Residual(nn.Module):
    """All ways to write a skip connection, and an inner module."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(N_INPUTS, 8), nn.LayerNorm(8), nn.GELU())
        self.second, self.third, self.fourth = (nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 3)
        self.p = 0.5

    def forward(self, x):
        h = self.first(x)
        h = nn.functional.relu(self.second(h)) + h
        h = torch.add(h, self.norm(self.third(h)).tanh())
        z = self.fourth(nn.functional.dropout(h, self.p, self.training))
        z += h
        return self.last(torch.sigmoid(z))


class SkipFromInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(N_INPUTS, N_INPUTS, bias=False), nn.Linear(N_INPUTS, 2)

    def forward(self, x):
        if self.training:
            x = x * torch.rand_like(x)
        return self.b(nn.functional.softplus(self.a(x)).add(x))


def torch_networks() -> dict:
    torch.manual_seed(0)
    n = N_INPUTS
    networks = {
        "single linear": nn.Linear(n, 3),
        "norms": nn.Sequential(
            *(nn.Dropout(0.1), nn.Linear(n, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)),
            *(nn.Linear(8, 6, bias=False), nn.LeakyReLU(), nn.LayerNorm(6), nn.Identity()),
            *(nn.Linear(6, 6), nn.BatchNorm1d(6, affine=False), nn.SiLU(), nn.Linear(6, 2)),
        ),
        "nested": nn.Sequential(
            nn.Flatten(), nn.Sequential(nn.Linear(n, 4), nn.ELU()), nn.Linear(4, 3)
        ),
        "residual": Residual(),
        "skip from the input": SkipFromInput(),
        "float64": nn.Sequential(nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, 2)).double(),
        "skmeta": MLP(ARCHITECTURES[-1]),
        "value": nn.Sequential(nn.Linear(n, 4), nn.Softplus(), nn.Linear(4, 1), nn.Flatten()),
        "tanh output": nn.Sequential(nn.Linear(n, 4), nn.Tanh(), nn.Linear(4, 2), nn.Tanh()),
    }
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
            if isinstance(module, nn.BatchNorm1d | nn.LayerNorm) and module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.uniform_(module.bias, -1, 1)
    return networks


def torch_tails() -> dict:
    """Networks that end with a probability, and how it follows from the outputs."""
    torch.manual_seed(0)

    def body(n):
        return nn.Linear(N_INPUTS, 4), nn.ReLU(), nn.Linear(4, n)

    return {
        "softmax": (nn.Sequential(*body(3), nn.Softmax(dim=1)), lambda z: z.softmax(-1)),
        "log_softmax": (nn.Sequential(*body(3), nn.LogSoftmax(-1)), lambda z: z.log_softmax(-1)),
        "sigmoid": (nn.Sequential(*body(1), nn.Sigmoid()), lambda z: z.softmax(-1)[:, 1:]),
        "sigmoids": (nn.Sequential(*body(3), nn.Sigmoid()), torch.sigmoid),
    }
