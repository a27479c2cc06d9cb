"""Samples that numbers move, gates that open, parameters that move on: reports on `record`."""

import copy

import pytest
import torch
from torch import nn

from skmeta.gradients import record
from skmeta.gradients.modules.probes import Probes
from tests.gradients.live_modules import table

B, T, E = 8, 4, 6
EXACT = {"rtol": 1e-8, "atol": 1e-10}


def single(module, x, weights):
    """Gradients of each sample by itself."""
    parameters = dict(module.named_parameters())
    rows = []
    for i in range(len(weights)):
        output = module(*(t[i : i + 1] for t in x))
        loss = (output.sin() * weights[i : i + 1]).sum()
        rows.append(torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True))
    return {n: torch.stack(r) for n, r in zip(parameters, zip(*rows, strict=True), strict=True)}


def check(recording, module, *x):
    """One step in a block, against samples by themselves."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(len(x[0]), 2, generator=generator).double()
    expected = single(module, x, weights)
    (module(*x).sin() * weights).sum(1).mean().backward()
    found = recording.factors().per_sample()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **EXACT)


class Packed(nn.Module):
    """Only true tokens go through the layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(E, E), nn.Linear(E, 2)

    def forward(self, x, mask):
        h = x.new_zeros(x.shape).index_put((mask,), torch.tanh(self.a(x[mask])))
        return self.b(h.sum(1))


class Sorted(Packed):
    """Rows are sorted for the layer, and brought back."""

    def forward(self, x):
        order = x[:, 0].argsort()
        return self.b(torch.tanh(self.a(x[order]))[order.argsort()])


class Picked(nn.Module):
    """The last token of each sample, after positions that are the same for all."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(9, E), nn.Embedding(B, E)
        self.b = nn.Linear(E, 2)

    def forward(self, tokens, last):
        h = torch.tanh(self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1])))
        return self.b(h[torch.arange(len(tokens)), last])


def made(kind):
    torch.manual_seed(0)
    return kind().double()


def masks(*lengths):
    return torch.arange(T) < torch.tensor(lengths)[:, None]


def test_packed_tokens_of_other_lengths():
    module = made(Packed)
    with record(module) as recording:
        for lengths in ([2] * 8, [2, 2, 3, 1, 2, 1, 3, 2], [2, 2, 1, 3, 2, 2, 2, 2]):
            mask = masks(*lengths)
            module.zero_grad()
            # Where tokens are packed samples have no axis: refused, or right.
            try:
                check(recording, module, torch.randn(B, T, E).double(), mask)
            except ValueError as error:
                assert "samples are mixed at" in str(error) and "a.weight" in str(error)
                assert lengths != [2] * 8


def test_rows_that_are_sorted_in_the_first_batch_and_not_in_the_second():
    module, x = made(Sorted), torch.randn(B, E).double()
    with record(module) as recording:
        check(recording, module, x[x[:, 0].argsort()])
        with pytest.raises(ValueError, match="samples are mixed at"):
            check(recording, module, x)
        x[[2, 3]] = x[[3, 2]]
        with pytest.raises(ValueError, match="samples are mixed at"):
            check(recording, module, x)


def test_tokens_that_are_picked_elsewhere_in_the_second_batch():
    module = made(Picked)
    with record(module) as recording:
        for last in (
            torch.arange(B),
            torch.tensor([3, 3, 1, 0, 7, 7, 2, 5]),
            torch.zeros(B).long(),
        ):
            check(recording, module, torch.randint(9, (B, B)), last)


class Gated(nn.Module):
    """A branch behind a gate that is shut at first."""

    def __init__(self, mixes=False):
        super().__init__()
        self.a, self.b, self.mixes = nn.Linear(E, E), nn.Linear(E, 2), mixes
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.b(x + self.gate * (h - h.mean(0) if self.mixes else h))


def test_gates_that_open():
    module = made(Gated)
    with record(module) as recording:
        for value in (0.0, 0.0, 0.7, 0.0):
            module.gate.data.fill_(value)
            check(recording, module, torch.randn(B, E).double())


def test_a_gate_that_lets_samples_mix_is_seen_when_it_opens():
    module = made(lambda: Gated(mixes=True))
    with record(module):
        module(torch.randn(B, E).double())
        module.gate.data.fill_(1.0)
        with pytest.raises(ValueError, match="samples are mixed at"):
            module(torch.randn(B, E).double())


def test_few_passes_are_made(monkeypatch):
    count = []
    probe = Probes.probe
    monkeypatch.setattr(Probes, "probe", lambda *a: count.append(1) or probe(*a))
    module = made(Gated)
    with record(module):
        for _ in range(3):
            module(torch.randn(128, E).double())
    assert len(count) == 14 + 2  # twice the logarithm of 128, then one for the gate


class Query(nn.Module):
    """A parameter that goes through layers itself."""

    def __init__(self):
        super().__init__()
        self.q, self.p = nn.Parameter(torch.randn(1, E)), nn.Parameter(torch.randn(E))
        self.a, self.n, self.b = nn.Linear(E, E), nn.LayerNorm(E), nn.Linear(E, 2)

    def forward(self, x):
        q = self.q.expand(len(x), -1)
        return self.b(torch.tanh(self.a(q)) * x + self.n(q) + q * self.p)


@pytest.mark.parametrize("early", [False, True])
def test_a_step_of_an_optimizer_changes_no_factors(early):
    module, x = made(Query), torch.randn(B, E).double()
    weights = torch.randn(B, 2).double()
    expected = single(module, (x,), weights)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    with record(module) as recording:
        (module(x).sin() * weights).sum(1).mean().backward()
        factors = recording.factors() if early else None
        optimizer.step()
        factors = recording.factors() if factors is None else factors
        for name, value in factors.per_sample().items():
            torch.testing.assert_close(value, expected[name], **EXACT)


@pytest.mark.parametrize("name", table())
@pytest.mark.parametrize("seed", range(3))
def test_single_precision_is_enough(name, seed):
    """A bias in front of a norm, and that of keys, has a gradient of zero but for rounding."""
    torch.manual_seed(seed)
    module, shape = table()[name]
    n = 1 if name == "one sample" else 5
    tokens = shape is None or name.startswith("as many looked up")
    x = torch.randint(10, (n, *(shape or (3,)))) if tokens else torch.randn(n, *shape)
    with record(module.eval()):
        module(x)


def test_keys_with_a_bias_of_their_own():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(E, E) for _ in range(4))

        def forward(self, x):
            seen = nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))
            return self.o(seen)

    for seed in range(10):
        torch.manual_seed(seed)
        with record(Attention()) as recording:
            recording.module(torch.randn(B, T, E))


def test_a_copy_of_the_module_is_not_looked_at():
    module = made(Gated)
    with record(module) as recording:
        module(torch.randn(B, E).double()).sum().backward()
        other = copy.deepcopy(module)
        other(torch.randn(B, E).double()).sum().backward()
        assert recording.factors().n_samples == B
