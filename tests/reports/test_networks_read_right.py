"""What a population computes is what its networks compute, or it refuses them."""

import types
import warnings

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from skmeta.networks import MLP, Architecture, UnsupportedNetworkError
from skmeta.population import Population

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
X32 = torch.from_numpy(X).float()


def body(n_outputs=2):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, n_outputs)
    )


class Kept(nn.Module):
    """Keeps what it computes on itself."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.seen = nn.Linear(5, 8), nn.Linear(8, 2), []

    def forward(self, x):
        self.last = torch.relu(self.first(x))
        self.seen.append(self.last)
        return self.second(self.last)


def fitted(kind=MLPClassifier, y=Y, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(hidden_layer_sizes=(6,), max_iter=30, random_state=0, **params).fit(X, y)


def outputs(population):
    with torch.no_grad():
        return population.forward(X32)


def shift(module, args, output):
    return output + 1e-3


def halve(module, args):
    return (args[0] / 2,)


def look(module, args, output):
    return None


NUMBERS = r"its own forward gives -?\d.* where its layers compute -?\d"

HOOK = "a forward hook of it returns or changes values.*handle.remove"

PLACES = {"leaf": lambda m: m[1], "inner": lambda m: m[0], "root": lambda m: m}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["forward", "pre"])
@pytest.mark.parametrize("training", [True, False])
def test_a_hook_that_changes_a_value_is_refused(place, kind, training):
    module = body().train(training)
    part = PLACES[place](module)
    if kind == "forward":
        part.register_forward_hook(shift)
    else:
        part.register_forward_pre_hook(halve)
    with pytest.raises(UnsupportedNetworkError, match=rf"Network 1 \(Sequential\).*{HOOK}"):
        Population([body(), module])


@pytest.mark.parametrize("place", PLACES)
def test_a_hook_that_only_looks_on_is_allowed_and_goes_along(place):
    module = body()
    PLACES[place](module).register_forward_hook(look)
    (back,) = population = Population([module])
    assert torch.allclose(outputs(population)[0], module.eval()(X32), atol=1e-6)
    assert list(PLACES[place](back)._forward_hooks.values()) == [look]


def test_a_hook_of_one_instance_that_cannot_be_pickled_is_seen():
    factor = torch.tensor(1.001)
    module = body()
    module[1].register_forward_hook(lambda part, args, output: output * factor)
    with pytest.raises(UnsupportedNetworkError, match=HOOK):
        Population([module])


def test_a_global_hook_that_changes_a_value_is_refused():
    handle = register_module_forward_hook(shift)
    try:
        with pytest.raises(UnsupportedNetworkError, match=NUMBERS):
            Population([nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))])
        with pytest.raises(UnsupportedNetworkError):
            Population([body()])
    finally:
        handle.remove()
    Population([body()])


def clamped(module, args, output):
    return output.clamp(-1e6, 1e6)


def clamp_in_place(module, args, output):
    output.clamp_(-1e6, 1e6)


@pytest.mark.parametrize("hook", [clamped, clamp_in_place])
def test_a_hook_that_changes_rare_values_only_is_refused(hook):
    network = MLP(Architecture.mlp((5, 4, 2))).eval()
    network.register_forward_hook(hook)
    with pytest.raises(UnsupportedNetworkError, match=HOOK):
        Population([network])


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_a_forward_that_was_replaced_on_the_object_is_refused(place, bound):
    module = body()
    part = PLACES[place](module)
    old = type(part).forward
    if bound:
        part.forward = types.MethodType(lambda self, x: old(self, x) + 1e-3, part)
    else:
        part.forward = lambda x: old(part, x) + 1e-3
    with pytest.raises(UnsupportedNetworkError, match="forward of a .* was replaced on the object"):
        Population([module])


def test_a_module_that_is_called_in_its_own_way_is_refused():
    class Doubled(nn.Sequential):
        def __call__(self, x):
            return 2 * super().__call__(x)

    with pytest.raises(UnsupportedNetworkError, match=NUMBERS):
        Population([Doubled(nn.Linear(5, 2))])


def test_a_convolutional_network_with_a_hook_is_refused():
    module = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    )
    Population([module], input_shape=(1, 6, 6))
    module[0].register_forward_hook(shift)
    with pytest.raises(UnsupportedNetworkError, match=HOOK):
        Population([module], input_shape=(1, 6, 6))


# -- what the check leaves as it was ---------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_reading_a_network_leaves_it_and_the_generators_as_they_were(training):
    module = nn.Sequential(*body(), nn.Dropout(0.5)).train(training)
    module[0].eval()
    module(X32).sum().backward()
    modes = [part.training for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    grads = [p.grad.clone() for p in module.parameters()]
    random, numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Population([module, fitted()])
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), grads, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002


def test_a_network_that_keeps_an_activation_is_read_and_left_alone():
    module = Kept()
    expected = module(X32).detach()
    last = module.last
    population = Population([module])
    assert torch.allclose(outputs(population)[0], expected, atol=1e-6)
    assert module.last is last and len(module.seen) == 1
    (back,) = population.permuted(0)
    assert torch.allclose(back(X32), expected, atol=1e-6)


def test_ordinary_networks_of_all_sizes_pass():
    networks = [fitted(), fitted(MLPRegressor, 1e5 * X[:, 0]), fitted(MLPRegressor, 1e-4 * X[:, 0])]
    for scale in (1e-6, 1.0, 1e6):
        module = body()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(scale)
        networks += [module, body().double(), body().to(torch.bfloat16)]
    with torch.no_grad():
        networks += [nn.Linear(5, 2), nn.Linear(5, 2).requires_grad_(False)]
        networks[-1].weight.zero_()
    assert len(Population(networks)) == len(networks)


# -- scikit-learn ----------------------------------------------------------------------------


def test_an_estimator_whose_class_predicts_in_its_own_way_is_refused():
    class Cautious(MLPClassifier):
        def predict_proba(self, X):
            return 0.9 * super().predict_proba(X) + 0.05

    class Strict(MLPClassifier):
        def predict(self, X):  # a threshold that few rows tell from the likeliest class
            return (self.predict_proba(X)[:, 1] > 0.51).astype(int)

    class Renamed(MLPClassifier):
        pass

    with pytest.raises(UnsupportedNetworkError, match=r"its own predict_proba gives \d.*compute"):
        Population([fitted(Cautious)])
    with pytest.raises(UnsupportedNetworkError, match="predict of its own.*likeliest"):
        Population([fitted(Strict)])
    assert len(Population([fitted(Renamed)])) == 1


def test_labels_that_were_set_by_hand_are_refused():
    estimator = fitted()
    estimator.classes_ = estimator.classes_[::-1]
    with pytest.raises(UnsupportedNetworkError, match=r"classes_ are \[1, 0\], but it predicts"):
        Population([estimator])


def test_an_estimator_whose_predict_proba_was_replaced_is_refused():
    estimator = fitted()
    estimator.predict_proba = lambda X: np.full((len(X), 2), 0.5)
    with pytest.raises(UnsupportedNetworkError, match="predict_proba of a MLPClassifier was rep"):
        Population([estimator])


def test_an_estimator_that_saw_one_class_is_refused():
    estimator = fitted(y=np.ones(len(X)))
    with pytest.raises(UnsupportedNetworkError, match=r"fitted on a single class \(1.0\)"):
        Population([estimator])
