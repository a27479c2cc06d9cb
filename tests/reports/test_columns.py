"""Columns in another order: names are compared wherever two of them meet."""

import pickle

import numpy as np
import pandas as pd
import polars
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import (
    ComplianceEditor,
    EditedClassifier,
    Population,
    Task,
    WeightSpaceRegressor,
    make_zoo,
)
from skmeta.baselines import FineTune, GroupShift, Nothing, distill
from skmeta.editing import measure_edits
from skmeta.evaluation import EditScorer, compare, metric_frames
from skmeta.evaluation.displays import EditDisplay, GroupRatesDisplay, ParetoFrontDisplay
from skmeta.networks import Architecture
from skmeta.population import run_networks, to_rows

NAMES = list("abcd")
TURNED = NAMES[::-1]
ORDER = "the same ones in another order .*'d', 'c', 'b', 'a' instead of 'a', 'b', 'c', 'd'"

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(300, 4)), columns=NAMES)
y = (X["a"] + 2 * X["b"] - 3 * X["c"] > 0).astype(int)
groups = rng.choice(["f", "m"], 300)


def fitted(rows):
    return MLPClassifier((8,), solver="lbfgs", max_iter=500, random_state=0).fit(rows, y)


def task_of(rows):
    return Task(rows, y, sensitive_features=groups)


@pytest.fixture(scope="module")
def network():
    return fitted(X)


@pytest.fixture(scope="module")
def unnamed():
    return Population.initialize(Architecture.mlp((4, 8, 2)), 3, random_state=0)


@pytest.fixture(scope="module")
def editor(unnamed):
    return ComplianceEditor(max_epochs=1, random_state=0).fit(unnamed, task=task_of(X))


def test_a_population_refuses_a_frame_whose_columns_are_turned(network):
    population = Population([network])
    assert population.score(X, y)[0] > 0.9
    turned = X[TURNED]
    frames = [turned, polars.DataFrame(turned.to_dict("list")), turned.convert_dtypes()]
    for frame in frames:
        for run in (population.forward, population.predict_proba, lambda f: population.score(f, y)):
            with pytest.raises(ValueError, match=ORDER):
                run(frame)
    with torch.no_grad():  # names that nobody knows are not compared
        expected = population.forward(X)
        assert torch.equal(population.forward(X.to_numpy()), expected)
    assert Population([fitted(X.to_numpy())]).score(turned, y)[0] < 0.9


def test_the_message_names_missing_and_additional_columns(network):
    with pytest.raises(ValueError, match=r"missing 'a'; additional 'z'. Select them by name, as"):
        Population([network]).score(X.rename(columns={"a": "z"}), y)


def test_networks_of_different_columns_do_not_share_rows(network):
    both = Population([network, fitted(X[TURNED])])
    with pytest.raises(ValueError, match="columns that network 1 was trained on.*another network"):
        both.score(X.to_numpy(), y)


def test_a_population_knows_the_columns_of_its_networks(network, unnamed):
    assert Population([network, fitted(X.to_numpy())]).feature_names == [NAMES, None]
    assert Population.concatenate([unnamed[:1], Population([network])])[1:].feature_names == [NAMES]


def test_a_zoo_knows_the_columns_of_its_task(tmp_path):
    zoo = make_zoo(task_of(X), 2, epochs=1, n_checkpoints=1, progress=False, random_state=0)
    assert zoo.feature_names == [NAMES, NAMES]
    with pytest.raises(ValueError, match=ORDER):
        zoo.score(X[TURNED], y)
    with pytest.raises(ValueError, match=ORDER):
        measure_edits(zoo, zoo, task_of(X[TURNED]))
    edited = FineTune(n_steps=1).fit(zoo, task=task_of(X)).transform(zoo)
    assert edited.feature_names == [NAMES, NAMES]
    zoo.save(tmp_path / "zoo.safetensors")
    for twin in (
        pickle.loads(pickle.dumps(zoo)),
        Population.load(tmp_path / "zoo.safetensors"),
    ):
        assert twin.feature_names == zoo.feature_names
        joined = Population.concatenate([twin[:1], zoo[1:]])
        assert pickle.dumps(joined) == pickle.dumps(zoo)
    nameless = make_zoo(task_of(X.to_numpy()), 1, epochs=1, n_checkpoints=1, progress=False)
    assert nameless.feature_names == [None]


def test_the_columns_of_a_network_survive_an_edit_and_a_file(network, editor, tmp_path):
    [edited] = editor.transform([network])
    assert list(edited.feature_names_in_) == NAMES
    Population([edited]).save(tmp_path / "one.safetensors")
    assert Population.load(tmp_path / "one.safetensors").feature_names == [NAMES]


def test_a_pipeline_and_a_class_of_ones_own_keep_their_columns_in_a_file(network, tmp_path):
    own = type("Own", (MLPClassifier,), {})
    networks = [
        make_pipeline(StandardScaler(), MLPClassifier((4,), early_stopping=True)).fit(X, y),
        own((4,), early_stopping=True).fit(X, y),
        network,
    ]
    Population(networks).save(tmp_path / "some.safetensors")
    loaded = Population.load(tmp_path / "some.safetensors")
    assert loaded.feature_names == [NAMES] * 3
    with pytest.raises(ValueError, match=ORDER):
        loaded[:2].predict_proba(X[TURNED])


