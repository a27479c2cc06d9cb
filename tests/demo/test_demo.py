"""The demo on a tiny setting, and its answers to wrong arguments."""

import re
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPClassifier

from skmeta import Population
from skmeta.datasets import make_biased_classification
from skmeta.demo.cli import main
from skmeta.demo.data import InputError, load_data

TINY = ["--n-networks", "8", "--n-held-out", "4", "--epochs", "3", "--max-epochs", "2"]


@pytest.fixture(scope="module")
def table_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "people.csv"
    job = [None if i % 9 == 0 else "ab"[i % 2] for i in range(2000)]
    frame = make_biased_classification(2000, random_state=0).frame.assign(job=job)
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, table_file) -> tuple[Path, str]:
    """Run the demo once on a file; return its folder and what it printed."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("out") / "deep" / "demo"
    columns = ["--target", "decision", "--sensitive", "group"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["demo", "--data", str(table_file), *columns, "--output", str(folder), *TINY])
    assert code == 0
    return folder, out.getvalue()


def test_it_writes_these_files_and_nothing_else(finished):
    names = sorted(path.name for path in finished[0].iterdir())
    assert names == [
        "edited_model.joblib",
        "edited_network.safetensors",
        "front.png",
        "measurements.csv",
        "table",
    ]
    assert (finished[0] / "table" / "card.md").is_file()


def test_the_first_thing_shown_is_the_verdict_of_a_table(finished):
    lines = finished[1].splitlines()
    assert lines[0] == "1. You have a table" and lines[4] == "Verdict"


def test_the_edited_network_loads_back_as_what_it_was(finished, table_file):
    [edited] = Population.load(finished[0] / "edited_network.safetensors")
    assert isinstance(edited, MLPClassifier)
    test = load_data(str(table_file), target="decision", sensitive="group").test
    labels = edited.predict(test.X)
    assert set(labels) <= {"no", "yes"}
    accuracy = np.mean(labels == test.classes[test.y])
    network = finished[1].split("2. You have networks")[1]
    printed = float(re.search(r"\n  accuracy {10,}\d\.\d+ +(\d\.\d+)", network).group(1))
    assert accuracy == pytest.approx(printed, abs=6e-4)


def test_the_edited_model_predicts_raw_rows(finished, table_file):
    model = joblib.load(finished[0] / "edited_model.joblib")
    frame = pd.read_csv(table_file)
    [network] = Population.load(finished[0] / "edited_network.safetensors")
    labels = model.predict(frame)
    assert np.array_equal(labels, network.predict(model["encoder"].transform(frame)))
    assert np.mean(labels == frame["decision"]) > 0.65
    assert "edited_model.joblib" in finished[1] and "only if you trust" in finished[1]
    assert "most frequent value of a category: 'job' (223 rows)" in " ".join(finished[1].split())


def test_the_picture_is_a_png(finished):
    assert (finished[0] / "front.png").read_bytes().startswith(b"\x89PNG")


def test_the_measurements_hold_every_method_at_every_lam(finished):
    frame = pd.read_csv(finished[0] / "measurements.csv")
    counts = frame.groupby(["lam", "method"]).size()
    assert len(counts) == 3 * 5 and (counts == 4).all()
    expected = frame["divergence"] + frame["lam"] * frame["measure"]
    np.testing.assert_allclose(frame["objective"], expected, rtol=1e-3, atol=1e-6)
    nothing = frame[frame["method"] == "nothing"]
    np.testing.assert_allclose(nothing["divergence"], 0, atol=1e-6)


def test_the_report_has_units_costs_and_no_promises(finished):
    text = finished[1]
    for piece in ("[nats]", "CPU ms", "break-even", "peak memory", "reduces a measured gap", " MB"):
        assert piece in text
    assert not re.search("compliant|certified|unbiased", text, re.IGNORECASE)
    lines = text.replace(str(finished[0]), "demo-output").splitlines()
    assert not [line for line in lines if len(line) > 120]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "required"),
        (["dmeo"], "invalid choice"),
        (["demo", "--lamda", "1"], "unrecognized arguments: --lamda"),
        (["demo", "--lam", "0"], "must be a positive number. Got '0'"),
        (["demo", "--lam", "nan"], "must be a positive number. Got 'nan'"),
        (["demo", "--lam", "much"], "invalid number value: 'much'"),
        (["demo", "--n-networks", "0"], "must be at least 1. Got '0'"),
        (["demo", "--random-state", "-1"], "must be in the range"),
    ],
)
def test_wrong_options_exit_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def check_refused(arguments, message, folder, capsys):
    """The demo says `message`, returns 2, and leaves `folder` as it was."""
    before = sorted(folder.rglob("*"))
    assert main(["demo", "--output", str(folder / "new"), *TINY, *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data", "adlut"], "one of embedded, adult, bank or a CSV file. There is no file adlut"),
        (["--data", "{file}"], "needs --target COLUMN and --sensitive COLUMN"),
        (
            ["--data", "{file}", "--target", "decison", "--sensitive", "group"],
            "Did you mean 'decision'?",
        ),
        (["--data", "{file}", "--target", "decision", "--sensitive", "x"], "--sensitive must be"),
        (["--data", "{file}", "--target", "group", "--sensitive", "group"], "must differ"),
        (
            ["--data", "{file}", "--target", "merit_0", "--sensitive", "group"],
            "--target must have two values. Column 'merit_0' has 2000",
        ),
        (
            ["--data", "{file}", "--target", "decision", "--sensitive", "merit_0"],
            "--sensitive must have 2 to 10 groups",
        ),
        (["--target", "decision"], "--target belongs to a file of your own"),
        (["--sensitive", "sex"], "sensitive"),
        (["--epochs", "2"], "--epochs must be at least 3"),
    ],
)
def test_wrong_inputs_are_refused(arguments, message, table_file, tmp_path, capsys):
    arguments = [str(table_file) if a == "{file}" else a for a in arguments]
    check_refused(arguments, message, tmp_path, capsys)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "cannot be read as CSV"),
        (b"\xff\xfe\x00", "cannot be read as CSV"),
        (b"a,b,c\n1,x,0\n2,y,\n", "c have missing values"),
        (b"b,c\nx,0\ny,1\n", "needs a feature beside"),
        (b"a,b,c\n1,x,0\n2,y,1\n", "rows of each label and group"),
        (b"a,b,c\n" + b"1,x,0\ninf,x,1\n2,y,0\n3,y,1\n" * 20, "infinity"),
    ],
)
def test_wrong_files_are_refused(content, message, tmp_path, capsys):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    columns = ["--target", "c", "--sensitive", "b"]
    check_refused(["--data", str(path), *columns], message, tmp_path, capsys)


def test_a_missing_download_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    check_refused(["--data", "adult", "--data-home", str(tmp_path)], "pooch", tmp_path, capsys)


def test_an_output_that_is_a_file_is_refused(tmp_path, capsys):
    path = tmp_path / "occupied"
    path.write_text("mine")
    assert main(["demo", "--output", str(path)]) == 2
    assert "must be a folder" in capsys.readouterr().err
    assert main(["demo", "--output", str(path / "below")]) == 2
    assert path.read_text() == "mine"


def test_without_matplotlib_it_says_so_before_it_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("skmeta.demo.cli.find_spec", lambda name: None)
    check_refused([], "pip install skmeta[plot]", tmp_path, capsys)


def test_load_data_keeps_the_csv_labels(table_file):
    data = load_data(str(table_file), target="decision", sensitive="group", random_state=1)
    assert data.test.classes.tolist() == ["no", "yes"]
    assert data.test.groups.tolist() == ["A", "B"]
    with pytest.raises(InputError, match="sex"):
        load_data("embedded", sensitive="sex")
