"""Many short trainings at once: each network's own, whatever trains beside it."""

import numpy as np
import pytest
import torch

from skmeta.datasets import Task
from skmeta.networks import Architecture, to_module
from skmeta.networks.modules import tensor_names
from skmeta.optimizing import Recipe, Training, unroll
from skmeta.optimizing.recipe import BASES
from skmeta.population import Population
from skmeta.training import ShuffledSteps, recalibrated
from tests.population.cases import mixed_population
from tests.stages import layer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5)).astype(np.float32) + 0.5
TASK = Task(X, (X[:, 0] * X[:, 1] > 0.3).astype(int))
REGRESSION = Task(X, X[:, 0] - 2 * X[:, 1])
OTHER = TASK.subset(np.arange(25))
TRAINING = Training(12, 16)
NORMED = Architecture(5, (layer(8, "relu", norm="batch"), layer(6, "tanh", norm="batch"), layer(2)))


def networks(n=4, widths=(8,), dtype=torch.float64):
    made = Population.initialize(Architecture.mlp((5, *widths, 2)), n, random_state=0)
    return made.to(dtype=dtype)


def drawn(base, n, seed=0):
    units = torch.rand(n, len(BASES[base][1]), generator=torch.Generator().manual_seed(seed))
    units[:, 0] *= 0.75  # faster, rounding grows
    return Recipe.at(base, units)


def with_lr(recipe, number, lr):
    rates = recipe.numbers["lr"].clone()
    rates[number] = lr
    return Recipe(recipe.base, {**recipe.numbers, "lr": rates})


def tensors(population):
    return [{k: t.clone() for k, t in r.tensors.items()} for r in population.records()]