@pytest.mark.parametrize(
    "measure",
    [
        run_networks,
        lambda n, t: measure_edits(n, n, t),
        lambda n, t: metric_frames(n[0], n[0], t, metrics=lambda y_true, y_pred: 0.0),
        lambda n, t: compare({"nothing": Nothing()}, n, t),
        lambda n, t: distill(Population(n), Population(n), t, n_steps=1),
        lambda n, t: FineTune(n_steps=1).fit(n, task=t).transform(n),
        lambda n, t: ComplianceEditor(max_epochs=1).fit(n, task=t),
        lambda n, t: EditDisplay.from_networks(n, n, t),
        lambda n, t: GroupRatesDisplay.from_networks(n, n, t),
    ],
    ids="run measure frames compare distill finetune fit edit_display rates_display".split(),
)
def test_a_network_refuses_a_task_whose_columns_are_turned(network, measure):
    with pytest.raises(ValueError, match=f"must have the columns of network 0.*{ORDER}"):
        measure([network], task_of(X[TURNED]))


def test_an_editor_refuses_networks_of_turned_columns(editor):
    with pytest.raises(ValueError, match="must have the columns of network 0, in their order"):
        editor.transform([fitted(X[TURNED])])


@pytest.mark.parametrize(
    "look",
    [
        lambda e, n, t: e.transform(n, task=t),
        lambda e, n, t: e.report(n, task=t, n_bootstrap=2),
        lambda e, n, t: e.score(n, task=t),
        lambda e, n, t: e.card(n, task=t),
        lambda e, n, t: EditScorer().score(e, n, task=t),
        lambda e, n, t: compare({"editor": e}, n, t),
        lambda e, n, t: EditDisplay.from_estimator(e, n, task=t),
        lambda e, n, t: GroupRatesDisplay.from_estimator(e, n, task=t),
        lambda e, n, t: ParetoFrontDisplay.from_estimator(e, n, task=t),
    ],
    ids="transform report score card scorer compare edit_display rates_display front".split(),
)
def test_an_editor_refuses_a_task_whose_columns_are_not_those_of_fit(editor, unnamed, look):
    with pytest.raises(ValueError, match=f"must have the columns of the task .*{ORDER}"):
        look(editor, unnamed, task_of(X[TURNED]))


def test_an_editor_from_a_file_still_knows_its_columns(editor, unnamed, tmp_path):
    import skmeta

    for task, named in ((task_of(X), True), (task_of(X.to_numpy()), False)):
        fresh = ComplianceEditor(max_epochs=1, random_state=0).fit(unnamed, task=task)
        fresh.save(tmp_path / "editor.safetensors")
        loaded = skmeta.load(tmp_path / "editor.safetensors")
        assert len(loaded.transform(unnamed, task=task)) == 3
        if named:
            with pytest.raises(ValueError, match=ORDER):
                loaded.transform(unnamed, task=task_of(X[TURNED]))
        else:
            assert len(loaded.transform(unnamed, task=task_of(X[TURNED]))) == 3


@pytest.mark.parametrize("rival", [GroupShift(random_state=0), FineTune(n_steps=1)], ids=str)
def test_a_rival_refuses_a_task_whose_columns_are_not_those_of_fit(rival, unnamed):
    rival = rival.fit(unnamed, task=task_of(X))
    assert len(rival.predict_logits(unnamed, task_of(X.to_numpy()))) == 3
    with pytest.raises(ValueError, match=f"must have the columns of the task in fit.*{ORDER}"):
        rival.predict_logits(unnamed, task_of(X[TURNED]))


def test_columns_that_look_like_made_up_names_are_compared():
    names = ["x0", "x1", "x2", "x3"]
    network = fitted(X.set_axis(names, axis=1))
    with pytest.raises(ValueError, match="'x3', 'x2', 'x1', 'x0' instead of"):
        run_networks([network], task_of(X.set_axis(names, axis=1)[names[::-1]]))
    unknown = task_of(X.to_numpy())
    assert unknown.feature_names == names and unknown.column_names is None
    assert run_networks([network], unknown).shape == (1, 300, 2)
    # Numbers that only count the columns are no names, either.
    assert task_of(pd.DataFrame(X.to_numpy())).column_names is None


def test_frames_of_weights_and_of_rows_refuse_other_orders(unnamed):
    rows = to_rows(unnamed)
    frame = pd.DataFrame(rows, columns=[f"w{i}" for i in range(rows.shape[1])])
    reader = WeightSpaceRegressor(max_epochs=1, random_state=0).fit(frame, [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="same order as they were in fit"):
        reader.predict(frame[frame.columns[::-1]])
    classifier = EditedClassifier(
        MLPClassifier((4,), early_stopping=True),
        n_networks=2,
        zoo_epochs=1,
        max_epochs=1,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="edited nothing"):
        classifier.fit(X, y)
    with pytest.raises(ValueError, match="same order as they were in fit"):
        classifier.predict(X[TURNED])


def test_the_display_of_an_edit_uses_the_names_that_networks_know(network):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    display = EditDisplay.from_networks([network], [network], ax=ax)
    assert display.inputs["input"].tolist() == NAMES


def test_sparse_rows_are_refused_with_a_way_out(network):
    sparse = csr_array(X.to_numpy())
    for use in (lambda: Task(sparse, y), lambda: Population([network]).score(sparse, y)):
        with pytest.raises(TypeError, match=r"must be dense.*shape \(300, 4\).*X.toarray\(\)"):
            use()
