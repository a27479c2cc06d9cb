"""Hostile files: no memory, no time and no words of Python for what no bytes prove."""

import json
import random
import struct
import time

import numpy as np
import pytest
import safetensors.torch
import torch

import skmeta
from skmeta import Population, WeightSpaceRegressor, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.networks import Architecture

SMALL = {"hidden_channels": 3, "n_layers": 1, "max_epochs": 1, "random_state": 0}


def rewritten(path, change):
    """Change description and tensors of a file; its checksum fits afterwards."""
    from skmeta.files.container import seal

    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["skmeta"])
    tensors = safetensors.torch.load(data)
    change(header, tensors)
    path.write_bytes(seal(safetensors.torch.save(tensors, {"skmeta": json.dumps(header)})))


def refused(path, words, most_megabytes=100):
    """Load a file; it must be refused quickly and without much memory."""
    from benchmarks._files import measured
    from skmeta.files import FileError

    def load():
        with pytest.raises(FileError, match=words):
            skmeta.load(path)

    _, seconds, megabytes = measured(load)
    assert seconds < 2
    assert megabytes < most_megabytes + 10 * path.stat().st_size / 1e6


@pytest.fixture(scope="module")
def tasks():
    return split_tasks(make_biased_classification(4000, random_state=0), "group", random_state=0)


@pytest.fixture(scope="module")
def zoo(tasks):
    options = {"epochs": 1, "n_checkpoints": 1, "progress": False, "random_state": 0}
    return make_zoo(tasks[0], 6, **options)


@pytest.fixture(scope="module")
def reader_file(zoo, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "reader"
    model = WeightSpaceRegressor(metanet="neuron", **SMALL)
    skmeta.save(model.fit(zoo, zoo.metadata["validation_loss"]), path)
    skmeta.load(path)  # torch imports parts of itself at their first use
    return path.read_bytes()


@pytest.fixture(scope="module")
def editor_file(zoo, tasks, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "editor"
    model = skmeta.ComplianceEditor(features="weights", **SMALL)
    skmeta.save(model.fit(zoo, task=tasks[1]), path)
    return path.read_bytes()


@pytest.mark.parametrize("shape", [(0, 10**9), (30_000, 1)])
def test_a_tensor_proves_no_width_but_its_own(reader_file, tmp_path, shape):
    path = tmp_path / "reader"
    path.write_bytes(reader_file)

    def change(header, tensors):
        header["fitted"]["reader"]["hidden_channels"] = 10**6 if shape[0] == 0 else shape[0]
        tensors["fitted.reader.metanet.trunk.input_code"] = torch.zeros(shape)

    rewritten(path, change)
    refused(path, "too many channels" if shape[0] == 0 else "wrong type or shape")


def test_templates_of_any_width_take_no_memory(reader_file, tmp_path):
    path = tmp_path / "reader"
    path.write_bytes(reader_file)

    def change(header, tensors):
        (template,) = header["fitted"]["reader"]["templates"]["!tuple"][:1]
        template["!Architecture"]["n_inputs"] = 10**9
        header["fitted"]["reader"]["templates"]["!tuple"] = [template]

    rewritten(path, change)
    refused(path, "wrong type or shape|too many")


def test_groups_are_not_squared(editor_file, tmp_path):
    path = tmp_path / "editor"
    path.write_bytes(editor_file)

    def change(header, tensors):
        header["fitted"]["task"]["!Task"]["groups"] = {"!array": ["int64", list(range(8000))]}
        header["fitted"]["counts"] = {"!array": ["int64", [100] * 16_000]}

    rewritten(path, change)
    refused(path, "too many labels and groups")


def test_thresholds_are_counted_over_all_requirements(editor_file, tmp_path):
    path = tmp_path / "editor"
    path.write_bytes(editor_file)
    part = {"thresholds": {"!tuple": [0.5] * 200}, "temperature": 0.3}
    parts = [{"!EqualizedOdds": part}] * 300

    def change(header, tensors):
        header["params"]["requirement"] = parts

    rewritten(path, change)
    refused(path, "too many thresholds|twice|once")


def test_endless_refinement_is_refused(editor_file, tmp_path):
    path = tmp_path / "editor"
    path.write_bytes(editor_file)
    rewritten(path, lambda header, tensors: header["params"].update(refine_steps=10**9))
    refused(path, "too many refine_steps")


def test_one_long_text_among_many_short_ones(editor_file, tmp_path):
    path = tmp_path / "editor"
    path.write_bytes(editor_file)
    names = {"!array": ["U", [*map(str, range(50_000)), "x" * 100_000]]}
    rewritten(path, lambda header, tensors: header["fitted"]["task"]["!Task"].update(groups=names))
    refused(path, "far longer than the others")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"padding": [4000, 4000]}, "a padding of"),
        ({"stride": [10**9, 10**9], "padding": [10**9, 10**9]}, "a padding of"),
        ({"stride": [10**9, 1]}, "a stride of|too small"),
    ],
)
def test_paddings_and_strides_are_bounded_by_the_image(tmp_path, change, words):
    path = tmp_path / "cnn"
    spec = Architecture.cnn((1, 6, 6), (2, 3), 2)
    Population.initialize(spec, 2, random_state=0).save(path)
    rewritten(
        path, lambda h, t: h["architectures"][0]["!Architecture"]["stages"][0]["mix"].update(change)
    )
    refused(path, words)


