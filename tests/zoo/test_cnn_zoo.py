"""A zoo of convolutional networks: what is sampled, and that it is a zoo like any other."""

from collections import Counter

import numpy as np
import pytest
import torch

from skmeta.datasets import Task
from skmeta.networks import INITIALIZATIONS, Architecture, initial_records
from skmeta.population import Population
from skmeta.training import train_stack
from skmeta.zoo import CNNSearchSpace, build, make_zoo
from skmeta.zoo.cnn_space import CNNRun
from skmeta.zoo.grouping import plan_groups
from tests.zoo.test_make_zoo import same

SHAPE = (1, 6, 5)
RNG = np.random.default_rng(0)
LABELS = np.arange(300) % 3
# A bright stripe in one of three places.
IMAGES = RNG.normal(size=(300, *SHAPE)) + 3 * (
    np.arange(6)[:, None] // 2 == LABELS[:, None, None, None]
)
TASK = Task(IMAGES.reshape(300, -1), LABELS)
SPACE = CNNSearchSpace(SHAPE, channels=(6, 5), batch_sizes=(16, 32))
SMALL = {"search_space": SPACE, "epochs": 3, "n_checkpoints": 2, "progress": False}
RUNS = [CNNSearchSpace((1, 16, 16)).sample(256, 10, np.random.default_rng(i)) for i in range(300)]


@pytest.fixture(scope="module")
def zoo():
    return make_zoo(TASK, 16, **SMALL, random_state=0)


def test_samples_are_the_small_cnn_zoo():
    for run in RUNS:
        assert isinstance(run, CNNRun)
        assert run.architecture.n_parameters == 4970
        assert [s[0] for s in run.architecture.sizes] == [(16, 16), (8, 8), (4, 4), None]
        assert 5e-4 <= run.learning_rate <= 5e-2 and 1e-8 <= run.weight_decay <= 1e-2
        assert 0.25 <= run.init_scale <= 2
    for values, options in (
        ([r.architecture.stages[0].activation for r in RUNS], 2),
        ([r.architecture.stages[1].dropout for r in RUNS], 4),
        ([r.rule for r in RUNS], 3),
        ([r.initialization for r in RUNS], 4),
        ([r.fraction for r in RUNS], 4),
        ([r.batch_size for r in RUNS], 2),
    ):
        counts = np.array(list(Counter(values).values()))
        assert len(counts) == options
        assert (np.abs(counts / len(RUNS) - 1 / options) < 5 * np.sqrt(0.25 / len(RUNS))).all()


def test_groups_share_a_program_and_fit_into_the_cache():
    groups = plan_groups(RUNS)
    assert sorted(i for group in groups for i in group) == list(range(len(RUNS)))
    for group in groups:
        members = [RUNS[i] for i in group]
        assert len({(r.batch_size, r.rule, r.fraction) for r in members}) == 1
        assert len(members) * members[0].batch_size * 16 * 9 * 16 <= 2**22
    assert max(map(len, groups)) > 10


def test_metadata_and_learning(zoo):
    table = zoo.metadata
    assert table["run"].tolist() == np.repeat(np.arange(16), 2).tolist()
    assert table["epoch"].tolist() == [1, 3] * 16
    assert {
        "activation", "dropout", "batch_size", "learning_rate", "weight_decay", "optimizer",
        "initialization", "init_scale", "fraction", "hidden_widths", "n_parameters",
        "validation_loss", "validation_accuracy", "diverged", "seconds",
    } <= set(table.columns)  # fmt: skip
    assert not table.isna().any(axis=None)
    assert set(table["hidden_widths"]) == {"6-5"}
    assert {a.input_shape for a in zoo.architectures} == {SHAPE}
    best = table.loc[table["epoch"] == 3, "validation_accuracy"].max()
    assert best > 0.8
    gap = zoo.score(TASK.X, TASK.y) - table["validation_accuracy"]
    assert abs(gap).mean() < 0.1
    assert (zoo.score(IMAGES, LABELS) == zoo.score(TASK.X, TASK.y)).all()


def test_resumes_to_the_bit(zoo, tmp_path):
    kept = make_zoo(TASK, 16, **SMALL, random_state=0, cache_dir=tmp_path)
    assert same(zoo, kept)
    files = sorted(tmp_path.glob("*/group-*.safetensors"))
    assert len(files) > 3
    files[0].unlink()
    resumed = make_zoo(TASK, 16, **SMALL, random_state=0, cache_dir=tmp_path)
    assert same(zoo, resumed) and files[0].exists()


