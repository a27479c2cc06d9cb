"""skorch's own rules of output, and what stands around networks."""

import copy

import numpy as np
import pytest
import skorch
import torch
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta.networks import UnsupportedNetworkError
from skmeta.population import Population

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
OPTIONS = {"max_epochs": 20, "verbose": 0, "train_split": None, "lr": 0.5}


def body(n_outputs, *tail):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, n_outputs), *tail)


def classifier(**params):
    params = {"criterion": nn.CrossEntropyLoss, **OPTIONS, **params}
    return skorch.NeuralNetClassifier(body(2), **params).fit(X, Y)


def binary(*tail, **params):
    net = skorch.NeuralNetBinaryClassifier(body(1, *tail), **{**OPTIONS, **params})
    return net.fit(X, Y.astype(np.float32))


@pytest.mark.parametrize("classes", [[1, 0], ["no", "yes"], [5, 7]])
def test_classes_of_a_skorch_net_do_not_reorder_what_it_predicts(classes):
    net = classifier(classes=classes)
    own = (net.predict(X) == Y).mean()
    population = Population([net])
    assert own > 0.8 and population.score(X, Y).tolist() == [pytest.approx(own)]
    with pytest.raises(ValueError, match="y"):
        population.score(X, np.array(["no", "yes"])[Y])
    (back,) = population.permuted(0)
    assert (back.predict(X) == net.predict(X)).all()


def test_a_skorch_net_that_saw_codes_knows_them():
    assert Population([classifier()]).classes[0].tolist() == [0, 1]
    assert Population([binary()]).classes[0].tolist() == [0, 1]


def test_a_threshold_of_a_skorch_net_is_refused():
    with pytest.raises(UnsupportedNetworkError, match=r"its threshold is 0.2.*Set threshold=0.5"):
        Population([binary(threshold=0.2)])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: classifier(predict_nonlinearity=None), "predict_nonlinearity is None"),
        (lambda: classifier(predict_nonlinearity=torch.sigmoid), "predict_nonlinearity is <built"),
        (lambda: binary(predict_nonlinearity=None), "predict_nonlinearity is None"),
        (lambda: binary(nn.Sigmoid()), "(sigmoid) does not go with BCEWithLogitsLoss"),
        (lambda: binary(criterion=nn.BCEWithLogitsLoss, predict_nonlinearity=torch.tanh), "is <b"),
    ],
)
def test_rules_of_output_that_are_not_those_of_the_criterion_are_refused(make, words):
    with pytest.raises(UnsupportedNetworkError) as caught:
        Population([make()])
    assert words in str(caught.value)


def test_logits_under_a_loss_of_probabilities_are_refused():
    net = skorch.NeuralNetBinaryClassifier(body(1), criterion=nn.BCELoss).initialize()
    with pytest.raises(UnsupportedNetworkError, match=r"\(none\) does not go with BCELoss"):
        Population([net])


def softmax(outputs):
    return outputs.softmax(-1)


class Loss(nn.CrossEntropyLoss):
    pass


class Focal(nn.Module):
    def forward(self, outputs, y):
        return nn.functional.binary_cross_entropy_with_logits(outputs, y)


def two_columns(logits):
    return torch.stack([1 - logits.sigmoid(), logits.sigmoid()], 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: classifier(predict_nonlinearity=softmax),
        lambda: classifier(criterion=Loss),
        lambda: binary(nn.Sigmoid(), criterion=nn.BCELoss),
        lambda: binary(criterion=Focal, predict_nonlinearity=two_columns),
    ],
)
def test_rules_of_output_that_say_the_same_are_honoured(make):
    net = make()
    population = Population([net])
    assert np.allclose(population.predict_proba(X)[0], net.predict_proba(X), atol=1e-6)
    assert population.score(X, Y).tolist() == [pytest.approx((net.predict(X) == Y).mean())]


