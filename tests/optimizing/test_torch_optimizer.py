"""Learned optimizers of torch modules: the same steps as in stacks, and the weights one sees."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from skmeta.datasets import CrossEntropy
from skmeta.networks import to_module
from skmeta.networks.modules import tensor_names
from skmeta.optimizing import LearnedOptimizer, Recipe
from skmeta.training import StackTrainer
from tests.optimizing.modules import N_STEPS, RULES, loss_of, network, numbers, settings, train
from tests.population.cases import CASES, trained_looking
from tests.training.test_against_torch import X, Y, batches, stack_of, without_dropout


@pytest.mark.parametrize("name, architecture", CASES)
@pytest.mark.parametrize("rule", RULES)
def test_every_step_is_that_of_a_stack(name, architecture, rule):
    record = trained_looking(without_dropout(architecture), 0)
    stack, recipe = stack_of([record]), Recipe.of(rule, settings(rule).numbers)
    trainer = StackTrainer(
        stack,
        lr=recipe.numbers["lr"],
        weight_decay=recipe.numbers["weight_decay"],
        seeds=[0],
        rule=recipe.rule,
        schedule=recipe.schedule(N_STEPS),
    )
    module = to_module(next(stack.records())).train()
    optimizer = LearnedOptimizer(module, settings(rule))
    state = trainer.start()
    for rows in batches(1, N_STEPS):
        state, _ = trainer.step(state, X, rows, CrossEntropy(Y))
    with_last = stack.with_weights(state.networks.weights, state.networks.statistics)
    train(module, optimizer)
    pairs = [(trainer.networks(state), module)]
    last = copy.deepcopy(module)
    optimizer._attached.flat.write(optimizer._attached.course.last)
    last.load_state_dict(dict(module.named_parameters()), strict=False)
    pairs.append((with_last, last))
    for theirs, ours in pairs:
        (found,) = theirs.records()
        for slot, tensor_name in tensor_names(found.architecture).items():
            if slot.endswith(("mean", "var")):  # measured anew
                continue
            ours_now = ours.get_parameter(tensor_name).detach()
            # Muon orthogonalises in bfloat16.
            tolerance = {"rtol": 1e-2, "atol": 1e-3} if rule == "muon" else {"rtol": 1e-7}
            torch.testing.assert_close(ours_now, found.tensors[slot], **{"atol": 2e-8, **tolerance})


@pytest.mark.parametrize("rule", RULES)
def test_whoever_looks_sees_the_average(rule):
    module = network()
    optimizer = LearnedOptimizer(module, settings(rule, window=0.4))
    seen = []
    module.register_forward_hook(lambda m, args, out: seen.append(m[0].weight.detach().clone()))
    train(module, optimizer, 8)
    average, last = (getattr(optimizer._attached.course, name) for name in ("average", "last"))
    first = slice(0, 40)
    assert not torch.allclose(average, last, rtol=1e-3)

    def shows(flat):
        return torch.equal(module[0].weight.flatten(), flat[0, first])

    assert shows(average)
    loss = loss_of(module)
    assert shows(last) and torch.equal(seen[-1].flatten(), last[0, first])
    kept = module.state_dict()["0.weight"]
    assert torch.equal(kept.flatten(), average[0, first]) and shows(average)
    loss = loss_of(module)
    with torch.no_grad():
        loss_of(module)
    assert torch.equal(seen[-1].flatten(), average[0, first])
    module.eval()
    loss_of(module)
    assert torch.equal(seen[-1].flatten(), average[0, first])
    module.train()
    loss = loss_of(module)
    loss.backward()
    with torch.inference_mode():
        loss_of(module)  # between the gradient and the step
    assert shows(average)
    optimizer.step()
    assert not shows(last) and shows(optimizer._attached.course.average)


@pytest.mark.parametrize("rule", RULES)
def test_a_state_goes_on_to_the_same_bits(rule):
    whole, first = network(), network()
    optimizer = LearnedOptimizer(whole, settings(rule, 20))
    train(whole, optimizer, 9)
    before = LearnedOptimizer(first, settings(rule, 20))
    train(first, before, 9)
    file = io.BytesIO()
    torch.save({"module": first.state_dict(), "optimizer": before.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = network(seed=1)
    second.load_state_dict(saved["module"])
    after = LearnedOptimizer(second, settings(rule), n_steps=7)
    after.load_state_dict(saved["optimizer"])
    train(whole, optimizer, 9, seed=1)
    train(second, after, 9, seed=1)
    assert torch.equal(numbers(whole), numbers(second))
    mine, theirs = (o.state_dict()["learned"] for o in (optimizer, after))
    assert torch.equal(mine["last"], theirs["last"]) and mine["length"] == theirs["length"] == 20


@pytest.mark.parametrize("rule", RULES)
def test_a_pickle_of_both_goes_on_to_the_same_bits(rule):
    module = network()
    optimizer = LearnedOptimizer(module, settings(rule, 20))
    train(module, optimizer, 5)
    again, other = pickle.loads(pickle.dumps((module, optimizer)))
    assert torch.equal(numbers(again), numbers(module))
    with pytest.raises(RuntimeError, match=r"call optimizer.attach\(module\)"):
        train(again, other, 1)
    other.attach(again)
    train(module, optimizer, 5, seed=1)
    train(again, other, 5, seed=1)
    assert torch.equal(numbers(again), numbers(module))


def test_copies_of_a_module_are_let_alone():
    module = network()
    optimizer = LearnedOptimizer(module, settings("kfac"))
    train(module, optimizer, 4)
    twin = copy.deepcopy(module)
    before = numbers(twin)
    train(module, optimizer, 4, seed=1)
    loss_of(twin)  # a call in training
    assert torch.equal(numbers(twin), before)
    assert not torch.equal(numbers(module), before)


def test_the_average_stays_when_the_optimizer_is_gone():
    module = network()
    optimizer = LearnedOptimizer(module, settings("adam", window=0.4))
    train(module, optimizer, 6)
    before = numbers(module)
    del optimizer
    loss_of(module)
    assert torch.equal(numbers(module), before)


def test_the_next_optimizer_takes_the_module_over():
    module = network()
    first = LearnedOptimizer(module, settings("adam", window=0.4))
    train(module, first, 6)
    loss_of(module)  # has the last weights
    average = first._attached.course.average.clone()
    second = LearnedOptimizer(module, settings("kfac"))
    assert torch.equal(numbers(module)[None], average)
    with pytest.raises(RuntimeError, match="must know the module"):
        first.step()
    train(module, second, 2)


def test_training_goes_on_from_weights_that_somebody_sets():
    module, other = network(), network(seed=3)
    optimizer = LearnedOptimizer(module, settings("sgdm", 1000, lr=1e-3, decay=0.0))
    train(module, optimizer, 30)
    for change in (
        lambda: module.load_state_dict(other.state_dict()),
        lambda: [p.data.mul_(0.0).add_(0.7) for p in module.parameters()],
    ):
        change()
        wanted = numbers(module)
        train(module, optimizer, 1)
        step = (numbers(module) - wanted).abs().max()
        assert 0 < step < 0.05
        course = optimizer._attached.course
        assert (course.last[0] - wanted).abs().max() < 0.05


def test_weights_that_somebody_sets_before_a_step_are_those_that_it_changes():
    module = network()
    optimizer = LearnedOptimizer(module, settings("adam", 1000, lr=1e-3, decay=0.0))
    train(module, optimizer, 5)
    loss_of(module).backward()
    with torch.no_grad():
        module[0].weight.clamp_(-0.01, 0.01)
    optimizer.step()
    last = optimizer._attached.course.last[0, :40]
    assert last.abs().max() < 0.012


def test_weights_without_a_gradient_stay():
    module = network()
    module[2].requires_grad_(True)
    optimizer = LearnedOptimizer(module, settings("adam", weight_decay=0.3))
    train(module, optimizer, 3)
    before = optimizer._attached.course.last.clone()
    optimizer.zero_grad()
    loss_of(module).backward()
    module[0].weight.grad = None
    optimizer.step()
    after = optimizer._attached.course.last
    assert torch.equal(after[0, :40], before[0, :40])
    assert not (after[0, 40:] == before[0, 40:]).any()


@pytest.mark.parametrize("rule", ["adam", "kfac"])
def test_gradients_of_two_halves_add_up(rule):
    whole, halves = network(), network()
    one, two = (LearnedOptimizer(m, settings(rule)) for m in (whole, halves))
    for rows in batches(1, 6):
        one.zero_grad()
        loss_of(whole, rows[0]).backward()
        one.step()
        two.zero_grad()
        for half in rows[0].chunk(2):
            (loss_of(halves, half) / 2).backward()
        two.step()
    torch.testing.assert_close(numbers(halves), numbers(whole), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", ["muon", "kfac"])
def test_a_scaled_loss_is_scaled_back(rule):
    plain, scaled = network(dtype=torch.float32), network(dtype=torch.float32)
    optimizer = LearnedOptimizer(plain, settings(rule))
    train(plain, optimizer, 8)
    other = LearnedOptimizer(scaled, settings(rule))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    for i, rows in enumerate(batches(1, 9)):
        other.zero_grad()
        loss = loss_of(scaled, rows[0])
        if i == 8:  # a step that the scaler leaves out
            loss = loss * torch.inf
        scaler.scale(loss).backward()
        scaler.step(other)
        scaler.update()
    torch.testing.assert_close(numbers(scaled), numbers(plain), rtol=1e-5, atol=1e-6)


def test_schedulers_and_clipping_work():
    slow, fast = network(), network()
    optimizer = LearnedOptimizer(slow, settings("kfac"))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1 * (step < 6))
    other = LearnedOptimizer(fast, settings("kfac"), lr=0.1)
    for rows in batches(1, 6):
        for module, one in ((slow, optimizer), (fast, other)):
            one.zero_grad()
            loss_of(module, rows[0]).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.01)
            one.step()
        scheduler.step()
    assert torch.equal(numbers(slow), numbers(fast))
    train(slow, optimizer, 1)
    assert torch.equal(optimizer._attached.course.last, other._attached.course.last)


def test_a_closure_is_called_once():
    module, plain = network(), network()
    optimizer, other = (LearnedOptimizer(m, settings("kfac")) for m in (module, plain))
    for rows in batches(1, 5):
        calls = []

        def closure(rows=rows, calls=calls):
            optimizer.zero_grad()
            loss = loss_of(module, rows[0])
            loss.backward()
            calls.append(loss)
            return loss

        assert optimizer.step(closure) is calls[0] and len(calls) == 1
    train(plain, other, 5)
    assert torch.equal(numbers(module), numbers(plain))


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch hides by a filter
def test_compiled_modules_are_known_by_what_they_were_made_of():
    plain, inner = network(), network()
    compiled = torch.compile(inner, backend="eager")
    train(plain, LearnedOptimizer(plain, settings("kfac")), 6)
    optimizer = LearnedOptimizer(compiled, settings("kfac"))
    train(compiled, optimizer, 6)
    assert torch.equal(numbers(inner), numbers(plain))
    with torch.no_grad():
        compiled.eval()
        torch.testing.assert_close(compiled(X), plain.eval()(X), rtol=0, atol=0)


def test_a_layer_that_is_used_twice_and_one_that_is_not_used():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.middle = nn.Linear(5, 6).double(), nn.Linear(6, 6).double()
            self.last, self.idle = nn.Linear(6, 2).double(), nn.Linear(6, 2).double()

        def forward(self, x):
            return self.last(self.middle(self.middle(self.first(x).tanh()).tanh()))

    module = Twice()
    idle = module.idle.weight.detach().clone()
    optimizer = LearnedOptimizer(module, settings("kfac"))
    with pytest.warns(UserWarning, match="AdamW for .'idle.weight'"):
        train(module, optimizer, 1)
    train(module, optimizer, 5, seed=1)
    assert optimizer._attached.course.layers == ["first.weight", "middle.weight", "last.weight"]
    assert torch.equal(module.idle.weight, idle)


def test_what_is_no_linear_layer_gets_adamw_and_says_so():
    conv = nn.Sequential(nn.Conv1d(1, 3, 2), nn.Flatten(), nn.Linear(12, 2)).double()
    optimizer = LearnedOptimizer(conv, settings("kfac"))
    with pytest.warns(UserWarning, match="'kfac' for 1 linear layers, and of AdamW for .'0.weight"):
        loss_of(conv, call=lambda x: conv(x[:, None])).backward()
        optimizer.step()


def test_numbers_of_half_precision_are_kept_in_single():
    module = network(dtype=torch.bfloat16)
    optimizer = LearnedOptimizer(module, settings("adam", 1000, lr=1e-3, decay=0.0, window=1e-3))
    start = optimizer._attached.flat.read()
    train(module, optimizer, 20)
    course = optimizer._attached.course
    assert course.last.dtype == torch.float32
    # Steps that bfloat16 would round away have added up.
    assert ((course.last - start).abs() > 0).all()


def test_statistics_are_those_of_the_average():
    module = network(norm=True)
    optimizer = LearnedOptimizer(module, settings("kfac", window=0.5))
    train(module, optimizer, 10)
    state = torch.random.get_rng_state()
    module.eval()(X)
    assert torch.equal(torch.random.get_rng_state(), state)
    batch_sizes, hidden = batches(1, 10), module[0]
    wanted = torch.stack([hidden(X[rows[0]]).mean(0) for rows in batch_sizes]).mean(0)
    torch.testing.assert_close(module[1].running_mean, wanted, rtol=1e-9, atol=1e-12)
    assert module[1].num_batches_tracked == 10 and module[1].momentum == 0.1
    assert not any(part.training for part in module.modules())
    module.train()
    before = module[1].running_mean.clone()
    train(module, optimizer, 1)
    assert not torch.equal(module[1].running_mean, before)


def test_frozen_statistics_stay():
    module = network(norm=True)
    optimizer = LearnedOptimizer(module, settings("kfac", window=0.5))
    module[1].eval()
    train(module, optimizer, 5)
    module.state_dict()
    assert torch.equal(module[1].running_mean, torch.zeros(8, dtype=torch.float64))


def test_no_global_random_state_is_moved():
    module = network(norm=True)
    state = torch.random.get_rng_state()
    train(module, LearnedOptimizer(module, settings("kfac")), 4)
    module.eval()(X)
    assert torch.equal(torch.random.get_rng_state(), state)
