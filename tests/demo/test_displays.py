"""The Pareto picture."""

import builtins

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from skmeta import ComplianceEditor, make_zoo
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.evaluation import ParetoFrontDisplay


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    parts = [
        {"method": name, "lam": lam, "measure": rng.random(5), "divergence": size * rng.random(5)}
        for name, lams, size in (("nothing", [np.nan], 0), ("editor", [0.3, 0.03], 0.01))
        for lam in lams
    ]
    return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)


def test_points_are_means_within_their_intervals(frame):
    points = ParetoFrontDisplay.from_frame(frame).points.set_index(["method", "lam"])
    assert len(points) == 3
    own = frame[(frame["method"] == "editor") & (frame["lam"] == 0.3)]
    for axis in ("measure", "divergence"):
        row = points.loc[("editor", 0.3)]
        assert row[axis] == pytest.approx(own[axis].mean())
        assert row[f"{axis}_low"] < row[axis] < row[f"{axis}_high"]


def test_plot_draws_one_line_per_method_in_the_order_of_lam(frame):
    ax = Figure().add_subplot()
    display = ParetoFrontDisplay.from_frame(frame, ax=ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert list(display.lines_) == ["nothing", "editor"]
    drawn = display.lines_["editor"].get_xdata()
    points = display.points[display.points["method"] == "editor"].sort_values("lam")
    np.testing.assert_allclose(drawn, points["measure"])
    assert "nats" in ax.get_ylabel()
    ax.figure.canvas.draw()


def test_a_summary_with_intervals_is_taken_as_it_is():
    summary = pd.DataFrame(
        {
            f"{axis}{end}": [0.1, 0.2]
            for axis in ("measure", "divergence")
            for end in ("", "_low", "_high")
        },
        index=pd.Index(["nothing", "swap"], name="method"),
    )
    display = ParetoFrontDisplay.from_frame(summary, ax=Figure().add_subplot())
    assert display.points["method"].tolist() == ["nothing", "swap"]
    assert display.points["lam"].isna().all()


def test_a_frame_without_the_columns_is_refused(frame):
    with pytest.raises(ValueError, match=r"lacks \['measure'\]; name the columns"):
        ParetoFrontDisplay.from_frame(frame.drop(columns="measure"))


def test_from_estimator_measures_the_originals_and_every_lam():
    train, reference, test = split_tasks(make_biased_classification(2000, random_state=0), "group")
    zoo = make_zoo(train, 3, epochs=1, n_checkpoints=1, progress=False, random_state=0)
    editor = ComplianceEditor(lam_range=(0.05, 0.2), max_epochs=1, random_state=0)
    editor.fit(zoo, task=reference)
    ax = Figure().add_subplot()
    display = ParetoFrontDisplay.from_estimator(editor, zoo, task=test, lams=[0.05, 0.2], ax=ax)
    assert display.points["lam"].fillna(0).tolist() == [0, 0.05, 0.2]
    assert display.points["divergence"][0] == pytest.approx(0, abs=1e-6)


def test_without_matplotlib_the_error_says_what_to_install(frame, monkeypatch):
    real = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    display = ParetoFrontDisplay.from_frame(frame)
    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install skmeta\[plot\]"):
        display.plot()
