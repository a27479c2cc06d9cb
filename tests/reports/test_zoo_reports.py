"""What make_zoo, search spaces and layers are asked for by mistake, and where a zoo is trained."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch

from skmeta import ComplianceEditor, WeightSpaceRegressor, make_zoo
from skmeta.datasets import Task, make_biased_classification, split_tasks
from skmeta.metanets import InvariantPool, IOEncoding, Metanet, MonomialLayer, NFLayer
from skmeta.networks import Architecture, Layer, initial_records
from skmeta.population import Population
from skmeta.training import ShuffledRows, StackTrainer
from skmeta.zoo import CNNSearchSpace, MLPSearchSpace

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
TASK = Task(X, (X[:, 0] > 0).astype(int))
SPACE = MLPSearchSpace(n_hidden_layers=(1,), hidden_widths=(4, 5), batch_sizes=(32, 64))
SMALL = {"search_space": SPACE, "epochs": 2, "progress": False, "random_state": 0}


def same(a, b):
    """Whether populations have the same weights, bit by bit."""
    pairs = zip(a.records(), b.records(), strict=True)
    return all(
        torch.equal(x, y)
        for one, other in pairs
        for field in one.tensors
        for x, y in zip(one.tensors[field], other.tensors[field], strict=True)
    )


def test_an_unknown_update_rule_does_not_train_adam():
    ((_, stack),) = Population.initialize(Architecture.mlp((4, 2)), 1, random_state=0).blocks
    one = torch.ones(1)
    with pytest.raises(ValueError, match="'rule'.*'adam', 'adamw'.*Got 'lion'"):
        StackTrainer(stack, lr=one, weight_decay=one, seeds=[0], rule="lion")


def test_an_unknown_scheme_of_first_weights_is_named():
    with pytest.raises(ValueError, match="'schemes'.*'orthogonal'.*Got 'othogonal'"):
        initial_records([Architecture.mlp((4, 2))], 0, schemes=["othogonal"])


@pytest.mark.parametrize("size", [0, -5])
def test_a_batch_of_no_rows_is_refused(size):
    with pytest.raises(ValueError, match="'batch_size' parameter of ShuffledRows"):
        ShuffledRows(10, size)


@pytest.mark.parametrize("backend", ["multiprocessing", "threading", "loky", "sequential"])
def test_a_zoo_is_the_same_wherever_joblib_trains_it(backend):
    wanted = make_zoo(TASK, 6, **SMALL)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert same(wanted, make_zoo(TASK, 6, **SMALL))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_zoo_is_the_same_on_dask():
    distributed = pytest.importorskip("distributed")
    wanted = make_zoo(TASK, 6, **SMALL)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with distributed.Client(**options, dashboard_address=None):
        with joblib.parallel_config(backend="dask"):
            assert same(wanted, make_zoo(TASK, 6, **SMALL))


def test_fewer_epochs_than_the_default_checkpoints_are_no_fault_of_the_user():
    zoo = make_zoo(TASK, 2, **SMALL)
    assert zoo.metadata["epoch"].tolist() == [1, 2, 1, 2]
    with pytest.raises(ValueError, match="'n_checkpoints' parameter"):
        make_zoo(TASK, 2, **SMALL, n_checkpoints=3)


ONE_LABEL = TASK.subset(np.flatnonzero(TASK.y == 1))


@pytest.mark.parametrize(
    "task, options, error, words",
    [
        (None, {}, TypeError, r"'task' parameter of make_zoo must be a Task.*Got NoneType"),
        ((X, TASK.y), {}, TypeError, "Got tuple"),
        (TASK, {"device": "gpu"}, ValueError, "'device' parameter of make_zoo.*Got 'gpu'"),
        (TASK, {"search_space": [1]}, TypeError, r"'search_space' parameter.*Got \[1\]"),
        (TASK, {"search_space": []}, TypeError, r"'search_space' parameter.*Got \[\]"),
        (TASK, {"search_space": MLPSearchSpace}, TypeError, r"Got <class.*MLPSearchSpace\(\)"),
        (TASK, {"n_jobs": 0}, TypeError, "'n_jobs' parameter of make_zoo.*Got 0"),
        (TASK, {"n_jobs": "all"}, TypeError, "'n_jobs' parameter of make_zoo.*Got 'all'"),
        (TASK, {"cache_dir": 3}, TypeError, "'cache_dir' parameter of make_zoo.*Got 3"),
        (ONE_LABEL, {}, ValueError, r"two labels.*Got \d+ rows with the labels \[1\]"),
        (TASK.subset(np.arange(10)), {}, ValueError, "about 20 rows for 2 labels.*Got 10 rows"),
        (Task(X, np.arange(300) == 7), {}, ValueError, "two of each.*and 1 of the label"),
    ],
)
def test_what_make_zoo_cannot_train(task, options, error, words):
    with pytest.raises(error, match=words):
        make_zoo(task, 2, **{**SMALL, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"n_hidden_layers": (-1,)},
        {"n_hidden_layers": (1.5,)},
        {"hidden_widths": (3.7,)},
        {"hidden_widths": ()},
        {"hidden_widths": 32},
        {"hidden_widths": (0,)},
        {"dropout": (1.0,)},
        {"dropout": (-0.1,)},
        {"norms": ("bach",)},
        {"activations": ("swish",)},
        {"n_skips": (-1,)},
        {"batch_sizes": (0,)},
        {"batch_sizes": (32.0,)},
        {"learning_rate": (-1e-3, 1e-2)},
        {"learning_rate": (1e-1, 1e-3)},
        {"learning_rate": (1e-3,)},
        {"learning_rate": ("a", "b")},
        {"weight_decay": (0.0, 1e-2)},
        {"weight_decay": (1e-3, float("nan"))},
        {"architecture": (3, 2)},
    ],
    ids=str,
)
def test_search_spaces_that_cannot_be_sampled(options):
    (name,) = options
    with pytest.raises((ValueError, TypeError), match=f"'{name}'.* of MLPSearchSpace.* Got"):
        MLPSearchSpace(**options)


@pytest.mark.parametrize(
    "options",
    [{"channels": (3.5,)}, {"channels": 4}, {"batch_sizes": (1.5,)}, {"init_scale": ("a", "b")}],
    ids=str,
)
def test_spaces_of_images_that_cannot_be_sampled(options):
    (name,) = options
    with pytest.raises((ValueError, TypeError), match=f"'{name}'.* of CNNSearchSpace.* Got"):
        CNNSearchSpace((1, 8, 8), **options)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Layer(2.5), "'width' parameter of Layer must be an int.*Got 2.5"),
        (lambda: Layer(True), "'width' parameter of Layer must be an int.*Got True"),
        (lambda: Layer(2, eps=float("nan")), "'eps' parameter of Layer.*Got nan"),
        (lambda: Layer(2, eps=-1.0), "'eps' parameter of Layer.*Got -1.0"),
        (lambda: Layer(2, eps=float("inf")), "'eps' parameter of Layer.*Got inf"),
        (lambda: Layer(2, dropout=float("nan")), "'dropout' parameter of Layer.*Got nan"),
        (lambda: Layer(2, skips=(0.5,)), "'skips' parameter of Layer.*Got 0.5"),
        (lambda: Layer(2, skips=1), r"'skips' of a Layer.*Got 1\. .*\(state,\)"),
        (lambda: Architecture.mlp((2.5, 3, 2)), "'n_inputs' parameter of Architecture.*Got 2.5"),
        (lambda: Architecture.mlp((2, 3.5, 2)), "'width' parameter of Layer.*Got 3.5"),
        (lambda: Architecture.mlp(3), r"'widths' of Architecture.mlp.*Got 3"),
        (lambda: Architecture.mlp((3,)), r"'widths' of Architecture.mlp.*Got \(3,\)"),
        (lambda: Architecture(3, (4, 2)), r"'layers' of an Architecture.*Got \(4, 2\)"),
        (lambda: Architecture(3, ()), r"'layers' of an Architecture.*Got \(\)"),
    ],
)
def test_specs_that_are_no_networks(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_widths_from_numpy_are_widths():
    architecture = Architecture.mlp(np.array([4, 3, 2]))
    assert architecture == Architecture.mlp((4, 3, 2))
    assert all(type(width) is int for width in architecture.widths)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NFLayer(3, 1, 4),
        lambda: MonomialLayer(3, 1, 4),
        lambda: InvariantPool(3),
        lambda: NFLayer((3, 4, 2), 1, 4)(3, 4),
        lambda: MonomialLayer((3, 4, 2), 1, 4)(3, 4),
        lambda: InvariantPool((3, 4, 2))([1, 2], [3, 4]),
        lambda: IOEncoding(3, 2)(3, 4),
        lambda: NFLayer((3, 4, 2), 1, 4, kernels=3),
        lambda: Metanet.reader("statistics", 3),
    ],
)
def test_layers_that_are_given_ints_say_what_they_take(make):
    with pytest.raises((ValueError, TypeError), match=r"takes.* Got|must be one stack.*Got 3"):
        make()


def test_a_zoo_of_constant_predictors_warns():
    from skmeta.zoo import ZooWarning

    space = MLPSearchSpace(n_hidden_layers=(1,), learning_rate=(1e-9, 1e-9))
    rare = Task(X, np.arange(300) % 30 == 0)
    with pytest.warns(ZooWarning, match=r"constant predictors: \d of 6.*Raise 'epochs'"):
        make_zoo(Task(rare.X * 0, rare.y), 6, **{**SMALL, "search_space": space})


def test_a_training_split_smaller_than_a_batch_warns():
    from skmeta.zoo import ZooWarning

    space = MLPSearchSpace(batch_sizes=(256,))
    with pytest.warns(ZooWarning, match="2 of 2 runs.*90 for 'batch_sizes' of 256"):
        make_zoo(TASK.subset(np.arange(100)), 2, **{**SMALL, "search_space": space})


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_zoo_of_a_few_networks_warns_who_learns_from_it():
    from skmeta.zoo import ZooWarning

    _, task, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
    networks = Population.initialize(Architecture.mlp((10, 4, 2)), 20, random_state=0)
    editor = ComplianceEditor(max_epochs=1, hidden_channels=8, n_layers=1, random_state=0)
    with pytest.warns(ZooWarning, match=r"ComplianceEditor learns from fewer than 20.*got 19"):
        editor.fit(networks[:19], task=task)
    editor.fit(networks, task=task)
    choosing = {"budget": 5, "compensate": False}
    from skmeta.requirements import DataMinimization

    ComplianceEditor(DataMinimization(**choosing)).fit(networks[:2], task=task)  # learns nothing
    reader = WeightSpaceRegressor(max_epochs=1, hidden_channels=4, random_state=0)
    with pytest.warns(ZooWarning, match=r"WeightSpaceRegressor learns from fewer than 20.*got 19"):
        reader.fit(networks[:19], np.arange(19.0))
    reader.fit(networks, np.arange(20.0))


def test_the_hash_seed_of_python_does_not_change_a_zoo():
    program = (
        "import numpy as np, zlib; from skmeta import make_zoo; from skmeta.datasets import Task;"
        "X = np.arange(200.).reshape(50, 4) % 7; t = Task(X, [str(i % 3) for i in range(50)]);"
        "z = make_zoo(t, 3, epochs=1, progress=False, random_state=0);"
        "print(zlib.crc32(b''.join(w.numpy().tobytes() for r in z.records()"
        " for w in r.tensors['weight'])))"
    )
    out = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(out) == 1
