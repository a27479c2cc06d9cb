"""What users do to a module between two steps of a learned optimizer."""

import copy
import gc

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from skmeta.optimizing import LearnedOptimizer
from tests.optimizing.modules import loss_of, network, numbers, settings, train
from tests.training.test_against_torch import X, Y, batches


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("rule", ["adam", "kfac"])
def test_a_step_that_a_scaler_leaves_out_leaves_nothing_behind(rule):
    plain, scaled = network(dtype=torch.float32), network(dtype=torch.float32)
    train(plain, LearnedOptimizer(plain, settings(rule)), 8)
    optimizer = LearnedOptimizer(scaled, settings(rule))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    rows = list(batches(1, 8))
    for i, some in enumerate([*rows[:3], rows[0], *rows[3:]]):
        optimizer.zero_grad()
        loss = loss_of(scaled, some[0]) * (torch.inf if i == 3 else 1)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    torch.testing.assert_close(flat(scaled), flat(plain), rtol=1e-5, atol=1e-6)


def test_gradients_that_are_thrown_away_take_their_moments_along():
    plain, other = network(), network()
    one, two = (LearnedOptimizer(m, settings("kfac")) for m in (plain, other))
    for rows in batches(1, 8):
        for forget in (two.zero_grad, other.zero_grad):
            nn.functional.cross_entropy(other(10 * X), Y).backward()
            forget()
        for module, optimizer in ((plain, one), (other, two)):
            optimizer.zero_grad()
            loss_of(module, rows[0]).backward()
            optimizer.step()
    assert torch.equal(flat(plain), flat(other))


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("called", [False, True])
def test_a_state_that_is_loaded_is_what_one_gets(norm, called):
    module = network(norm=norm)
    optimizer = LearnedOptimizer(module, settings("kfac", 60, window=0.5))
    train(module, optimizer, 10)
    best = copy.deepcopy(module.state_dict())
    train(module, optimizer, 20, seed=1)
    if called:
        loss_of(module)  # a call in training: the module has the last weights
    module.load_state_dict(best)
    module.eval()
    loss_of(module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, best[name])


def test_other_weights_go_on_when_somebody_sets_a_few():
    module = network()
    optimizer = LearnedOptimizer(module, settings("adam", window=0.5))
    for rows in batches(1, 8):
        optimizer.zero_grad()
        loss_of(module, rows[0]).backward()
        optimizer.step()
        with torch.no_grad():
            module[2].bias.add_(0.01)
    loss_of(module)
    course = optimizer._attached.course
    assert (course.last[0, :-2] != course.average[0, :-2]).all()
    assert torch.equal(course.last[0, -2:], course.average[0, -2:])


@pytest.mark.parametrize("again", ["attach", "state"])
def test_weights_that_were_set_are_remembered(again):
    module, other = network(), network(seed=5)
    optimizer = LearnedOptimizer(module, settings("adam", window=0.5))
    train(module, optimizer, 6)
    module.load_state_dict(other.state_dict())
    if again == "attach":
        optimizer.detach()
        optimizer.attach(module)
    else:
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert torch.equal(flat(module), flat(other))


def test_batches_are_copied_for_statistics():
    statistics = []
    for reuse in (False, True):
        module, buffer = network(norm=True), torch.empty(16, 5, dtype=torch.float64)
        optimizer = LearnedOptimizer(module, settings("adam", window=0.5))
        for rows in batches(1, 8):
            batch = buffer.copy_(X[rows[0]]) if reuse else X[rows[0]]
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(batch), Y[rows[0]]).backward()
            optimizer.step()
        statistics.append(module.state_dict()["1.running_mean"])
    assert torch.equal(*statistics)


def test_statistics_are_right_when_the_optimizer_is_gone():
    module, kept = network(norm=True), network(norm=True)
    optimizer = LearnedOptimizer(module, settings("adam", window=0.5))
    other = LearnedOptimizer(kept, settings("adam", window=0.5))
    train(module, optimizer, 8)
    train(kept, other, 8)
    del optimizer
    gc.collect()
    assert torch.equal(numbers(copy.deepcopy(module)), numbers(kept))
    assert not module._forward_pre_hooks and not module[0]._forward_hooks


@pytest.mark.parametrize("norm", [False, True])
def test_types_may_change(norm):
    module = network(dtype=torch.float32, norm=norm)
    optimizer = LearnedOptimizer(module, settings("kfac", window=0.5))
    module.double()
    train(module, optimizer, 4)
    assert optimizer._attached.course.last.dtype == torch.float64
    module.float()
    assert all(value.isfinite().all() for value in module.state_dict().values())
    train(module, optimizer, 2, seed=1)
    module.eval()
    assert loss_of(module).isfinite()


def test_checkpoints_that_call_the_module_twice_are_refused():
    module = network()
    optimizer = LearnedOptimizer(module, settings("adam", window=0.5))
    x = X.clone().requires_grad_()

    def step(reentrant):
        optimizer.zero_grad()
        out = checkpoint(module, x, use_reentrant=reentrant)
        nn.functional.cross_entropy(out, Y).backward()
        optimizer.step()

    for _ in range(3):
        step(False)
    with pytest.raises(RuntimeError, match="use_reentrant=False"):
        step(True)


def test_a_state_that_does_not_fit_changes_nothing():
    module = network()
    optimizer = LearnedOptimizer(module, settings("kfac", window=0.5))
    train(module, optimizer, 5)
    before = flat(module)
    wider = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 2)).double()
    other = LearnedOptimizer(wider, settings("kfac"))
    train(wider, other, 2)
    loss_of(module)
    with pytest.raises(ValueError, match="a tensor of shape"):
        optimizer.load_state_dict(other.state_dict())
    with torch.no_grad():
        loss_of(module)
    assert torch.equal(flat(module), before)


def test_linear_layers_are_called_in_many_ways():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(5, 4).double(), nn.Linear(4, 2).double()
            self.never = nn.Linear(4, 4).double()

        def forward(self, x):
            h = torch.stack([self.first(row).tanh() for row in x])  # one row at a time
            self.never(h[:0])
            return self.last(input=h)

    module, plain = Odd(), nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for a, b in ((plain[0], module.first), (plain[2], module.last)):
            a.load_state_dict(b.state_dict())
    optimizer = LearnedOptimizer(module, settings("kfac"))
    with pytest.warns(UserWarning, match="never.weight"):
        train(module, optimizer, 1)
    train(module, optimizer, 4, seed=1)
    other = LearnedOptimizer(plain, settings("kfac"))
    train(plain, other, 1)
    train(plain, other, 4, seed=1)
    torch.testing.assert_close(module.first.weight, plain[0].weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(module.last.weight, plain[2].weight, rtol=1e-9, atol=1e-12)
