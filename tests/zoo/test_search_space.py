"""Table 2 of the paper, and which runs are trained together."""

from collections import Counter

import numpy as np
import pytest

from skmeta.networks import Architecture
from skmeta.population.blocks import run_key
from skmeta.zoo import MLPSearchSpace
from skmeta.zoo.grouping import plan_groups
from tests.stages import layer

RUNS = [MLPSearchSpace().sample(14, 2, np.random.default_rng(i)) for i in range(600)]


def test_samples_obey_table_2():
    for run in RUNS:
        *hidden, last = run.architecture.stages
        widths = [stage.width for stage in hidden]
        assert 1 <= len(hidden) <= 4
        assert widths == sorted(widths) and set(widths) <= {32, 48, 64}
        assert len({(x.activation, x.norm, x.dropout) for x in hidden}) == 1
        assert hidden[0].dropout in (0.0, 0.1, 0.2, 0.3)
        assert run.batch_size in (64, 128, 256)
        assert 1e-3 <= run.learning_rate <= 1e-1
        assert 1e-6 <= run.weight_decay <= 1e-2
        assert last == layer(2)
        states = run.architecture.widths
        for stage in hidden:
            assert len(stage.skips) <= 1
            assert all(states[source] <= stage.width for source in stage.skips)


@pytest.mark.parametrize(
    "values, options",
    [
        ([len(r.architecture.stages) - 1 for r in RUNS], 4),
        ([r.architecture.stages[0].width for r in RUNS], 3),
        ([r.architecture.stages[0].activation for r in RUNS], 6),
        ([r.architecture.stages[0].norm for r in RUNS], 3),
        ([r.architecture.stages[0].dropout for r in RUNS], 4),
        ([r.batch_size for r in RUNS], 3),
        ([int(np.log10(r.learning_rate) // 0.5) for r in RUNS], 4),
    ],
)
def test_choices_are_uniform(values, options):
    counts = np.array(list(Counter(values).values()))
    assert len(counts) == options
    assert (np.abs(counts / len(RUNS) - 1 / options) < 5 * np.sqrt(0.25 / len(RUNS))).all()


def test_skips_come_from_any_earlier_hidden_layer():
    pairs = Counter(
        (source, index)
        for r in RUNS
        for index, stage in enumerate(r.architecture.stages)
        for source in stage.skips
    )
    assert set(pairs) == {(1, 1), (1, 2), (2, 2), (1, 3), (2, 3), (3, 3)}
    second = [len(r.architecture.stages[1].skips) for r in RUNS if r.architecture.depth > 2]
    assert abs(np.mean(second) - 0.5) < 5 * np.sqrt(0.25 / len(second))


def test_one_architecture_with_sampled_dropout():
    architecture = Architecture.mlp((14, 20, 2), activation="tanh")
    space = MLPSearchSpace(architecture=architecture)
    runs = [space.sample(14, 2, np.random.default_rng(i)) for i in range(30)]
    assert {r.architecture.widths for r in runs} == {(14, 20, 2)}
    assert {r.architecture.stages[0].activation for r in runs} == {"tanh"}
    assert {r.architecture.stages[0].dropout for r in runs} == {0.0, 0.1, 0.2, 0.3}
    assert {r.architecture.stages[1].dropout for r in runs} == {0.0}


def test_seeds_of_a_run_differ():
    seeds = [seed for run in RUNS for seed in run.seeds]
    assert len(set(seeds)) == 2 * len(RUNS)


def test_groups_share_a_program_and_hold_every_run_once():
    groups = plan_groups(RUNS)
    assert sorted(i for group in groups for i in group) == list(range(len(RUNS)))
    assert groups == plan_groups(list(RUNS))
    for group in groups:
        members = [RUNS[i] for i in group]
        assert len({(r.batch_size, r.architecture.depth) for r in members}) == 1
        # Equal operations stand side by side.
        keys = [run_key(r.architecture) for r in members]
        assert sum(a != b for a, b in zip(keys, keys[1:], strict=False)) == len(set(keys)) - 1


def test_padding_is_bounded():
    for group in plan_groups(RUNS):
        architectures = [RUNS[i].architecture for i in group]
        padded = Architecture.mlp(np.max([a.widths for a in architectures], axis=0).tolist())
        true = sum(a.n_parameters for a in architectures)
        assert len(group) < 8 or padded.n_parameters * len(group) < 2.5 * true
