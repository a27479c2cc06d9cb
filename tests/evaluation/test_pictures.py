"""Displays and frames: the numbers behind the pictures."""

import copy

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from matplotlib.figure import Figure
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from skmeta.baselines import FineTune, Nothing
from skmeta.datasets import Task
from skmeta.editing import measure_edits
from skmeta.evaluation import EditDisplay, GroupRatesDisplay, ParetoFrontDisplay, metric_frames
from skmeta.networks import Architecture
from skmeta.population import Population
from tests.stages import layer


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture(scope="module")
def tuned(zoo, tasks):
    return FineTune(n_steps=10, lam=0.3, random_state=0).fit(zoo, task=tasks[1])


def cv_results():
    rng = np.random.default_rng(0)
    results = {
        "params": [{"step__lam": lam, "step__n": n} for n in (1, 2) for lam in (0.3, 0.1, 0.2)]
    }
    for name in ("neg_divergence", "neg_measure"):
        folds = -rng.random((3, 6))
        folds[1, 4] = np.nan
        results |= {f"split{i}_test_{name}": fold for i, fold in enumerate(folds)}
        results[f"mean_test_{name}"] = folds.mean(0)
    return results


def test_a_front_of_a_search(ax):
    results = cv_results()
    display = ParetoFrontDisplay.from_cv_results(results, ax=ax)
    assert display.ax_ is ax and list(display.lines_) == ["n=1", "n=2"]
    points = display.points.set_index(["method", "lam"])
    assert len(points) == 5  # one candidate failed
    row = points.loc[("n=1", 0.1)]
    folds = [-results[f"split{i}_test_neg_measure"][1] for i in range(3)]
    assert row[["measure", "measure_low", "measure_high"]].tolist() == pytest.approx(
        [np.mean(folds), min(folds), max(folds)]
    )
    assert ax.get_legend().get_title().get_text() == "mean and range of the folds"
    assert ax.get_xlabel() == "measure"
    ax.figure.canvas.draw()


def test_a_search_over_lam_alone_is_one_curve(ax):
    results = cv_results()
    for params in results["params"]:
        del params["step__n"]
    display = ParetoFrontDisplay.from_cv_results(results, name="tuned", ax=ax)
    assert list(display.lines_) == ["tuned"]


def test_bands_draw_networks_of_one_run_together(tuned, zoo, tasks):
    frame = measure_edits(zoo, tuned.transform(zoo), tasks[2]).assign(method="tuned", lam=0.3)
    alone = ParetoFrontDisplay.from_frame(frame).points
    together = ParetoFrontDisplay.from_frame(frame.assign(run=[0, 0, 0, 1, 1, 1])).points
    assert together["measure"][0] == alone["measure"][0]
    assert together["measure_low"][0] != alone["measure_low"][0]


def test_relative_changes_of_layers(tuned, zoo, ax):
    display = EditDisplay.from_estimator(make_pipeline(tuned), zoo, ax=ax)
    edited = tuned.transform(zoo)
    for i in (0, 5):
        old, new = zoo.records()[i].tensors, edited.records()[i].tensors
        mine = display.layers[display.layers["network"] == i]
        assert mine["layer"].iloc[-1] == "output"
        assert len(mine) == zoo.architectures[i].depth
        for stage, change in enumerate(mine["relative_change"]):
            parts = [
                np.concatenate([np.ravel(t[f"{stage}.{name}"]) for name in ("weight", "bias")])
                for t in (old, new)
            ]
            if f"{stage}.scale" not in old:
                expected = np.linalg.norm(parts[1] - parts[0]) / np.linalg.norm(parts[0])
                assert change == pytest.approx(expected, rel=1e-5)
    assert display.layers["relative_change"].gt(0).all()
    assert "relative change" in ax.get_ylabel()  # no input was lost
    ax.figure.canvas.draw()


def masked(population, lost):
    """Set the weights of some inputs of each network to zero."""
    records = copy.deepcopy(population.records())  # records are views
    for record, inputs in zip(records, lost, strict=True):
        record.tensors["0.weight"][:, inputs] = 0
    return Population.from_records(records)


def test_inputs_in_use(ax):
    before = Population.initialize(Architecture.mlp((3, 4, 2)), 4, random_state=0)
    after = masked(before, [[0], [0], [0, 2], [0]])
    task = Task(pd.DataFrame(np.zeros((2, 3)), columns=["age", "sex", "pay"]), [0, 1])
    display = EditDisplay.from_networks(before, after, task, ax=ax)
    assert display.inputs["before"].tolist() == [1, 1, 1]
    assert display.inputs["after"].tolist() == [0, 1, 0.75]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["sex", "pay", "age"]
    unmasked = EditDisplay.from_networks(before, before, ax=Figure().add_subplot())
    assert unmasked.inputs["input"].tolist() == ["x0", "x1", "x2"]
    assert (unmasked.layers["relative_change"] == 0).all()


def test_an_input_with_a_skip_connection_stays_in_use():
    architecture = Architecture(2, (layer(2, "relu", skips=(0,)), layer(2)))
    before = Population.initialize(architecture, 1, random_state=0)
    display = EditDisplay.from_networks(before, masked(before, [[0]]), ax=Figure().add_subplot())
    assert display.inputs["after"].tolist() == [1, 1]


