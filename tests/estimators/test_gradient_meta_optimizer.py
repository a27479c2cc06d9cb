"""How networks are trained is learned, as scikit-learn users meet it."""

import copy
import json
import pickle
import re

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import skmeta
from skmeta import GradientMetaOptimizer, Population, Task
from skmeta.files import FileError
from skmeta.files.container import seal
from skmeta.networks import Architecture
from skmeta.optimizing import Optimizer, Training
from skmeta.optimizing.recipe import BASES, SCALES
from skmeta.population import to_rows

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 5)).astype(np.float32)
TASK = Task(X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int))
VALUES = Task(X, X[:, 0] - 2 * X[:, 3])
SMALL = {
    "horizon": 12,
    "batch_size": 16,
    "n_meta_steps": 2,
    "n_candidates": 4,
    "n_parallel": 2,
    "random_state": 0,
}
MLP = Architecture.mlp((5, 6, 2))
REGRESSOR = Architecture.mlp((5, 6, 1), output="values")
NETWORKS = Population.initialize(MLP, 6, random_state=0)
FRESH = Population.initialize(MLP, 4, random_state=1)


def model(rule="adam", **params):
    return GradientMetaOptimizer(rule, **SMALL | params)


@pytest.fixture(scope="module")
def fitted():
    return model().fit(NETWORKS, task=TASK)


@pytest.mark.parametrize("rule", BASES)
def test_what_is_learned_beats_what_the_search_begins_with(rule):
    learned = model(rule, horizon=8, n_meta_steps=4, n_candidates=8).fit(NETWORKS, task=TASK)
    start = copy.copy(learned)
    start.optimizer_ = Optimizer.start(rule, Training(8, 16))
    fresh = Population.initialize(MLP, 12, random_state=2)
    assert learned.score(fresh) > start.score(fresh) + 0.02
    assert learned.scores_["best"] <= learned.scores_["start"] or learned.recipe_ == pytest.approx(
        start.optimizer_.numbers
    )


def test_what_was_learned_has_names(fitted):
    assert set(fitted.recipe_) == {"lr", "decay", "window", "weight_decay"}
    assert set(model("kfac").fit(NETWORKS, task=TASK).recipe_) == {*fitted.recipe_, "damping"}
    for name, value in fitted.recipe_.items():
        assert SCALES[name].low <= value <= SCALES[name].high * (1 + 1e-9)
    assert list(fitted.history_) == ["best", "median", "mean", "n_diverged"]
    assert len(fitted.history_) == 2 and list(fitted.scores_) == ["start", "mean", "best"]
    assert fitted.task_ is TASK and fitted.optimizer_.training == Training(12, 16)


def test_same_seed_same_recipe_whatever_the_global_state(fitted):
    before = torch.get_rng_state()
    again = clone(fitted).fit(NETWORKS, task=TASK)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.recipe_ == fitted.recipe_ and again.scores_ == fitted.scores_
    assert again.history_.equals(fitted.history_)
    assert model(random_state=1).fit(NETWORKS, task=TASK).recipe_ != fitted.recipe_


@pytest.mark.parametrize("rule", ["adam", "kfac"])
def test_modes_of_torch_change_nothing(rule):
    def fit_and_train():
        learned = model(rule).fit(NETWORKS, task=Task(X, TASK.y))
        return learned.recipe_, to_rows(learned.transform(FRESH))

    recipe, rows = fit_and_train()
    with torch.inference_mode():
        inferring = fit_and_train()
    torch.set_default_dtype(torch.float64)
    try:
        doubled = fit_and_train()
    finally:
        torch.set_default_dtype(torch.float32)
    for other, others in (inferring, doubled):
        assert other == recipe
        np.testing.assert_array_equal(others, rows)


