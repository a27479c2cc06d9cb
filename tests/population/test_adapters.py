"""Round trips between networks of users and records."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import skmeta
from skmeta.population import Population

from . import networks as make
from .networks import X32, X

SKLEARN = make.sklearn_networks()
TORCH = make.torch_networks()
TAILS = make.torch_tails()


def same_bits(a, b):
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def outputs(population):
    with torch.no_grad():
        return population.forward(X32)[0]


def edited(population):
    """Double all weights of the last layer."""
    blocks = []
    for positions, stack in population.blocks:
        *weight, last = stack.weights.of_field("weight")
        doubled = stack.weights.replaced(weight=[*weight, 2 * last])
        blocks.append((positions, stack.with_weights(doubled)))
    return population.with_blocks(blocks)


# -- scikit-learn ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SKLEARN)
def test_sklearn_without_an_edit_keeps_every_bit(name):
    source = SKLEARN[name]
    source.coefs_[0][0, 0] = -0.0
    (back,) = Population([source])
    assert type(back) is type(source) and back is not source
    assert back.get_params() == source.get_params()
    for old, new in zip(
        source.coefs_ + source.intercepts_, back.coefs_ + back.intercepts_, strict=True
    ):
        assert same_bits(old, new) and not np.shares_memory(old, new)
    assert same_bits(source.predict(X), back.predict(X))
    if hasattr(source, "predict_proba"):
        assert same_bits(source.predict_proba(X), back.predict_proba(X))


@pytest.mark.parametrize("name", SKLEARN)
def test_sklearn_outputs(name):
    source = SKLEARN[name]
    population = Population([source])
    if hasattr(source, "predict_proba"):
        expected, got = source.predict_proba(X), population.predict_proba(X)[0]
        assert np.array_equal(population.classes[0], source.classes_)
        if name != "multilabel":
            y = source.predict(X)
            assert population.score(X, y) == [1.0]
    else:
        expected, got = source.predict(X).reshape(len(X), -1), outputs(population).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("name", SKLEARN)
def test_an_edit_reaches_sklearn_in_its_own_dtype(name):
    source = SKLEARN[name]
    (back,) = edited(Population([source]))
    np.testing.assert_allclose(back.coefs_[-1], 2 * source.coefs_[-1], atol=1e-6)
    assert back.coefs_[-1].dtype == source.coefs_[-1].dtype
    assert len(back.coefs_) == 1 or same_bits(back.coefs_[0], source.coefs_[0])
    if not hasattr(source, "predict_proba"):
        return
    again = Population([back])
    np.testing.assert_allclose(again.predict_proba(X)[0], back.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", ["binary", "multiclass", "binary float32"])
def test_what_became_zero_is_written_as_zero(name):
    population = Population([SKLEARN[name]])
    ((positions, stack),) = population.blocks
    weight = [w.clone() for w in stack.weights.of_field("weight")]
    weight[0][:, :, 1] = 0.0  # an input
    weight[-1][:, :, 2] = 0.0  # a neuron, for both logits
    cut = stack.with_weights(stack.weights.replaced(weight=weight))
    (back,) = population.with_blocks([(positions, cut)])
    assert not back.coefs_[0][1].any() and not back.coefs_[-1][2].any()
    assert same_bits(back.coefs_[0][2:], SKLEARN[name].coefs_[0][2:])


def test_string_labels_survive_an_edit():
    (back,) = edited(Population([SKLEARN["multiclass strings"]]))
    assert set(back.predict(X)) <= {"no", "perhaps", "yes"}


def test_an_edited_estimator_can_be_trained_further():
    y = make.labels(2)
    (back,) = edited(Population([SKLEARN["binary"]]))
    before = back.coefs_[0].copy()
    back.partial_fit(X, y)
    assert not np.array_equal(before, back.coefs_[0])
    (back,) = edited(Population([SKLEARN["early stopping"]]))
    assert np.array_equal(back._best_coefs[-1], back.coefs_[-1])


# -- torch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", TORCH)
def test_torch_outputs_and_bits(name, training):
    source = copy.deepcopy(TORCH[name]).train(training)
    before = {key: value.clone() for key, value in source.state_dict().items()}
    population = Population([source])
    (back,) = population
    assert type(back) is type(source) and back is not source
    modes = [module.training for module in source.modules()]
    assert modes == [training] * len(modes) == [module.training for module in back.modules()]
    for state in (source.state_dict(), back.state_dict()):
        assert list(state) == list(before)
        assert all(same_bits(state[key].numpy(), before[key].numpy()) for key in before)
    with torch.no_grad():
        expected = source.eval().float()(X32)
    torch.testing.assert_close(outputs(population), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", TORCH)
def test_torch_edits_change_the_copy_only(name):
    source = copy.deepcopy(TORCH[name]).eval()
    before = copy.deepcopy(source.state_dict())
    population = edited(Population([source]))
    (back,) = population
    assert all(torch.equal(before[key], source.state_dict()[key]) for key in before)
    with torch.no_grad():
        got, old = back.float()(X32), source.float()(X32)
    torch.testing.assert_close(outputs(population), got, rtol=0, atol=1e-5)
    assert not torch.allclose(got, old, atol=1e-3)


def test_what_became_zero_is_written_as_zero_in_float64():
    source = copy.deepcopy(TORCH["float64"])
    with torch.no_grad():
        source[0].weight /= 3  # float32 does not hold these numbers
    population = Population([source])
    ((positions, stack),) = population.blocks
    weight = tuple(w * (w > 0) for w in stack.weights.of_field("weight"))
    edited = stack.with_weights(stack.weights.replaced(weight=weight))
    (back,) = population.with_blocks([(positions, edited)])
    assert torch.equal(back[0].weight != 0, source[0].weight > 0)


def test_permuted_sources_keep_their_function():
    sources = [*TORCH.values()]
    for source in sources:
        (back,) = Population([source]).permuted(0)
        with torch.no_grad():
            dtype = next(source.parameters()).dtype
            old, new = (copy.deepcopy(m).eval()(X32.to(dtype)) for m in (source, back))
        torch.testing.assert_close(new, old, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TAILS)
def test_probabilities_at_the_end(name):
    module, link = TAILS[name]
    population = Population([module])
    with torch.no_grad():
        torch.testing.assert_close(link(outputs(population)), module(X32), rtol=0, atol=1e-6)
        (back,) = edited(population)
        got = link(edited(population).forward(X32)[0])
        torch.testing.assert_close(got, back(X32), rtol=0, atol=1e-6)


def test_what_outputs_mean():
    kinds = {name: Population([m]).architectures[0].output for name, (m, _) in TAILS.items()}
    kinds |= {name: Population([m]).architectures[0].output for name, m in TORCH.items()}
    assert {name for name, kind in kinds.items() if kind == "multilabel"} == {"sigmoids"}
    assert {name for name, kind in kinds.items() if kind == "values"} == {"value", "tanh output"}


def test_dropout_is_read():
    assert [x.dropout for x in Population([TORCH["norms"]]).architectures[0].stages][0] == 0.3


def test_an_edit_of_what_is_not_there_is_refused():
    without = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Linear(4, 2))
    population = Population([without, nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2))])
    ((positions, stack),) = population.blocks
    moved = stack.weights.map(lambda t: t + 1)
    with pytest.raises(ValueError, match="changes the bias of layer 1, which the network does"):
        population.with_blocks([(positions, stack.with_weights(moved))]).to_networks()


# -- skorch ----------------------------------------------------------------------------------


def skorch_nets():
    import skorch

    torch.manual_seed(0)
    options = {"max_epochs": 2, "verbose": 0, "train_split": None, "lr": 0.1}
    n = make.N_INPUTS
    x, y = X.astype(np.float32), make.labels(3)

    def body(width):
        return nn.Linear(n, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, width)

    soft = nn.Sequential(*body(3), nn.Softmax(dim=-1))
    plain, one = nn.Sequential(*body(3)), nn.Sequential(*body(1))
    value = y[:, None].astype(np.float32)
    entropy = nn.CrossEntropyLoss
    return {
        "softmax": skorch.NeuralNetClassifier(soft, **options).fit(x, y),
        "logits": skorch.NeuralNetClassifier(plain, criterion=entropy, **options).fit(x, y),
        "binary": skorch.NeuralNetBinaryClassifier(one, **options).fit(
            x, (y > 0).astype(np.float32)
        ),
        "regressor": skorch.NeuralNetRegressor(one, **options).fit(x, value),
        "values": skorch.NeuralNetRegressor(plain, **options).fit(x, np.repeat(value, 3, 1)),
        "plain": skorch.NeuralNet(plain, criterion=nn.MSELoss, **options).fit(
            x, np.repeat(value, 3, 1)
        ),
    }


@pytest.fixture(scope="module")
def nets():
    return skorch_nets()


@pytest.mark.parametrize("name", ["softmax", "logits", "binary", "regressor", "values", "plain"])
def test_skorch_round_trip(nets, name):
    source, x = nets[name], X.astype(np.float32)
    population = Population([source])
    classifier = hasattr(source, "predict_proba") and name not in ("regressor", "values", "plain")
    for candidate in (population, edited(population)):
        (back,) = candidate
        assert type(back) is type(source) and back.module_ is not source.module_
        expected = back.predict_proba(x)
        got = candidate.predict_proba(x)[0] if classifier else outputs(candidate).numpy()
        np.testing.assert_allclose(got, expected.reshape(got.shape), atol=1e-6)
    (back,) = population
    state = source.module_.state_dict()
    for key, value in back.module_.state_dict().items():
        assert same_bits(value.numpy(), state[key].numpy())
    assert (population.classes[0] is not None) == classifier


def test_skorch_ends_that_do_not_fit(nets):
    import skorch

    net = skorch.NeuralNetClassifier(nets["logits"].module_).initialize()
    with pytest.raises(TypeError, match=r"Network 0 \(NeuralNetClassifier\).*NLLLoss and a Soft"):
        Population([net])
    net = skorch.NeuralNetClassifier(
        nets["softmax"].module_, criterion=nn.CrossEntropyLoss
    ).initialize()
    with pytest.raises(TypeError, match=r"\(softmax\) does not go with CrossEntropyLoss"):
        Population([net])
    with pytest.raises(ValueError, match=r"NeuralNet\) cannot be read: .* is not initialized"):
        Population([skorch.NeuralNet(nn.Linear, criterion=nn.MSELoss)])


def test_population_does_not_import_skorch():
    # The package around it does; a bare one stands in for it.
    package = Path(skmeta.__file__).parent
    code = f"""
import sys, types
sys.modules["skmeta"] = bare = types.ModuleType("skmeta")
bare.__path__ = [{str(package)!r}]
import skmeta.population
sys.exit("skorch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- mixes -----------------------------------------------------------------------------------


def test_kinds_may_be_mixed(nets):
    mixed = [SKLEARN["multiclass"], TORCH["nested"], nets["softmax"], TAILS["softmax"][0]]
    population = Population(mixed)
    assert [type(a) for a in population] == [type(b) for b in mixed]
    for i, network in enumerate(mixed):
        alone = Population([network]).predict_proba(X)[0]
        np.testing.assert_allclose(population.predict_proba(X)[i], alone, atol=1e-6)
