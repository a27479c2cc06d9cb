"""The loop around the steps: divergence, early stop, checkpoints, samplers, random streams."""

import pickle

import numpy as np
import pytest
import torch

from skmeta.datasets import CrossEntropy
from skmeta.networks import Architecture, Layer
from skmeta.population import Population, Stack, forward
from skmeta.training import (
    RULES,
    ShuffledRows,
    StackTrainer,
    StratifiedRows,
    per_network,
    single_thread,
    train_stack,
)

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1] ** 2).long()
LOSS = CrossEntropy(Y)
ARCHITECTURE = Architecture(4, [Layer(8, "relu", "batch", bias=False, dropout=0.1), Layer(2)])


def stack_of(n):
    ((_, stack),) = Population.initialize(ARCHITECTURE, n, random_state=0).blocks
    return stack


def trainer_of(n, lr=0.05, rule="adam", members=None):
    stack, members = stack_of(n), list(range(n)) if members is None else members
    return StackTrainer(
        stack.select(members),
        lr=per_network(lr, n)[members],
        weight_decay=torch.zeros(len(members)),
        seeds=members,
        rule=rule,
    )


def run(trainer, **options):
    return train_stack(trainer, X, LOSS, ShuffledRows(len(X), 32), **{"n_epochs": 4, **options})


def evaluate(stack):
    rows = torch.arange(len(X)).expand(len(stack), -1)
    return LOSS(forward(stack, X), rows)


def tensors_of(stack):
    return [*stack.params.tensors(), *stack.buffers.mean, *stack.buffers.var]


def same(first, second, rows=slice(None)):
    pairs = zip(tensors_of(first), tensors_of(second), strict=True)
    return all(torch.equal(a[rows], b[rows]) for a, b in pairs)


def test_training_helps():
    start = evaluate(stack_of(3))
    result = run(trainer_of(3), n_epochs=15, evaluate=evaluate)
    assert (evaluate(result.stack) < 0.7 * start).all()
    assert result.train_loss.shape == result.validation_loss.shape == (15, 3)
    torch.testing.assert_close(result.validation_loss[-1], evaluate(result.stack))


def test_start_is_not_changed():
    stack = stack_of(2)
    before = [t.clone() for t in tensors_of(stack)]
    run(StackTrainer(stack, lr=torch.ones(2), weight_decay=torch.zeros(2), seeds=[0, 1]))
    assert all(torch.equal(a, b) for a, b in zip(before, tensors_of(stack), strict=True))


@pytest.mark.parametrize("rule", ["adam", "sgd"])
def test_a_diverged_network_is_flagged_and_kept_and_disturbs_no_other(rule):
    lr = [0.05, 1e30, 0.05]
    result = run(trainer_of(3, lr, rule), checkpoints=[1, 4])
    assert result.diverged.tolist() == [False, True, False]
    healthy = run(trainer_of(3, lr, rule, members=[0, 2]), checkpoints=[1, 4])
    for epoch, stack in result.checkpoints.items():
        assert all(t.isfinite().all() for t in tensors_of(stack))
        others = stack.select([0, 2])
        for a, b in zip(tensors_of(others), tensors_of(healthy.checkpoints[epoch]), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert same(result.stack, stack_of(3), 1)  # it broke in its first epoch


def test_a_diverged_network_keeps_its_last_finite_epoch():
    trainer = trainer_of(2)

    def break_first(epoch):
        if epoch == 2:
            trainer.lr[0] = 1e30

    result = run(trainer, checkpoints=[2, 4], on_epoch=break_first)
    assert result.diverged.tolist() == [True, False]
    assert same(result.stack, result.checkpoints[2], 0)
    assert not same(result.stack, result.checkpoints[2], 1)


def test_early_stop_goes_back_to_the_best_epoch_of_each_network():
    curves = torch.tensor([[3.0, 9.0], [1.0, 8.0], [2.0, 7.0], [2.0, 6.0], [0.0, 5.0]])
    epochs = iter(curves)
    trainer = trainer_of(2)
    result = run(
        trainer, n_epochs=5, checkpoints=range(1, 6), evaluate=lambda _: next(epochs), patience=2
    )
    kept = result.checkpoints
    assert same(kept[4], kept[5], 0) and not same(kept[4], kept[5], 1)  # stopped after epoch 4
    assert same(result.stack, kept[2], 0) and same(result.stack, kept[5], 1)


def test_loop_ends_when_every_network_has_stopped():
    result = run(
        trainer_of(2), n_epochs=50, checkpoints=[50], evaluate=lambda s: torch.ones(2), patience=3
    )
    assert len(result.train_loss) == 4
    assert same(result.checkpoints[50], result.stack)


@pytest.mark.parametrize("rule", RULES)
def test_training_goes_on_from_a_copied_state_to_the_same_bits(rule):
    trainer, sampler = trainer_of(2, rule=rule), ShuffledRows(len(X), 32)
    whole = run(trainer, n_epochs=5)
    first = run(trainer, n_epochs=2).state
    for fork in (first.copy(), pickle.loads(pickle.dumps(first)), first):
        rest = run(trainer, n_epochs=3, state=fork)
        assert same(rest.stack, whole.stack)
    # In the middle of an epoch, too, where dropout goes on drawing.
    state = trainer.start()
    batches = list(sampler.epoch(state.generators))
    state, _ = trainer.step(state, X, batches[0], LOSS)
    forks = [state.copy(), state]
    for number, fork in enumerate(forks):
        for rows in batches[1:]:
            fork, _ = trainer.step(fork, X, rows, LOSS)
        forks[number] = fork
    assert same(*map(trainer.networks, forks))


def test_checkpoints_do_not_share_memory():
    result = run(trainer_of(2), checkpoints=[1, 2])
    assert not same(result.checkpoints[1], result.checkpoints[2])


@pytest.mark.parametrize(
    "options, text",
    [
        ({"n_epochs": 0}, "'n_epochs' parameter of train_stack must be at least 1"),
        ({"checkpoints": [5]}, r"Got 4 and \[5\] instead"),
        ({"patience": 2}, "'patience' parameter of train_stack needs 'evaluate'"),
    ],
)
def test_settings_that_cannot_work(options, text):
    with pytest.raises(ValueError, match=text):
        run(trainer_of(1), **options)


def test_per_network():
    assert per_network(2, 3).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="one number or 3 of them. Got 2"):
        per_network([1, 2], 3)