def test_a_run_does_not_depend_on_how_many_there_are(zoo):
    few = make_zoo(TASK, 3, **SMALL, random_state=0)
    columns = [c for c in zoo.metadata if c not in ("seconds", "validation_loss")]
    assert few.metadata[columns].equals(zoo.metadata[columns].iloc[:6])
    outputs = (z.forward(IMAGES[:50]) for z in (few, zoo[:6]))
    torch.testing.assert_close(*outputs, rtol=1e-2, atol=1e-2)


def test_a_run_sees_its_fraction_of_the_rows(zoo, monkeypatch):
    seen = {}

    def spy(trainer, X, *args, **options):
        for lr in trainer.lr[:, 0]:
            seen[round(float(lr), 9)] = len(X)
        return train_stack(trainer, X, *args, **options)

    monkeypatch.setattr(build, "train_stack", spy)
    assert same(zoo, make_zoo(TASK, 16, **SMALL, random_state=0))
    for _, row in zoo.metadata.iterrows():
        assert seen[round(float(np.float32(row["learning_rate"])), 9)] == np.ceil(
            row["fraction"] * 270
        )
    assert len(set(seen.values())) == 4


def test_zoo_around_one_cnn():
    network = Population.initialize(Architecture.cnn(SHAPE, (3, 4), 3), random_state=0)[0]
    zoo = make_zoo(TASK, 2, like=network, epochs=1, n_checkpoints=1, progress=False, random_state=0)
    assert {a.widths for a in zoo.architectures} == {(1, 3, 4, 3)}
    assert "optimizer" not in zoo.metadata


@pytest.mark.parametrize("scheme", INITIALIZATIONS)
def test_initial_weights(scheme):
    architecture = Architecture.cnn((2, 8, 8), (64, 64), 10)
    draw = {"schemes": [scheme] * 2, "scales": [1.0, 0.5]}
    one, half = initial_records([architecture] * 2, seeds=[3, 3], **draw)
    weight, bias = one.tensors["1.weight"], one.tensors["1.bias"]
    fan = 64 * 9
    expected = {
        "uniform": 1 / (3 * fan), "he": 2 / fan, "glorot": 1 / fan, "orthogonal": 1 / fan,
    }[scheme]  # fmt: skip
    assert weight.var() == pytest.approx(expected, rel=0.03)
    assert bool(bias.any()) == (scheme == "uniform")
    assert torch.equal(half.tensors["1.weight"], weight / 2)
    if scheme == "orthogonal":
        rows = weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(64), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"activations": ("sine",)}, "'activations' parameter of CNNSearchSpace must be one of"),
        ({"optimizers": ("adm",)}, "Did you mean 'adam'"),
        ({"initializations": ("zeros",)}, "'initializations' parameter of CNNSearchSpace"),
        ({"fractions": (0.5, 0)}, r"'fractions' parameter of CNNSearchSpace .* \(0.0, 1.0\]"),
        ({"dropout": (1.0,)}, r"'dropout' parameter of CNNSearchSpace .* \[0.0, 1.0\)"),
        ({"batch_sizes": (0,)}, "'batch_sizes' parameter of CNNSearchSpace .* int in the range"),
        ({"activations": "relu"}, "'activations' of CNNSearchSpace must be a tuple .*'relu'"),
        ({"dropout": ()}, "'dropout' of CNNSearchSpace must be a tuple of one or more"),
        ({"channels": 8}, "'channels' of CNNSearchSpace must be a tuple"),
        ({"learning_rate": (1e-2, 1e-3)}, "'learning_rate' of CNNSearchSpace .* ascending"),
        ({"weight_decay": (0.0, 0.0)}, "'weight_decay' of CNNSearchSpace .* positive"),
        ({"init_scale": 1.0}, r"'init_scale' of CNNSearchSpace .* \(low, high\). Got 1.0"),
        ({"channels": (0,)}, "'channels' parameter of CNNSearchSpace"),
    ],
)
def test_spaces_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        CNNSearchSpace(SHAPE, **options)


def test_images_of_another_size():
    space = CNNSearchSpace((1, 6, 6))
    with pytest.raises(ValueError, match="30 inputs and 3 class.* Got 36 inputs.*'input_shape'"):
        make_zoo(TASK, 2, search_space=space, progress=False)