def test_searches_find_the_same_whatever_n_jobs():
    grid = {"rule": ["adam", "kfac"]}
    one, two = (
        GridSearchCV(model(), grid, cv=2, n_jobs=n, error_score="raise").fit(NETWORKS, task=TASK)
        for n in (1, 2)
    )
    assert (
        one.cv_results_["mean_test_score"].tolist() == two.cv_results_["mean_test_score"].tolist()
    )
    assert (one.cv_results_["std_test_score"] > 0).all()
    assert one.best_estimator_.recipe_ == two.best_estimator_.recipe_
    assert one.best_estimator_.transform(FRESH).score(X, TASK.y).mean() > 0.5


def test_searches_route_the_task():
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model(), {"rule": ["adam", "sgdm"]}, cv=2, error_score="raise")
        search.fit(NETWORKS, task=TASK)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_horizons_may_be_numpys_numbers(fitted, tmp_path):
    sizes = {name: np.int64(SMALL[name]) for name in SMALL if name != "random_state"}
    other = model(**sizes, cache_dir=str(tmp_path / "cache")).fit(NETWORKS, task=TASK)
    assert other.recipe_ == fitted.recipe_
    other.save(tmp_path / "model")
    assert skmeta.load(tmp_path / "model").recipe_ == fitted.recipe_


def test_pipelines_end_with_it(fitted):
    pipeline = make_pipeline(FunctionTransformer(), model())
    pipeline.fit(NETWORKS, gradientmetaoptimizer__task=TASK)
    assert np.array_equal(to_rows(pipeline.transform(FRESH)), to_rows(fitted.transform(FRESH)))


def test_it_returns_the_kind_that_came_in_and_leaves_the_originals(fitted):
    before = to_rows(FRESH).copy()
    trained = fitted.transform(FRESH)
    assert isinstance(trained, Population) and trained.architectures == FRESH.architectures
    assert np.array_equal(to_rows(FRESH), before)
    assert not np.array_equal(to_rows(trained), before)
    modules = FRESH.to_networks()
    weights = [p.detach().clone() for p in modules[0].parameters()]
    made = fitted.transform(modules)
    assert isinstance(made, list) and all(isinstance(one, nn.Module) for one in made)
    assert all(map(torch.equal, modules[0].parameters(), weights))
    assert np.array_equal(to_rows(Population(made)), to_rows(trained))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_networks_come_back_as_such():
    y = RNG.integers(3, size=150)
    task = Task(X, y)
    networks = [MLPClassifier((6,), max_iter=1, random_state=i).fit(X, y) for i in range(3)]
    before = networks[0].coefs_[0].copy()
    trained = model().fit(networks, task=task).transform(networks)
    assert all(isinstance(one, MLPClassifier) for one in trained)
    assert np.array_equal(networks[0].coefs_[0], before)
    assert not np.array_equal(trained[0].coefs_[0], before)
    assert trained[0].predict(X).shape == (150,)


def test_a_network_is_trained_alike_alone(fitted):
    together = to_rows(fitted.transform(FRESH))
    for i in range(4):
        alone = to_rows(fitted.transform(FRESH[[i]]))[0]
        np.testing.assert_allclose(alone, together[i], rtol=1e-4, atol=1e-6)


def test_it_trains_networks_of_other_widths_and_depths_for_other_tasks(fitted):
    wide, deep = (
        Population.initialize(Architecture.mlp(widths), 2, random_state=0)
        for widths in ((3, 20, 4), (3, 5, 5, 5, 4))
    )
    task = Task(X[:, :3], X[:, :4].argmax(1))
    mixed = Population.concatenate([wide, deep])
    trained = fitted.transform(mixed, task=task)
    assert trained.architectures == mixed.architectures
    for one, other in zip(trained.records(), mixed.records(), strict=True):
        assert not torch.equal(one.tensors["0.weight"], other.tensors["0.weight"])


def test_values_are_learned():
    networks = Population.initialize(REGRESSOR, 8, random_state=0)
    learned = model(horizon=40, n_meta_steps=3).fit(networks[:4], task=VALUES)
    trained = learned.transform(networks[4:])
    outputs = trained.forward(X)[..., 0].detach().numpy()
    assert (((outputs - VALUES.y) ** 2).mean(1) < 0.8 * VALUES.y.var()).all()
    assert -VALUES.y.var() < learned.score(networks[4:]) < 0


