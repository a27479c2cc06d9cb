"""Factors of live modules equal `vmap(grad)`, in a training loop that knows nothing of them."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from skmeta.gradients import record
from tests.gradients.live_modules import B, E, T, table

EXACT = {"rtol": 1e-9, "atol": 1e-10}

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


NAMES = list(table())


def case(name):
    torch.manual_seed(0)
    module, shape = table()[name]
    n = 1 if name == "one sample" else B
    if shape is None or name.startswith("as many looked up"):
        x = torch.randint(10, (n, *(shape or (T,))))
    else:
        x = torch.randn(n, *shape).double()
    module = module.double()
    for buffer in module.buffers():
        if buffer.dtype.is_floating_point:
            buffer.uniform_(0.5, 1.5)
    return module.eval(), x


def loss_of(output, weights):
    """A mean over samples of what is no square of anything."""
    output = output["out"] if isinstance(output, dict) else output
    return (output.sin() * weights).flatten(1).sum(1).mean()


def weights_for(module, x):
    with torch.no_grad():
        output = module(x)
    output = output["out"] if isinstance(output, dict) else output
    return torch.randn(
        output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def reference(module, x, weights):
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def of_sample(parameters, x, weight):
        return loss_of(functional_call(module, parameters, (x[None],)), weight[None])

    return vmap(grad(of_sample), in_dims=(None, 0, 0))(parameters, x, weights)


@pytest.mark.parametrize("name", NAMES)
def test_factors_equal_vmap_of_grad(name):
    module, x = case(name)
    weights = weights_for(module, x)
    expected = reference(module, x, weights)
    with record(module) as recording:
        loss_of(module(x), weights).backward()
        found = recording.factors()
        only = recording.factors(loss_of(module(x), weights))
    assert found.names == tuple(expected)
    for factors in (found, only):
        rows, squares, mean = factors.per_sample(), factors.fisher_diagonal(), factors.mean()
        for parameter, value in expected.items():
            torch.testing.assert_close(rows[parameter], value, **EXACT)
            torch.testing.assert_close(squares[parameter], value.square().sum(0), **EXACT)
            torch.testing.assert_close(mean[parameter], value.mean(0), **EXACT)
    for parameter, p in module.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found.mean()[parameter], p.grad, **EXACT)


def test_a_sum_is_not_divided():
    module, x = case("rows")
    weights = weights_for(module, x)
    with record(module, reduction="sum") as recording:
        found = recording.factors(B * loss_of(module(x), weights)).per_sample()
    for name, value in reference(module, x, weights).items():
        torch.testing.assert_close(found[name], value, **EXACT)


def test_samples_on_another_axis():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, 2, 16, dropout=0.0).double()
    x, weights = torch.randn(2, T, B, E).double()

    def of_sample(parameters, x, weight):
        out = functional_call(layer, parameters, (x[:, None],))
        return (out[:, 0].sin() * weight).sum()

    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    expected = vmap(grad(of_sample), in_dims=(None, 1, 1))(parameters, x, weights)
    with record(layer, sample_axis=1) as recording:
        found = recording.factors((layer(x).sin() * weights).sum() / B).per_sample()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **EXACT)


def test_a_training_loop_stays_as_it_is():
    module, x = case("tokens")
    alone = copy.deepcopy(module)
    weights = weights_for(module, x)
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (module, alone)]
    state = torch.get_rng_state()
    with record(module) as recording:
        for _ in range(3):
            for m, optimizer in zip((module, alone), optimizers, strict=True):
                optimizer.zero_grad()
                loss_of(m(x), weights).backward()
                optimizer.step()
            assert recording.factors().n_samples == B
        loss_of(module(x[:2]), weights[:2]).backward()  # another batch
        assert recording.factors().per_sample()["scale"].shape == (2,)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(module.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)
    loss_of(module(x), weights).backward()
    assert not module._forward_hooks


def test_moments_are_those_of_kfac():
    module, x = case("images")
    weights = weights_for(module, x)
    with record(module) as recording:
        factors = recording.factors(loss_of(module(x), weights))
    pairs = factors.kfac()
    assert set(pairs) == {"0.weight", "7.weight"}  # the other convolution has groups
    inputs, gradients = pairs["7.weight"]
    rows = reference(module, x, weights)["7.bias"]
    torch.testing.assert_close(gradients, rows.T @ rows, **EXACT)
    torch.testing.assert_close(inputs.diagonal(), (_entering(module, x)).square().sum(0), **EXACT)
    patches = F.unfold(x, 3, stride=2, padding=1).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(pairs["0.weight"][0], patches.T @ patches, **EXACT)


def _entering(module, x):
    with torch.no_grad():
        return module[:-1](x)


def test_neurons_are_kept_and_no_weights():
    torch.manual_seed(0)
    widths = (64, 256, 256, 10)
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    module = nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())))
    with record(module) as recording:
        factors = recording.factors(module(torch.randn(32, 64)).sum())
    neurons = 32 * (sum(widths[:-1]) + sum(widths[1:]))
    assert factors.n_numbers == neurons


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x * self.gate.sigmoid()


REFUSED = {
    "samples mixed": (
        nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)),
        ["'1.weight' (used by NativeBatchNorm", "'0.weight' (samples are mixed", "eval()"],
    ),
    "unknown use": (
        nn.Sequential(nn.Linear(4, 3), Gate(), nn.Linear(3, 2)),
        ["of 1 parameters: '1.gate' (used by SigmoidBackward0)", "'skip'"],
    ),
    "weights of weights": (
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)),
        ["original0", "original1", "WeightNorm"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parameters_without_factors_are_named(name):
    module, words = REFUSED[name]
    with record(module) as recording, pytest.raises(ValueError) as refused:
        module(torch.randn(B, 4))
    assert all(word in str(refused.value) for word in words)
    with pytest.raises(RuntimeError, match="no call"), recording:
        recording.factors()


def test_a_loss_over_several_calls_is_refused():
    module = nn.Linear(4, 2)
    x = torch.randn(B, 4)
    with record(module) as recording:
        module(x).sum().backward()  # one after another is fine
        module(x).sum().backward()
        assert recording.factors().n_samples == B
        (module(x).sum() + module(2 * x).sum()).backward()
        with pytest.raises(RuntimeError, match="in several calls"):
            recording.factors()
        module(x).sum().backward()
        assert recording.factors().n_samples == B


def test_what_is_skipped_or_frozen_is_left_out():
    module = nn.Sequential(nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2))
    with record(module, skip=["1.weight"]) as recording:
        names = recording.factors(module(torch.randn(B, 4)).sum()).names
    assert names == ("0.weight", "0.bias", "2.weight", "2.bias")
    module[1].requires_grad_(False)
    with record(module) as recording:
        assert recording.factors(module(torch.randn(B, 4)).sum()).names == names


def test_what_hides_its_graph_is_refused():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = x.requires_grad_()
            return self.last(checkpoint(self.first, x, use_reentrant=True))

    module = Hidden()
    with record(module), pytest.raises(ValueError, match="'first.weight' .*CheckpointFunction"):
        module(torch.randn(B, 4))


def test_wrong_use_is_told():
    module = nn.Linear(3, 2)
    with pytest.raises(TypeError, match="'module' of record"):
        record(module.weight)
    with pytest.raises(ValueError, match="'reduction'"):
        record(module, reduction="max")
    with pytest.raises(ValueError, match=r"'skip' .*\['w'\]"):
        record(module, skip=["w"])
    with record(module) as recording:
        with torch.no_grad():
            module(torch.ones(2, 3))
        with pytest.raises(RuntimeError, match="no call of the module"):
            recording.factors()
        module(torch.ones(2, 3))
        with pytest.raises(RuntimeError, match="no backward pass"):
            recording.factors()

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            return self.linear(x).sum()

    whole = Loss()
    with record(whole), pytest.raises(ValueError, match="outputs of each sample, not a loss"):
        whole(torch.ones(2, 3))