def test_a_network_whose_file_would_be_refused_is_not_saved(tmp_path):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 1, padding=40), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(2, 2),
    )  # fmt: skip
    population = Population([network], input_shape=(1, 4, 4))
    with pytest.raises(ValueError, match="cannot be saved: a padding of"):
        population.save(tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("item", ["[],", '{"a":[]},', "0,"], ids=["lists", "objects", "ints"])
def test_a_long_description_is_refused_before_it_is_read(tmp_path, item):
    path = tmp_path / "file"
    text = "[" + item * (9 * 10**6 // len(item)) + "0]"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}, {"skmeta": text}))
    refused(path, "is too large for its numbers", most_megabytes=60)


def test_a_multilabel_network_does_not_square_its_outputs(tmp_path):
    from sklearn.neural_network import MLPClassifier

    from benchmarks._files import measured

    rng = np.random.default_rng(0)
    network = MLPClassifier((1,), max_iter=1, solver="sgd")
    Y = rng.integers(2, size=(20, 8000))
    with pytest.warns(Warning, match="reached"):
        network.fit(rng.normal(size=(20, 2)), Y)
    path = tmp_path / "file"
    Population([network]).save(path)
    (back,), seconds, megabytes = measured(lambda: Population.load(path).to_networks())
    assert megabytes < 60 and seconds < 2
    assert np.array_equal(back.classes_, network.classes_)


@pytest.mark.parametrize(
    "change",
    [
        lambda h, t: h["stacks"].__setitem__(0, 3),
        lambda h, t: h["stacks"][0].update(positions=[[0], {}]),
        lambda h, t: h["architectures"][0]["!Architecture"].update(layers=[None]),
        lambda h, t: h["architectures"][0]["!Architecture"]["stages"][0]["mix"].update(width="x"),
        lambda h, t: h["architectures"][0]["!Architecture"]["stages"][0].update(
            tail=[{"op": "Skip", "source": []}]
        ),
        lambda h, t: h["metadata"]["!DataFrame"]["columns"].append(7),
        lambda h, t: h["metadata"]["!DataFrame"].update(n=10**400),
    ],
)
def test_messages_are_words_and_not_those_of_python(tmp_path, change):
    from benchmarks._files import _RAW
    from skmeta.files import FileError

    path = tmp_path / "file"
    Population.initialize(Architecture.mlp((3, 4, 2)), 2, random_state=0).save(path)
    rewritten(path, change)
    with pytest.raises(FileError) as caught:
        skmeta.load(path)
    assert not _RAW.search(str(caught.value)), caught.value


def test_what_python_says_of_its_objects_is_not_passed_on(monkeypatch, tmp_path):
    from skmeta.files import FileError, checks

    with pytest.raises(FileError, match="x is not a y: its parts do not fit together"):
        with checks.refusing("x", "a y"):
            json.loads("3")["a"]
    with pytest.raises(FileError, match="too little memory"):
        with checks.refusing("x", "a y"):
            raise MemoryError


# -- damaged files, as benchmarks/fuzz_files.py makes them -----------------------------------

CHUNK = 50
CHUNKS = [
    *(("population", i) for i in range(16)),
    *(("reader", i) for i in range(8)),
    *(("editor", i) for i in range(16)),
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    from benchmarks._files import Samples

    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.mark.parametrize("kind, chunk", CHUNKS)
def test_damaged_files_load_or_raise_our_error(samples, tmp_path, kind, chunk):
    from benchmarks._damage import damaged
    from benchmarks._files import try_file

    path, found = tmp_path / "file", []
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        rng = random.Random(f"test {kind} {number}")
        path.write_bytes(damaged(rng.choice(samples.files[kind]), rng))
        found.append(try_file(path, samples))
    assert all(outcome.good for outcome in found), [o for o in found if not o.good]
    assert {"refused"} <= {outcome.kind for outcome in found}


@pytest.mark.parametrize("kind", ["population", "reader", "editor"])
def test_the_fuzzer_sees_what_it_should(samples, tmp_path, monkeypatch, kind):
    from benchmarks import _files

    path = tmp_path / "file"
    for data in samples.files[kind]:
        path.write_bytes(data)
        assert _files.try_file(path, samples).kind == "loaded"
    monkeypatch.setattr(
        _files.skmeta, "load", lambda path: np.ones(2 * 10**7).sum() and samples.zoo
    )
    assert _files.try_file(path, samples).kind == "too large"
    monkeypatch.setattr(_files, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(_files.skmeta, "load", lambda path: samples.zoo)
    assert _files.try_file(path, samples).kind == "too slow"
    monkeypatch.setattr(_files.skmeta, "load", lambda path: time.no_such_clock)
    assert _files.try_file(path, samples).kind.startswith("load: AttributeError")