def test_several_tasks_go_with_the_networks_of_their_size():
    other = Task(X[:, :3], X[:, :3].argmax(1))
    narrow = Population.initialize(Architecture.mlp((3, 4, 3)), 3, random_state=0)
    values = Population.initialize(REGRESSOR, 2, random_state=0)
    mixed = Population.concatenate([NETWORKS, narrow, values])
    order = np.random.default_rng(0).permutation(len(mixed))
    learned = model().fit(mixed[order], task=[TASK, other, VALUES])
    assert learned.task_ == [TASK, other, VALUES]
    for networks, task in ((FRESH, TASK), (narrow, other), (values, VALUES)):
        assert np.isfinite(learned.score(networks, task=task))
        assert not np.array_equal(
            to_rows(learned.transform(networks, task=task)), to_rows(networks)
        )
    with pytest.raises(ValueError, match="transform needs one task. Got 3: pass"):
        learned.transform(FRESH)
    with pytest.raises(ValueError, match="needs networks for each task. Task 1 has 3 features"):
        model().fit(NETWORKS, task=[TASK, other])
    with pytest.raises(ValueError, match="needs a task for each network. Network 6 has another"):
        model().fit(Population.concatenate([NETWORKS, narrow]), task=[TASK])
    with pytest.raises(TypeError, match="needs the networks' data"):
        model().fit(NETWORKS, task=[TASK, None])


def test_a_list_of_one_task_finds_what_the_task_finds(fitted):
    assert model().fit(NETWORKS, task=[TASK]).recipe_ == fitted.recipe_


def test_pickles_and_files(fitted, tmp_path):
    expected = to_rows(fitted.transform(FRESH))
    skmeta.save(fitted, tmp_path / "model")
    pickled, loaded = pickle.loads(pickle.dumps(fitted)), skmeta.load(tmp_path / "model")
    assert np.array_equal(to_rows(pickled.transform(FRESH)), expected)
    assert np.array_equal(to_rows(loaded.transform(FRESH, task=TASK)), expected)
    for other in (pickled, loaded):
        assert type(other) is GradientMetaOptimizer and other.get_params() == fitted.get_params()
        assert other.recipe_ == fitted.recipe_ and other.optimizer_ == fitted.optimizer_
        assert other.score(FRESH, task=TASK) == fitted.score(FRESH)
    assert loaded.task_ is loaded.history_ is loaded.scores_ is None
    with pytest.raises(TypeError, match="GradientMetaOptimizer needs the networks' data"):
        loaded.transform(FRESH)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def tampered(**changes):
    def change(header):
        header["fitted"]["numbers"].update(changes)

    return change


HOSTILE = {
    "too fast": (tampered(lr=30.0), "its lr is off the scale"),
    "backwards": (tampered(lr=-0.01), "its lr is off the scale"),
    "growing": (tampered(weight_decay=0.4), "its weight_decay is off the scale"),
    "long": (tampered(window=1.0), "its window is off the scale"),
    "nan": (tampered(decay=float("nan")), "NaN or infinite"),
    "text": (tampered(decay="1"), "'numbers' has the wrong type"),
    "another": (tampered(damping=0.1), "numbers of another rule"),
    "missing": (lambda h: h["fitted"]["numbers"].pop("lr"), "numbers of another rule"),
    "seed": (lambda h: h["fitted"].update(seed=-1), "the seed is negative"),
    "field": (lambda h: h["fitted"].update(task=1), "wrong fields"),
    "rule": (lambda h: h["params"].update(rule="kfac"), "numbers of another rule"),
    "horizon": (lambda h: h["params"].update(horizon=0), "'horizon' parameter"),
    "no rule": (lambda h: h["params"].update(rule="os.system"), "'rule' parameter"),
}