def test_global_random_state_is_left_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(trainer_of(2))
    list(StratifiedRows(Y.numpy(), 3, 2).epoch([torch.Generator()]))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_single_thread_restores_the_setting():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), single_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_shuffled_rows_see_every_row_once():
    batches = list(ShuffledRows(23, 5).epoch(generators(0, 1)))
    assert [tuple(b.shape) for b in batches] == [(2, 5)] * 4
    for seen in torch.cat(batches, 1).tolist():
        assert len(set(seen)) == 20 and set(seen) <= set(range(23))
    assert not torch.equal(batches[0][0], batches[0][1])
    assert [tuple(b.shape) for b in ShuffledRows(7, 99).epoch(generators(0))] == [(1, 7)]


@pytest.mark.parametrize("n_steps", [1, 16, 37])
def test_stratified_rows_go_cell_by_cell(n_steps):
    cells = np.array([5, 0, 2, 2, 5, 0, 2, 2, 2])
    batches = list(StratifiedRows(cells, 4, n_steps).epoch(generators(0, 1)))
    assert [tuple(b.shape) for b in batches] == [(2, 12)] * n_steps
    for rows in batches:
        assert (cells[rows.numpy()] == np.repeat([0, 2, 5], 4)).all()


def test_stratified_rows_are_uniform_in_their_cell():
    cells = np.repeat([0, 1], [3, 50])
    rows = torch.cat(list(StratifiedRows(cells, 30, 200).epoch(generators(0))), 1)
    counts = np.bincount(rows.flatten().numpy(), minlength=53)
    assert np.abs(counts[:3] / 2000 - 1).max() < 0.1
    assert np.abs(counts[3:] / 120 - 1).max() < 0.4


@pytest.mark.parametrize("sampler", [ShuffledRows(40, 8), StratifiedRows(np.arange(40) % 3, 4, 21)])
def test_what_a_network_sees_does_not_depend_on_the_others(sampler):
    together, alone = generators(0, 1, 2), generators(1)
    for _ in range(2):
        pairs = zip(sampler.epoch(together), sampler.epoch(alone), strict=True)
        assert all(torch.equal(a[1], b[0]) for a, b in pairs)


def test_losses_move_only_their_own_network():
    stack = Stack.merge([stack_of(1), stack_of(1)])
    for other in (0.0, 1.0):
        trainer = StackTrainer(
            stack, lr=torch.tensor([0.1, other]), weight_decay=torch.zeros(2), seeds=[3, 4]
        )
        weights = run(trainer).state.networks.weights
        if not other:
            first = weights[0]
    torch.testing.assert_close(first, weights[0])
