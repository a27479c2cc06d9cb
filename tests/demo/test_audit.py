"""From a raw CSV to a verdict: the command line of an audit, as somebody with a file meets it."""

import contextlib
import io
import re
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference

import skmeta
from skmeta.datasets import make_biased_classification
from skmeta.demo.cli import main
from skmeta.demo.data import load_table
from skmeta.demo.page import Page

COLUMNS = ["--target", "hired", "--sensitive", "gender"]


def people(n=6000):
    """A table with gaps, a category, an identifier, booleans and a column named like markup."""
    bunch = make_biased_classification(n, gap=0.4, proxy_strength=4.0, random_state=0)
    frame = bunch.data.rename(columns={"group": "gender", "merit_1": "<b>*merit*</b>"})
    frame["job"] = [None if i % 9 == 0 else "abc"[i % 3] for i in range(n)]
    frame["remote"] = np.arange(n) % 2 == 0
    frame.loc[::7, "merit_0"] = np.nan
    frame.insert(0, "id", [f"p{i}" for i in range(n)])
    return frame.assign(hired=bunch.target)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "people.csv"
    people().to_csv(path, index=False)
    return path


def audit(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["audit", *map(str, arguments)])
    return code, out.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, file):
    folder = tmp_path_factory.mktemp("out") / "deep"
    options = ["--drop", "id", "--max-drop", "0.02", "--format", "html", "--output", folder]
    code, printed = audit(file, *COLUMNS, *options)
    assert code == 0
    return folder, printed


def test_it_writes_these_files_and_nothing_else(finished):
    assert sorted(path.name for path in finished[0].iterdir()) == [
        "candidates.csv",
        "candidates.png",
        "card.html",
        "classifier.safetensors",
        "model.joblib",
        "rates.csv",
        "rates.png",
    ]


def test_the_verdict_is_printed_first(finished):
    lines = finished[1].splitlines()
    assert lines[0] == "Audit of people: hired by gender"
    assert re.match("(reduced|levelled down): the gap is smaller", lines[4])
    for rival in ("ThresholdOptimizer", "LinearPost", "reweighting"):
        assert rival in finished[1]
    assert "the group of every new row" in finished[1]


def test_the_model_takes_raw_rows_and_no_group(finished):
    model = joblib.load(finished[0] / "model.joblib")
    rows = people().drop(columns=["gender", "hired", "id"])
    labels = model.predict(rows)
    strange = rows.iloc[:50].assign(job="never seen", merit_0=np.nan)[rows.columns[::-1]]
    assert set(model.predict(strange)) <= {"no", "yes"} and set(labels) == {"no", "yes"}
    assert np.mean(labels == people()["hired"]) > 0.65
    # What it does to the gap, on all rows.
    truth, groups = people()["hired"] == "yes", people()["gender"]
    before = model["classifier"].estimator_.predict(model["encoder"].transform(rows)) == "yes"
    gaps = [
        equalized_odds_difference(truth, decided, sensitive_features=groups)
        for decided in (before, labels == "yes")
    ]
    assert gaps[1] < 0.6 * gaps[0]


def test_the_classifier_comes_back_without_code(finished):
    model = joblib.load(finished[0] / "model.joblib")
    loaded = skmeta.load(finished[0] / "classifier.safetensors")
    rows = model["encoder"].transform(people())
    assert np.array_equal(loaded.predict(rows), model["classifier"].predict(rows))


def test_the_tables_are_those_of_the_model(finished):
    front = pd.read_csv(finished[0] / "candidates.csv", index_col=0)
    assert len(front) == 361 and front.loc[0, "method"] == "original"
    rates = pd.read_csv(finished[0] / "rates.csv", index_col=0)
    assert rates.index.tolist() == ["A", "B", "all"] and rates.loc["all", "rows"] == 1800


def test_the_card_holds_its_pictures_and_shows_names_as_they_are(finished):
    card = (finished[0] / "card.html").read_text(encoding="utf-8")
    assert card.count('src="data:image/png;base64,') == 2
    assert "&lt;b&gt;*merit*&lt;/b&gt;" in card and "<b>*merit*" not in card
    assert "Missing values become the median" in card and "http" not in card
    for section in ("Verdict", "By group", "Beside it", "The data", "What this does not say"):
        assert f"<h2>{section}" in card


def test_a_card_of_markdown_and_merged_groups(tmp_path):
    frame = people(3000)
    frame.loc[frame.index[:30], "gender"] = "C"
    frame.to_csv(tmp_path / "people.csv", index=False)
    options = ["--drop", "id", "--min-rows", "100", "--output", tmp_path / "out"]
    code, _ = audit(tmp_path / "people.csv", *COLUMNS, *options)
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert code == 0 and "Merged into 'other'" in card and "![" in card
    assert r"&lt;b&gt;\*merit\*&lt;/b&gt;" in card