def test_edits_that_cannot_be_compared_are_refused(zoo, tasks, ax):
    with pytest.raises(ValueError, match="of other architectures or in another order"):
        EditDisplay.from_networks(zoo, zoo[:2], ax=ax)
    narrow = Task(tasks[1].X[:, 1:], tasks[1].y)
    with pytest.raises(ValueError, match="as many inputs as the task has features"):
        EditDisplay.from_networks(zoo, zoo, narrow, ax=ax)
    display = EditDisplay.from_networks(zoo, zoo, ax=ax)
    with pytest.raises(ValueError, match="Did you mean 'inputs'"):
        display.plot(ax, kind="input")


def fairlearn_rates(networks, task, k):
    """Mean over networks of fairlearn's rates of class k, ``(2, n_groups)``."""
    predictions = networks.predict_proba(task.X).argmax(-1)
    metrics = {"true": true_positive_rate, "false": false_positive_rate}
    frames = [
        MetricFrame(
            metrics=metrics, y_true=task.y == k, y_pred=p == k, sensitive_features=task.sensitive
        )
        for p in predictions
    ]
    return np.mean([frame.by_group.to_numpy().T for frame in frames], axis=0)


def test_group_rates_are_those_of_fairlearn(tuned, zoo, tasks, ax):
    display = GroupRatesDisplay.from_estimator(tuned, zoo, task=tasks[2], ax=ax)
    assert display.ax_ is ax and display.rates["label"].unique().tolist() == ["yes"]
    for when, networks in (("before", zoo), ("after", tuned.transform(zoo))):
        rates = display.rates[display.rates["when"] == when]
        expected = fairlearn_rates(networks, tasks[2], 1)
        np.testing.assert_allclose(rates["mean"], expected.ravel(), atol=1e-6)
        assert ((rates["low"] < rates["mean"]) & (rates["mean"] < rates["high"])).all()
    default = GroupRatesDisplay.from_estimator(tuned, zoo, ax=Figure().add_subplot())
    assert not default.rates["mean"].equals(display.rates["mean"])  # rows of fit
    ax.figure.canvas.draw()


def test_group_rates_of_several_classes_and_groups(ax):
    rng = np.random.default_rng(0)
    y, groups = rng.integers(3, size=300), rng.integers(4, size=300)
    task = Task(rng.normal(size=(300, 2)), y, sensitive_features=groups)
    networks = Population.initialize(Architecture.mlp((2, 8, 3)), 5, random_state=0)
    display = GroupRatesDisplay.from_networks(networks, networks, task, ax=ax)
    assert len(display.rates) == 2 * 2 * 3 * 4
    for k in range(3):
        for number, rate in enumerate(("true", "false")):
            rows = display.rates.query("label == @k and when == 'after'")
            mine = rows[rows["rate"] == f"{rate} positive rate"]["mean"]
            expected = fairlearn_rates(networks, task, k)[number]
            np.testing.assert_allclose(mine, expected, atol=1e-6)
    assert len(ax.get_xticks()) == 6


def test_group_rates_need_groups(zoo, tasks):
    with pytest.raises(ValueError, match="GroupRatesDisplay must have sensitive features"):
        GroupRatesDisplay.from_networks(zoo, zoo, Task(tasks[1].X, tasks[1].y))


def test_displays_make_a_figure_of_their_own(zoo, tasks):
    import matplotlib.pyplot as plt

    nothing = Nothing().fit(zoo, task=tasks[1])
    for display in (
        EditDisplay.from_estimator(nothing, zoo),
        GroupRatesDisplay.from_estimator(nothing, zoo),
    ):
        assert display.figure_.axes == [display.ax_]
        plt.close(display.figure_)


def test_metric_frames_are_those_of_the_networks(tasks):
    train, reference, test = tasks
    answers = np.array(["no", "yes"])
    model, other = (
        MLPClassifier((8,), max_iter=300, tol=1e-2, random_state=s).fit(train.X, answers[train.y])
        for s in (0, 1)
    )
    task = Task(test.X, answers[test.y], sensitive_features=np.array(["f", "m"])[test.sensitive])

    def chosen(y_true, y_pred):
        return selection_rate(y_true, y_pred, pos_label="yes")

    frames = metric_frames(
        model, other, task, metrics={"chosen": chosen}, n_boot=20, ci_quantiles=[0.1, 0.9]
    )
    for frame, network in zip(frames, (model, other), strict=True):
        for group in ("f", "m"):
            rows = task.groups[task.sensitive] == group
            expected = (network.predict(test.X[rows]) == "yes").mean()
            assert frame.by_group["chosen"][group] == pytest.approx(expected)
        assert len(frame.by_group_ci) == 2
    assert not frames.before.by_group.equals(frames.after.by_group)
    with pytest.raises(ValueError, match="'task' parameter of metric_frames must have sensitive"):
        metric_frames(model, model, Task(test.X, answers[test.y]), metrics=chosen)
