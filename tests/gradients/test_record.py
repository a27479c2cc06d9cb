"""Factors of live modules equal `vmap(grad)`, in a training loop that knows nothing of them."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from skmeta.gradients import record

B, T, E = 5, 3, 8
EXACT = {"rtol": 1e-9, "atol": 1e-10}

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


class Language(nn.Module):
    """Embeddings that are the output, too, learned positions, two layers, a scale of one number."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(10, E, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(1, T, E))
        layer = nn.TransformerEncoderLayer(E, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.RMSNorm(E)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, tokens):
        h = self.encoder(self.tokens(tokens) + self.positions)
        return self.scale * F.linear(self.norm(h), self.tokens.weight)


class Decoder(nn.Module):
    """Attention to something else: its packed weights are used in two parts."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(E, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.layer(x, 2 * x)


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.unused, self.last = nn.Linear(4, 4), nn.Linear(2, 2), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.layer(torch.tanh(self.layer(x))))


class Odd(nn.Module):
    """Matrices that are not transposed, differences, and rows by a list of outputs."""

    def __init__(self):
        super().__init__()
        self.matrix, self.shift = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))
        self.gate = nn.Parameter(torch.randn(T, 1))

    def forward(self, x):
        return {"out": torch.sin(self.gate * (x @ self.matrix) - self.shift)}


class Frames(nn.Module):
    """Images of a sequence, one after another in the batch."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3)
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        h = F.gelu(self.norm(self.conv(x.flatten(0, 1)))).mean((2, 3))
        return self.last(h).unflatten(0, (-1, T)).sum(1)


class Patches(nn.Module):
    """A first token for all, by expanding or repeating, and as many learned positions as needed."""

    def __init__(self, way):
        super().__init__()
        self.way, self.cut = way, nn.Conv2d(1, E, 2, stride=2)
        self.sizes = (1, 1) if way == "repeat" else (-1, -1)
        self.first, self.positions = (nn.Parameter(torch.randn(1, n, E)) for n in (1, 9))
        layer = nn.TransformerEncoderLayer(E, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.last = nn.Linear(E, 2)

    def forward(self, x):
        h = self.cut(x).flatten(2).mT
        first = getattr(self.first, self.way)(len(x), *self.sizes)
        h = torch.cat([first, h], 1)
        return self.last(self.encoder(h + self.positions[:, : h.shape[1]])[:, 0])


class Positions(nn.Module):
    """Positions that are looked up, the same for all samples, and one that is picked."""

    def __init__(self, n_positions):
        super().__init__()
        self.n, self.table = n_positions, nn.Embedding(n_positions + 2, E)
        self.tokens = nn.Embedding(10, E)
        self.few, self.last = nn.Parameter(torch.randn(3, E)), nn.Linear(E, 2)

    def forward(self, tokens):
        h = self.tokens(tokens) * self.few[1] + self.table(torch.arange(self.n))
        return self.last(torch.tanh(h)).mean(1)


def table():
    deep = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2, bias=False))
    normed = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.SiLU(), nn.Linear(6, 2))
    images = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.GELU()),
        *(nn.Conv2d(4, 4, 2, groups=2, bias=False), nn.GroupNorm(2, 4), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16, 2)),
    )
    series = nn.Sequential(
        *(nn.Conv1d(2, 4, 3, dilation=2), nn.ReLU(), nn.Conv1d(4, 2, 3)),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten()),
    )
    volumes = nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(54, 2))
    styles = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.PReLU(4)),
        *(nn.Conv2d(4, 2, 2), nn.PReLU(), nn.Flatten(), nn.Linear(18, 2)),
    )
    return {
        "rows": (deep, (5,)),
        "batch norm": (normed, (5,)),
        "images": (images, (1, 9, 9)),
        "series": (series, (2, 12)),
        "volumes": (volumes, (1, 4, 4, 4)),
        "frames": (Frames(), (T, 1, 6, 6)),
        "tokens": (Language(), None),
        "attention": (Decoder(), (T, E)),
        "reused": (Reused(), (4,)),
        "odd": (Odd(), (T, 4)),
        "patches, expanded": (Patches("expand"), (1, 4, 4)),
        "patches, repeated": (Patches("repeat"), (1, 4, 4)),
        "positions": (Positions(T), None),
        "as many looked up as samples": (Positions(B), (B,)),
        "styles": (styles, (1, 6, 6)),
        "as many positions as samples": (nn.Linear(4, 2), (B, 4)),
        "one sample": (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (T, 4)),
    }


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
