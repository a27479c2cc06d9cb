"""What recorded gradients got wrong in silence, or would have."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from skmeta.gradients import record

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
EXACT = {"rtol": 1e-9, "atol": 1e-10}


def loss(output):
    return F.cross_entropy(output, torch.arange(len(output)) % 2)


def reference(module, X):
    """Of single samples, whose label is that of their place."""
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def of_sample(parameters, x, label):
        return F.cross_entropy(functional_call(module, parameters, (x[None],)), label[None])

    labels = torch.arange(len(X)) % 2
    return vmap(grad(of_sample), in_dims=(None, 0, 0))(parameters, X, labels)


def check(module, X):
    with record(module) as recording:
        loss(module(X)).backward()
        found = recording.factors()
    for name, value in reference(module, X).items():
        torch.testing.assert_close(found.per_sample()[name], value, **EXACT)
        torch.testing.assert_close(found.fisher_diagonal()[name], value.square().sum(0), **EXACT)


class FirstToken(nn.Module):
    """Its gradient reaches one position only, in tensors with positions before samples."""

    def __init__(self, zero=False):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 2)
        if zero:
            nn.init.zeros_(self.head.weight)

    def forward(self, x):
        return self.head(self.layer(x)[:, 0])


@pytest.mark.parametrize("shape", [(4, 6), (4, 4), (6, 3), (2, 8)], ids=str)
def test_one_token_of_a_sequence(shape):
    torch.manual_seed(0)
    check(FirstToken().double(), torch.randn(*shape, 8).double())


def test_a_head_of_zeros_settles_nothing():
    torch.manual_seed(0)
    module, X = FirstToken(zero=True).double(), torch.randn(4, 6, 8).double()
    with record(module) as recording:
        loss(module(X)).backward()
        assert not recording.factors().per_sample()["layer.linear1.weight"].any()
        nn.init.normal_(module.head.weight)
        loss(module(X)).backward()
        found = recording.factors().per_sample()
    for name, value in reference(module, X).items():
        torch.testing.assert_close(found[name], value, **EXACT)


class Mixing(nn.Module):
    def __init__(self, mix):
        super().__init__()
        self.first, self.last, self.mix = nn.Linear(3, 4), nn.Linear(4, 2), mix

    def forward(self, x):
        return self.last(self.mix(self.first(x)))


MIXES = {
    "sums so far": lambda h: h.cumsum(0),
    "mean": lambda h: h - h.mean(0),
    "batch norm without parameters": lambda h: F.batch_norm(h, None, None, training=True),
}


@pytest.mark.parametrize("name", MIXES)
def test_samples_that_are_mixed_one_way_or_after_zeros(name):
    torch.manual_seed(0)
    module, X = Mixing(MIXES[name]), torch.randn(6, 3)
    with record(module), pytest.raises(ValueError, match="samples are mixed"):
        module(X)
    nn.init.zeros_(module.last.weight)
    with record(module):
        module(X)
        nn.init.normal_(module.last.weight)
        with pytest.raises(ValueError, match="samples are mixed"):
            module(X)


def test_training_after_evaluation_is_another_graph():
    norm = nn.BatchNorm1d(4, affine=False)
    module = nn.Sequential(nn.Linear(3, 4), norm, nn.ReLU(), nn.Linear(4, 2))
    with record(module):
        module.eval()(torch.randn(5, 3))
        with pytest.raises(ValueError, match="samples are mixed"):
            module.train()(torch.randn(5, 3))


def test_losses_of_other_calls_and_of_parameters_are_refused():
    module, X = nn.Linear(3, 2), torch.randn(4, 3)
    with record(module) as recording:
        for other in (
            lambda: loss(module(X)) + loss(module(2 * X)),
            lambda: loss(module(X)) + module.weight.square().sum(),
            lambda: loss(F.linear(module(X), module.weight[:, :2])),
        ):
            with pytest.raises(RuntimeError, match="elsewhere than in the last call"):
                recording.factors(other())
        before = loss(module(X))
        module(X)
        with pytest.raises(RuntimeError, match="elsewhere|does not depend"):
            recording.factors(before)
        output = module(X)
        loss(output).backward(retain_graph=True)
        loss(output).backward()
        with pytest.raises(RuntimeError, match="several times"):
            recording.factors()


def test_validation_in_between_changes_nothing():
    torch.manual_seed(0)
    module, X = (
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(),
        torch.randn(4, 3),
    )
    X = X.double()
    with record(module) as recording:
        value = loss(module(X))
        with torch.no_grad():
            module(2 * X)
        value.backward()
        with torch.no_grad():
            module(3 * X)
        found = recording.factors().per_sample()
    for name, wanted in reference(module, X).items():
        torch.testing.assert_close(found[name], wanted, **EXACT)


def test_parameters_may_be_exchanged_in_the_block():
    module, X = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(4, 3)
    with record(module) as recording:
        module[2] = nn.Linear(4, 3)
        assert recording.factors(loss(module(X))).per_sample()["2.weight"].shape == (4, 3, 4)


def test_squares_of_half_precision_do_not_overflow():
    module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 10)).to(torch.bfloat16)
    with record(module) as recording:
        found = recording.factors(1e15 * module(torch.randn(16, 8).bfloat16()).sum())
    for values in found.fisher_diagonal().values():
        assert values.dtype == torch.float32 and values.isfinite().all()
    halves = nn.Linear(8, 4).half()
    with record(halves) as recording:
        found = recording.factors(300 * halves(torch.randn(64, 8).half()).float().mean())
    assert all(v.isfinite().all() for v in found.fisher_diagonal().values())


def test_sparse_gradients_of_a_table():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    x, y = torch.randint(9, (6, 3)), torch.arange(6) % 2
    with record(module) as recording:
        nn.functional.cross_entropy(module(x), y).backward()
        found = recording.factors().mean()["0.weight"]
    torch.testing.assert_close(found, module[0].weight.grad.to_dense())