def assert_same(mine, theirs, **tolerance):
    for a, b in zip(mine, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            torch.testing.assert_close(a[name], b[name], **tolerance)


def close(base):
    # Muon's steps are computed in bfloat16, and padding changes how they are rounded. Adam's
    # divide gradients that are zero but for rounding, of biases in front of a normalisation.
    return {"rtol": 0.05, "atol": 5e-3} if base == "muon" else {"rtol": 1e-9, "atol": 2e-9}


EXACTLY = {"rtol": 0, "atol": 0}


def losses(population, task):
    outputs = population.forward(task.tensors(dtype=population.dtype)[0])
    rows = torch.arange(task.n_samples).expand(len(population), -1)
    return task.loss(dtype=population.dtype)(outputs, rows)


@pytest.mark.parametrize("base", BASES)
def test_curves_are_losses_of_averaged_weights_on_held_out_rows(base):
    start = networks()
    unrolled = unroll(
        start, TASK, drawn(base, 4), Training(12, 16, 3), seeds=range(4), held_out=OTHER
    )
    assert unrolled.curves.shape == (4, 3)
    tight = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(unrolled.initial, losses(start, OTHER), **tight)
    torch.testing.assert_close(unrolled.curves[:, -1], losses(unrolled.networks, OTHER), **tight)
    assert (unrolled.curves[:, 0] != unrolled.curves[:, -1]).all()


def test_losses_are_those_of_the_task_if_no_rows_are_held_out():
    unrolled = unroll(networks(), TASK, drawn("adam", 4), TRAINING, seeds=range(4))
    torch.testing.assert_close(unrolled.curves[:, -1], losses(unrolled.networks, TASK))


@pytest.mark.parametrize("base", BASES)
def test_measuring_more_often_changes_nothing(base):
    one, many = (
        unroll(networks(), TASK, drawn(base, 4), Training(12, 16, k), seeds=range(4))
        for k in (1, 5)
    )
    assert_same(tensors(one.networks), tensors(many.networks), **EXACTLY)
    assert torch.equal(one.curves[:, -1], many.curves[:, -1])


@pytest.mark.parametrize("base", BASES)
def test_a_network_trains_alone_as_beside_others_with_other_recipes(base):
    mixed = mixed_population(1).to(dtype=torch.float64)
    n = len(mixed)
    recipe, seeds = drawn(base, n), list(range(n))
    together = unroll(mixed, TASK, recipe, TRAINING, seeds=seeds, held_out=OTHER)
    for i in range(0, n, 2):
        alone = unroll(mixed[[i]], TASK, recipe.select([i]), TRAINING, seeds=[i], held_out=OTHER)
        assert_same(tensors(alone.networks), tensors(together.networks[[i]]), **close(base))
        torch.testing.assert_close(alone.curves, together.curves[[i]], **close(base))
        torch.testing.assert_close(alone.initial, together.initial[[i]], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("base", BASES)
def test_padding_to_other_widths_changes_nothing(base):
    parts = [networks(2, widths) for widths in ((3,), (20,), (11,))]
    mixed = Population.concatenate(parts)[[4, 0, 2, 1, 5, 3]]
    recipe = drawn(base, 6)
    together = unroll(mixed, TASK, recipe, TRAINING, seeds=range(6))
    for i in range(6):
        alone = unroll(mixed[[i]], TASK, recipe.select([i]), TRAINING, seeds=[i])
        assert_same(tensors(alone.networks), tensors(together.networks[[i]]), **close(base))


def test_equal_seeds_see_equal_batches():
    twins = networks()[[0, 0, 0]]
    unrolled = unroll(twins, TASK, Recipe.start("adam", 3), TRAINING, seeds=[5, 5, 6])
    first, second, third = tensors(unrolled.networks)
    assert_same([first], [second], **EXACTLY)
    assert not torch.equal(first["0.weight"], third["0.weight"])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [TRAINING, Training(12, 16, 4)], ids=["once", "often"])
def test_one_that_diverges_comes_back_as_it_was_and_disturbs_none(base, dtype, training):
    start = Population.initialize(NORMED, 4, random_state=0).to(dtype=dtype)
    rows = {"seeds": range(4), "held_out": OTHER}
    recipe = drawn(base, 4)
    good = unroll(start, TASK, recipe, training, **rows)
    rate = float(torch.finfo(dtype).max)
    bad = unroll(start, TASK, with_lr(recipe, 1, rate), training, **rows)
    assert bad.curves[1, -1].isinf() and not good.curves.isinf().any()
    assert_same(tensors(bad.networks)[1:2], tensors(start)[1:2], **EXACTLY)
    others = [0, 2, 3]
    assert_same(tensors(bad.networks[others]), tensors(good.networks[others]), **EXACTLY)
    assert torch.equal(bad.curves[others], good.curves[others])
    assert torch.equal(bad.initial, good.initial)


def test_a_loss_is_infinite_from_where_it_diverges_alone_and_beside_others():
    start, recipe = networks(dtype=torch.float32), with_lr(Recipe.start("sgdm", 4), 1, 1e30)
    training = Training(12, 16, 4)
    together = unroll(start, TASK, recipe, training, seeds=range(4))
    alone = unroll(start[[1]], TASK, recipe.select([1]), training, seeds=[1])
    assert together.curves[1].isinf().all() and alone.curves.isinf().all()
    assert together.curves[[0, 2, 3]].isfinite().all()


def test_one_that_breaks_in_the_last_step_comes_back_as_it_was():
    start, recipe = networks(2, dtype=torch.float32), Recipe.start("adam", 2)
    unrolled = unroll(start, TASK, with_lr(recipe, 0, 1e30), Training(1, 16), seeds=range(2))
    assert unrolled.curves[0, -1].isinf() and unrolled.curves[1, -1].isfinite()
    assert_same(tensors(unrolled.networks)[:1], tensors(start)[:1], **EXACTLY)


def test_an_infinite_loss_is_not_a_large_one():
    linear = Population.initialize(Architecture.mlp((5, 1), output="values"), 2, random_state=0)
    recipe = with_lr(Recipe.start("sgdm", 2), 0, 1e27)
    unrolled = unroll(linear, REGRESSION, recipe, Training(1, 16), seeds=range(2))
    assert unrolled.curves[0, -1] == torch.inf and unrolled.curves[1, -1].isfinite()
    assert_same(tensors(unrolled.networks)[:1], tensors(linear)[:1], **EXACTLY)


def with_measured_statistics(record, rows):
    module = to_module(record).train()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            part.reset_running_stats()
            part.momentum = None
    module(rows)
    names = tensor_names(record.architecture)
    states = module.state_dict()
    return {slot: states[names[slot]] for slot in record.tensors}


def test_statistics_are_those_of_averaged_weights_on_the_rows_of_training():
    start = Population.initialize(NORMED, 3, random_state=0).to(dtype=torch.float64)
    unrolled = unroll(start, TASK, drawn("kfac", 3), TRAINING, seeds=range(3), held_out=OTHER)
    rows = TASK.tensors(dtype=torch.float64)[0]
    records = unrolled.networks.records()
    wanted = [with_measured_statistics(record, rows) for record in records]
    assert_same([record.tensors for record in records], wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(unrolled.curves[:, -1], losses(unrolled.networks, OTHER))


def test_statistics_of_large_tasks_do_not_depend_on_how_rows_are_sorted():
    many = np.random.default_rng(1).standard_normal((9000, 5)).astype(np.float32)
    many = many[many[:, 0].argsort()]
    task = Task(many, (many[:, 1] > 0).astype(int))
    start = Population.initialize(NORMED, 1, random_state=0)
    (record,) = unroll(
        start, task, Recipe.start("adam"), Training(3, 16), seeds=[0]
    ).networks.records()
    means = record.tensors["0.mean"]
    wanted = with_measured_statistics(record, torch.from_numpy(many))["0.mean"]
    # 4096 of 9000 rows are drawn; the first 4096 are off by about one.
    torch.testing.assert_close(means, wanted, rtol=0, atol=0.1)


def test_recalibration_leaves_weights_and_what_it_got_alone():
    ((_, stack),) = Population.initialize(NORMED, 2, random_state=0).blocks
    before = stack.statistics.flat.clone()
    after = recalibrated(stack, torch.from_numpy(X))
    assert torch.equal(stack.statistics.flat, before)
    assert after.weights is stack.weights
    assert not torch.equal(after.statistics.flat, before)
    ((_, plain),) = networks().blocks
    assert recalibrated(plain, torch.from_numpy(X)) is plain


def test_global_streams_and_the_networks_stay_as_they_are():
    start = networks()
    before = tensors(start)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    unroll(start, TASK, drawn("kfac", 4), TRAINING, seeds=range(4))
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert_same(tensors(start), before, **EXACTLY)


@pytest.mark.parametrize("base", BASES)
def test_values_are_learned_too(base):
    start = Population.initialize(Architecture.mlp((5, 8, 1), output="values"), 3, random_state=0)
    recipe = with_lr(Recipe.start(base, 3), slice(None), 0.1)
    unrolled = unroll(start, REGRESSION, recipe, Training(40, 20), seeds=range(3))
    torch.testing.assert_close(unrolled.curves[:, -1], losses(unrolled.networks, REGRESSION))
    assert (unrolled.curves[:, -1] < 0.8 * unrolled.initial).all()


def generators(n):
    return [torch.Generator().manual_seed(seed) for seed in range(n)]


@pytest.mark.parametrize("n_pieces", [1, 3, 7])
def test_every_row_is_seen_once_in_a_pass_that_goes_on_in_the_next_piece(n_pieces):
    steps, streams = ShuffledSteps(12, 4, 10, n_pieces), generators(2)
    pieces = [list(steps.epoch(streams)) for _ in range(n_pieces)]
    sizes = [len(piece) for piece in pieces]
    assert sum(sizes) == 10 and max(sizes) - min(sizes) <= 1
    batches = torch.stack([rows for piece in pieces for rows in piece], 1)
    for start in (0, 3, 6):
        one_pass = batches[:, start : start + 3].flatten(1)
        assert torch.equal(one_pass.sort(1).values, torch.arange(12).expand(2, 12))
    assert not torch.equal(batches[:, :3], batches[:, 3:6])
    assert not torch.equal(batches[0], batches[1])


def test_batches_are_at_most_all_rows_and_incomplete_ones_are_left_out():
    (whole,) = ShuffledSteps(5, 100, 1).epoch(generators(1))
    assert whole.sort().values.tolist() == [list(range(5))]
    steps = list(ShuffledSteps(5, 2, 4).epoch(generators(1)))
    seen = torch.cat(steps[:2], 1)
    assert seen.shape == (1, 4) and len(seen.unique()) == 4
