"""Forms of a forward that are read, and Pipelines of scalers and a network."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from torch import nn

from skmeta.networks import UnsupportedNetworkError
from skmeta.population import Population

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4)) * [1.0, 20.0, 0.01, 3.0] + [0.0, 5.0, 0.02, -5.0]
Y = (X[:, 0] + X[:, 3] / 3 > -1).astype(int)
X32 = torch.from_numpy(X).float()
SHAPE = (2, 6, 6)
IMAGES = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(0))


class Forward(nn.Module):
    """Any forward over a few layers and buffers."""

    def __init__(self, function, bias=True):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.one = nn.Linear(4, 6, bias=bias), nn.Linear(6, 3), nn.Linear(6, 1)
        self.conv, self.head = nn.Conv2d(2, 5, 3), nn.Linear(5, 3)
        self.register_buffer("mu", X32.mean(0))
        self.register_buffer("sd", X32.std(0), persistent=False)
        self.register_buffer("scale", torch.tensor([1.0, -2.0, 0.5, 3.0]))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 1.0]))
        self.plain, self.learnt = X32.std(0)[None], nn.Parameter(torch.ones(4))
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def changed(population):
    """Return the same networks with other weights in all layers."""
    blocks = []
    for positions, stack in population.blocks:
        weights = stack.weights
        changes = stack.present() * weights.map(lambda t: 0.1 * t + 0.02)
        blocks.append((positions, stack.with_weights(weights + changes)))
    return population.with_blocks(blocks)


def outputs(population, rows):
    with torch.no_grad():
        return population.forward(rows)[0]


FLAT = {
    "view": lambda m, x: m.b(torch.relu(m.a(x.view(x.size(0), -1)))),
    "reshape": lambda m, x: m.b(torch.relu(m.a(x.reshape(x.shape[0], -1)))),
    "function": lambda m, x: m.b(torch.relu(m.a(torch.reshape(x, (x.size()[0], -1))))),
    "flatten": lambda m, x: m.b(torch.relu(m.a(x.flatten(1)))),
    "torch.flatten": lambda m, x: m.b(torch.relu(m.a(torch.flatten(x, 1)))),
    "start_dim": lambda m, x: m.b(torch.relu(m.a(torch.flatten(x, start_dim=1)))),
    "known width": lambda m, x: m.b(torch.relu(m.a(x)).view(-1, 6)),
    "in between": lambda m, x: (lambda h: m.b(h.view(h.size(0), -1)))(torch.relu(m.a(x))),
    "width of the input": lambda m, x: m.b(torch.relu(m.a(x.view(-1, 4)))),
    "squeezed": lambda m, x: m.one(torch.relu(m.a(x))).squeeze(-1),
    "squeezed 1": lambda m, x: m.one(torch.relu(m.a(x))).squeeze(1),
    "view as vector": lambda m, x: m.one(torch.relu(m.a(x))).view(-1),
    "first column": lambda m, x: m.one(torch.relu(m.a(x)))[:, 0],
}

PROBABLE = {
    "squeezed logit": lambda m, x: torch.sigmoid(m.one(torch.relu(m.a(x))).squeeze(-1)),
    "squeezed probability": lambda m, x: torch.sigmoid(m.one(torch.relu(m.a(x)))).squeeze(-1),
}

SCALED = {
    "standardised": lambda m, x: m.b(torch.relu(m.a((x - m.mu) / m.sd))),
    "and scaled": lambda m, x: m.b(torch.relu(m.a((x - m.mu) / m.sd * m.scale))),
    "of an attribute": lambda m, x: m.b(torch.relu(m.a((x - m.mu) / m.plain))),
    "safely": lambda m, x: m.b(torch.relu(m.a((x - m.mu) / (m.sd.square() + 1e-8).sqrt()))),
    "by numbers": lambda m, x: m.b(torch.relu(m.a((2 * x + 1) / 4 - 0.5))),
    "by methods": lambda m, x: m.b(torch.relu(m.a(x.sub(m.mu).div(m.sd)))),
    "by functions": lambda m, x: m.b(torch.relu(m.a(torch.div(torch.sub(x, m.mu), m.sd)))),
    "single layer": lambda m, x: m.a((x - m.mu) / m.sd),
    "flattened": lambda m, x: m.b(torch.relu(m.a(((x - m.mu) / m.sd).view(x.size(0), -1)))),
}


@pytest.mark.parametrize("name", [*FLAT, *SCALED])
def test_a_form_of_the_forward_is_read_and_written(name):
    module = Forward((FLAT | SCALED)[name]).eval()
    rows = (X32 - module.mu) / module.sd if name in FLAT else X32
    population = Population([module])
    with torch.no_grad():
        expected = module(rows).reshape(len(rows), -1)
        torch.testing.assert_close(outputs(population, rows), expected, rtol=1e-4, atol=1e-4)
        (back,), (edited,) = population, changed(population)
        state = module.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in back.state_dict().items())
        got = edited(rows).reshape(len(rows), -1)
        torch.testing.assert_close(outputs(changed(population), rows), got, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(got, expected, atol=1e-2)
        assert torch.equal(edited.mu, module.mu) and torch.equal(edited.sd, module.sd)


@pytest.mark.parametrize("name", PROBABLE)
def test_a_squeezed_probability_is_that_of_the_second_class(name):
    module = Forward(PROBABLE[name])
    population = Population([module])
    with torch.no_grad():
        got = population.predict_proba(X32)[0][:, 1]
        np.testing.assert_allclose(got, module(X32), rtol=0, atol=1e-4)


def test_images_of_rows_may_be_viewed():
    def forward(m, x):
        h = torch.relu(m.conv(x.view(x.size(0), 2, 6, 6)))
        h = nn.functional.adaptive_avg_pool2d(h, 1)
        return m.head(h.view(h.size(0), -1))

    module = Forward(forward)
    population = Population([module])
    assert population.architectures[0].input_shape == SHAPE
    rows = IMAGES.flatten(1)
    torch.testing.assert_close(outputs(population, rows), module(rows).detach())


def test_networks_that_standardise_in_their_own_ways_are_told_apart():
    modules = [Forward(SCALED["standardised"]) for _ in range(3)]
    modules[1].mu += 1.0
    modules[2].sd *= 2.0
    population = Population(modules)
    for module, got in zip(modules, population.forward(X32).detach(), strict=True):
        torch.testing.assert_close(got, module(X32).detach(), rtol=1e-4, atol=1e-4)


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("mu", X32.mean(0))

    def forward(self, x):
        x -= self.mu
        return self.b(torch.relu(self.a(x)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_that_change_their_rows_in_place_are_asked_together(dtype):
    modules = [InPlace().to(dtype) for _ in range(3)]
    with torch.no_grad():
        expected = torch.stack([module(X32.to(dtype, copy=True)) for module in modules])
        found = Population(modules).forward(X32)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


def test_an_edit_without_change_keeps_every_bit_behind_a_scaling():
    module = Forward(SCALED["and scaled"]).double()
    with torch.no_grad():
        module.a.weight /= 3
        module.a.weight[0, 0] = -0.0
    population = Population([module])
    for same in (population, population.with_blocks(population.blocks)):
        (back,) = same
        assert (
            back.a.weight.numpy(force=True).tobytes() == module.a.weight.numpy(force=True).tobytes()
        )


REFUSED = {
    "a mask": (lambda m, x: m.b(m.a(x * m.mask)), "a factor of zero"),
    "a parameter": (lambda m, x: m.b(m.a(x * m.learnt)), "register it as a buffer"),
    "another width": (lambda m, x: m.b(m.a(x - torch.ones(3))), "does not fit 4 inputs"),
    "a matrix": (lambda m, x: m.b(m.a(x - torch.ones(80, 4))), "by a tensor of shape (80, 4)"),
    "one over x": (lambda m, x: m.b(m.a(1.0 / x)), "something else than the inputs and a constant"),
    "images": (lambda m, x: m.head(m.conv(x - 0.5).mean((2, 3))), "images that the network scales"),
    "skip": (lambda m, x: (lambda z: m.b(m.a(z) + z))(x - m.mu), "adds inputs that the network s"),
    "samples": (lambda m, x: m.b(m.a(x).view(-1, 3)), "regroups the 6 outputs"),
    "all": (lambda m, x: m.b(m.a(x)).view(-1), "removes the last axis of several outputs"),
    "vector": (lambda m, x: m.one(m.a(x)).squeeze(-1).softmax(-1), "whose last axis was removed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_that_is_not_read_is_refused(name):
    function, words = REFUSED[name]
    with pytest.raises(UnsupportedNetworkError) as caught:
        Population([Forward(function)], input_shape=SHAPE)
    assert words in str(caught.value)


def test_a_shift_before_a_layer_without_bias_is_refused():
    with pytest.raises(UnsupportedNetworkError, match="first layer has no bias"):
        Population([Forward(SCALED["standardised"], bias=False)])
    assert len(Population([Forward(lambda m, x: m.b(m.a(x / m.sd)), bias=False)])) == 1


def test_a_shift_that_float32_cannot_fold_is_refused_with_both_numbers():
    module = Forward(SCALED["standardised"])
    module.mu += 1e7
    with pytest.raises(UnsupportedNetworkError, match="its own forward gives .* layers compute"):
        Population([module])


# -- Pipelines -------------------------------------------------------------------------------


def fitted(*steps, kind=MLPClassifier, y=Y, rows=X, hidden=(5,)):
    network = kind(hidden_layer_sizes=hidden, max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(*steps, network).fit(rows, y)


PIPELINES = {
    "standard": lambda: fitted(StandardScaler()),
    "not centred": lambda: fitted(StandardScaler(with_mean=False)),
    "not scaled": lambda: fitted(StandardScaler(with_std=False)),
    "minmax": lambda: fitted(MinMaxScaler((-1, 2))),
    "maxabs": lambda: fitted(MaxAbsScaler()),
    "robust": lambda: fitted(RobustScaler()),
    "robust, not centred": lambda: fitted(RobustScaler(with_centering=False)),
    "chain": lambda: fitted(MaxAbsScaler(), "passthrough", StandardScaler()),
    "nothing": lambda: fitted(),
    "three classes": lambda: fitted(StandardScaler(), y=np.digitize(X[:, 0], [-0.5, 0.5])),
    "labels": lambda: fitted(StandardScaler(), y=np.array(["no", "yes"])[Y]),
    "no hidden layer": lambda: fitted(StandardScaler(), hidden=()),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_of_scalers_and_a_network_is_a_network(name):
    pipeline = PIPELINES[name]()
    population = Population([pipeline])
    np.testing.assert_allclose(population.predict_proba(X)[0], pipeline.predict_proba(X), atol=1e-5)
    assert population.score(X, pipeline.predict(X)).tolist() == [1.0]
    assert population.classes[0].tolist() == pipeline.classes_.tolist()
    (back,), (edited,) = population, changed(population)
    for old, new in zip(pipeline[-1].coefs_ + pipeline[-1].intercepts_,
                        back[-1].coefs_ + back[-1].intercepts_, strict=True):  # fmt: skip
        assert old.tobytes() == new.tobytes() and old.dtype == new.dtype
    assert type(edited) is Pipeline and edited[-1] is not pipeline[-1]
    for (_, old), (_, new) in zip(pipeline.steps[:-1], edited.steps[:-1], strict=True):
        assert type(new) is type(old) and (new == old or new is not old)
        assert str(vars(new) if not isinstance(new, str) else new) == str(
            vars(old) if not isinstance(old, str) else old
        )
    got = changed(population).predict_proba(X)[0]
    np.testing.assert_allclose(got, edited.predict_proba(X), atol=1e-5)
    assert np.abs(edited[-1].coefs_[0] - pipeline[-1].coefs_[0]).max() > 1e-3


def test_a_pipeline_of_a_regressor():
    pipeline = fitted(StandardScaler(), kind=MLPRegressor, y=X[:, 0])
    population = Population([pipeline])
    np.testing.assert_allclose(outputs(population, X)[:, 0], pipeline.predict(X), atol=1e-5)
    assert population.classes == [None]


def test_an_input_that_was_pruned_in_front_of_the_scaler_is_pruned_behind_it():
    population = Population([fitted(StandardScaler())])
    ((positions, stack),) = population.blocks
    weight = stack.weights["0.weight"].clone()
    weight[:, :, 1] = 0.0
    weights = stack.weights.replaced(weight=(weight, *stack.weights.of_field("weight")[1:]))
    pruned = population.with_blocks([(positions, stack.with_weights(weights))])
    (back,) = pruned
    assert not back[-1].coefs_[0][1].any() and back[-1].coefs_[0][0].all()
    np.testing.assert_allclose(back.predict_proba(X), pruned.predict_proba(X)[0], atol=1e-5)


def test_names_of_columns_are_known_of_estimators_and_pipelines():
    from skmeta.networks import adapters

    names = ["a", "b", "c", "d"]
    frame = pd.DataFrame(X, columns=names)
    chained = fitted("passthrough", StandardScaler().set_output(transform="pandas"), rows=frame)
    unnamed = fitted(StandardScaler().set_output(transform="pandas"))
    networks = [fitted(StandardScaler(), rows=frame), chained, fitted(rows=frame)[-1], unnamed]
    population = Population([*networks, nn.Linear(4, 2)])
    known = [adapters.feature_names_of(source) for source in population._sources]
    assert known == [names, names, names, None, None]


@pytest.mark.parametrize(
    "steps, words",
    [
        ((StandardScaler(), PCA(3)), r"step 'pca' \(PCA\) cannot become part of .*pipeline\[:-1\]"),
        ((MinMaxScaler(clip=True),), r"step 'minmaxscaler' \(MinMaxScaler\) clips"),
    ],
)
def test_a_pipeline_of_other_steps_is_refused_by_name(steps, words):
    with pytest.raises(UnsupportedNetworkError, match=words):
        Population([fitted(*steps)])


def test_a_pipeline_that_ends_in_something_else_or_is_not_fitted():
    with pytest.raises(UnsupportedNetworkError, match=r"last step 'pca' \(PCA\) is no MLPClassif"):
        Population([make_pipeline(StandardScaler(), PCA())])
    with pytest.raises(ValueError, match="MLPClassifier is not fitted"):
        Population([make_pipeline(StandardScaler(), MLPClassifier())])


def test_a_pipeline_in_a_file_comes_back_as_a_module(tmp_path):
    population = Population([fitted(StandardScaler())])
    population.save(tmp_path / "p.safetensors")
    loaded = Population.load(tmp_path / "p.safetensors")
    assert isinstance(loaded[0], nn.Module)
    np.testing.assert_allclose(loaded.predict_proba(X), population.predict_proba(X), atol=1e-6)