@pytest.mark.parametrize("change, words", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused(fitted, tmp_path, change, words):
    path = tmp_path / "model"
    fitted.save(path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skmeta"])
    change(header)
    tensors = safetensors.torch.load_file(path)
    path.write_bytes(seal(safetensors.torch.save(tensors, {"skmeta": json.dumps(header)})))
    with pytest.raises(FileError, match=words):
        skmeta.load(path)


REFUSED = [
    ({"rule": "kfca"}, ValueError, "'rule' parameter .*Got 'kfca' instead. Did you mean 'kfac'?"),
    ({"horizon": 0}, ValueError, "'horizon' parameter of GradientMetaOptimizer must be an int"),
    ({"horizon": 1.5}, TypeError, "'horizon' parameter of GradientMetaOptimizer must be an int"),
    ({"batch_size": 0}, ValueError, "'batch_size' parameter"),
    ({"n_meta_steps": 0}, ValueError, "'n_meta_steps' parameter"),
    ({"n_candidates": 1}, ValueError, "'n_candidates' parameter .*range [2, inf)"),
    ({"n_parallel": True}, TypeError, "'n_parallel' parameter"),
    ({"cache_dir": 3}, TypeError, "'cache_dir' parameter .*must be a path or None. Got 3 instead"),
    ({"device": "gpu"}, ValueError, "'device' parameter of GradientMetaOptimizer"),
    ({"verbose": "loud"}, TypeError, "'verbose' parameter of GradientMetaOptimizer"),
    ({"random_state": -1}, ValueError, "'random_state' parameter"),
]


@pytest.mark.parametrize("params, error, words", REFUSED)
def test_wrong_parameters_are_named(params, error, words):
    with pytest.raises(error, match=words.replace("[", r"\[").replace(")", r"\)")):
        model(**params).fit(NETWORKS, task=TASK)


def made(*sizes, **options):
    return Population.initialize(Architecture.mlp(sizes, **options), 2, random_state=0)


@pytest.mark.parametrize(
    "networks, task, words",
    [
        (made(3, 4, 2), TASK, "with 5 inputs and 2 classes. Network 0 has 3 inputs and 2 outputs"),
        (made(5, 4, 3), TASK, "Network 0 has 5 inputs and 3 outputs"),
        (made(5, 6, 1, output="values"), TASK, "Network 0 is a regressor"),
        (
            NETWORKS,
            VALUES,
            "a regression with 5 inputs and one value. Network 0 has 5 inputs and 2",
        ),
        (NETWORKS, TASK.subset(np.arange(9)), "needs 10 or more. Got 9."),
        ([], TASK, "needs at least one network"),
    ],
    ids=["inputs", "outputs", "regressors", "classifiers", "rows", "none"],
)
def test_networks_and_rows_that_do_not_fit_are_refused(fitted, networks, task, words):
    for call in (model().fit, fitted.transform, fitted.score):
        with pytest.raises(ValueError, match=re.escape(words)):
            call(networks, task=task)


def test_what_is_missing_or_changed_is_said(fitted):
    with pytest.raises(TypeError, match="GradientMetaOptimizer needs .*task=Task.*Got NoneType"):
        model().fit(NETWORKS)
    for method in ("transform", "score"):
        with pytest.raises(NotFittedError):
            getattr(model(), method)(FRESH, task=TASK)
    for params in ({"horizon": 13}, {"batch_size": 8}, {"rule": "kfac"}):
        changed = copy.deepcopy(fitted).set_params(**params)
        with pytest.raises(ValueError, match=f"'{[*params][0]}' .* was changed after fit"):
            changed.transform(FRESH)
    copy.deepcopy(fitted).set_params(n_candidates=9, random_state=7).transform(FRESH)


def test_all_diverged_is_an_error():
    far = Task(X * 1e30, TASK.y)
    with pytest.raises(ValueError, match="All training diverged.* Standardise the columns"):
        model("sgdm").fit(NETWORKS, task=far)


def test_a_bar_is_shown_if_wanted(capsys):
    model().fit(NETWORKS, task=TASK)
    assert capsys.readouterr() == ("", "")
    model(verbose=1).fit(NETWORKS, task=TASK)
    out, err = capsys.readouterr()
    assert out == "" and "optimizer" in err and "2/2" in err and "objective=" in err