WRONG = {
    "unknown column": (["--target", "hird", "--sensitive", "gender"], "Did you mean 'hired'"),
    "unknown drop": ([*COLUMNS, "--drop", "idd"], "--drop must be a column .*Did you mean 'id'"),
    "no target": (["--sensitive", "gender"], "needs --target COLUMN and --sensitive COLUMN"),
    "the same": (["--target", "hired", "--sensitive", "hired"], "must differ"),
    "too many labels": (["--target", "job", "--sensitive", "gender"], "missing values|two values"),
    "one group": ([*COLUMNS, "--min-rows", "100000"], "leaves one group. Ask for fewer rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_answered_with_the_fix(name, file, tmp_path, capsys):
    arguments, message = WRONG[name]
    assert main(["audit", str(file), *arguments, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("skmeta audit: error: ") and re.search(message, error)
    assert not (tmp_path / "out").exists()


def test_a_cell_with_few_rows_is_named(tmp_path, capsys):
    frame = people(1000)
    frame.loc[[frame.index[frame["hired"] == "yes"][0]], "gender"] = "C"
    frame.to_csv(tmp_path / "people.csv", index=False)
    assert main(["audit", str(tmp_path / "people.csv"), *COLUMNS]) == 2
    assert "label 'yes' in group 'C'. Merge rare groups with --min-rows" in capsys.readouterr().err


def test_wrong_options_exit_with_2(file, capsys):
    for arguments, message in (
        (["--max-drop", "2"], "between 0 and 1; .01 is a point"),
        (["--format", "pdf"], "invalid choice: 'pdf'"),
        (["--min-rows", "0"], "at least 1"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["audit", str(file), *COLUMNS, *arguments])
        assert caught.value.code == 2 and message in capsys.readouterr().err


def test_what_a_european_spreadsheet_writes_is_read(tmp_path):
    path = tmp_path / "people.csv"
    people(300).to_csv(path, index=False, sep=";", decimal=",")
    table = load_table(str(path), target="hired", sensitive="gender")
    plain = people(300).drop(columns=["gender", "hired"])
    pd.testing.assert_frame_equal(table.features, plain, check_dtype=False)


def test_targets_stay_what_they_are(tmp_path):
    frame = people(2400).assign(hired=lambda f: (f["hired"] == "yes").astype(int))
    frame.drop(columns="id").to_csv(tmp_path / "people.csv", index=False)
    code, _ = audit(tmp_path / "people.csv", *COLUMNS, "--output", tmp_path / "out")
    model = joblib.load(tmp_path / "out" / "model.joblib")
    assert code == 0 and np.mean(model.predict(frame) == frame["hired"]) > 0.6


def test_columns_that_say_too_little_or_too_much_are_noted(tmp_path):
    rng, frame = np.random.default_rng(0), people(1200)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(800, size=1200), "D")
    frame["since"] = days.astype(str)
    paid = frame["hired"].where(rng.random(1200) > 0.01, "no")
    frame["wage"] = np.where(paid == "yes", 1.0, 0.0) + 0.1 * rng.random(1200)
    frame.to_csv(tmp_path / "people.csv", index=False)
    table = load_table(str(tmp_path / "people.csv"), target="hired", sensitive="gender")
    [varied] = [note for note in table.notes if "too varied" in note]
    [told] = [note for note in table.notes if "enough to tell the target" in note]
    assert "'since'" in varied and "'id'" not in varied
    assert "'wage'" in told and "merit_0" not in told


def test_infinity_is_named_before_anything_is_trained(tmp_path, capsys):
    frame = people(300)
    frame.loc[299, "merit_0"] = np.inf
    frame.to_csv(tmp_path / "people.csv", index=False)
    assert main(["audit", str(tmp_path / "people.csv"), *COLUMNS]) != 0
    assert "There is infinity in merit_0" in capsys.readouterr().err


def test_a_page_shows_hostile_names_letter_by_letter(tmp_path):
    name = "<script>|`x`\n# y"
    page = Page(name)
    page.head(name)
    page.say(name)
    page.point(name)
    page.table(pd.DataFrame({name: [name]}, index=[name]))
    (tmp_path / "p.png").write_bytes(b"png")
    page.picture(tmp_path / "p.png", name)
    html = page.to_html()
    assert "<script>" not in html and html.count("&lt;script&gt;") == 9
    text = page.to_text()
    assert "\n# y" not in text and r"\n# y" in text
    markdown = page.to_markdown()
    assert "<script>" not in markdown and "|`" not in markdown