def test_a_plain_net_with_a_logit_and_its_loss_is_a_binary_classifier():
    net = skorch.NeuralNet(body(1), criterion=nn.BCEWithLogitsLoss, **OPTIONS)
    net.fit(X, Y[:, None].astype(np.float32))
    probabilities = Population([net]).predict_proba(X)[0]
    assert np.allclose(probabilities, net.predict_proba(X).reshape(-1, 2), atol=1e-6)


def test_a_net_whose_class_predicts_in_its_own_way_is_refused():
    class Strict(skorch.NeuralNetClassifier):
        def predict(self, X):
            return (self.predict_proba(X)[:, 1] > 0.51).astype(int)

    class StrictBinary(skorch.NeuralNetBinaryClassifier):
        predict = Strict.predict

    class Squared(skorch.NeuralNetRegressor):
        def predict(self, X):
            return super().predict(X) ** 2

    net = Strict(body(2), criterion=nn.CrossEntropyLoss).initialize()
    for strict in (net, StrictBinary(body(1)).initialize()):
        with pytest.raises(UnsupportedNetworkError, match="predict of its own.*likeliest"):
            Population([strict])
    with pytest.raises(UnsupportedNetworkError, match="its own predict gives"):
        Population([Squared(body(1)).initialize()])


def test_a_hook_on_the_module_of_a_net_is_seen():
    net = classifier()
    net.module_[0].register_forward_hook(lambda part, args, output: output * 1.1)
    with pytest.raises(UnsupportedNetworkError, match="a forward hook of it returns"):
        Population([net])


def test_reading_a_net_leaves_it_and_the_generator_as_they_were():
    net = classifier()
    net.module_.train()
    net.criterion_.train()
    state, attributes = torch.get_rng_state(), set(vars(net))
    Population([net])
    assert torch.equal(torch.get_rng_state(), state) and set(vars(net)) == attributes
    assert net.module_.training and net.criterion_.training and net.module_[0].training


def test_a_net_with_a_local_class_goes_in_and_out():
    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            return self.layer(x)

    net = skorch.NeuralNetClassifier(Local, criterion=nn.CrossEntropyLoss, **OPTIONS).fit(X, Y)
    population = Population([net])
    (back,), (moved,) = population, population.rescaled(0)
    assert back is not net and (back.predict_proba(X) == net.predict_proba(X)).all()
    moved.partial_fit(X, Y)
    assert (back.predict_proba(X) == net.predict_proba(X)).all()


# -- wrappers --------------------------------------------------------------------------------


def search():
    return GridSearchCV(MLPClassifier((3,), max_iter=200), {"alpha": [0.1]}, cv=2)


WRAPPED = {
    "DataParallel": (lambda: nn.DataParallel(body(2)), "Pass network.module."),
    "AveragedModel": (lambda: torch.optim.swa_utils.AveragedModel(body(2)), "Pass network.module"),
    "compiled": (lambda: torch.compile(body(2)), "Pass network._orig_mod."),
    "GridSearchCV": (search, "fit it, and pass its best_estimator_"),
    "FixedThresholdClassifier": (
        lambda: FixedThresholdClassifier(MLPClassifier((3,), max_iter=500)).fit(X, Y),
        "pass its estimator_",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, importing its compiler
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", WRAPPED)
def test_what_stands_around_a_network_is_named(name):
    make, words = WRAPPED[name]
    with pytest.raises(UnsupportedNetworkError) as caught:
        Population([make()])
    assert words in str(caught.value)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_search_that_has_found_a_network_says_where_it_is():
    with pytest.raises(UnsupportedNetworkError, match=r"\(GridSearchCV\).*: pass its best_estima"):
        Population([search().fit(X, Y)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_in_a_net_is_named():
    net = classifier()
    net.module_ = torch.compile(net.module_)
    with pytest.raises(UnsupportedNetworkError, match=r"Pass network.module_._orig_mod"):
        Population([net])


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_weights_are_named(layout):
    module = copy.deepcopy(body(2))
    module[0].weight = nn.Parameter(getattr(module[0].weight.detach(), layout)())
    with pytest.raises(UnsupportedNetworkError, match="not a dense floating-point.*to_dense"):
        Population([module])
