"""Features, labels and groups may bear any name: pages and pictures show its letters."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.text import Text

from skmeta import ComplianceEditor, Population, Task
from skmeta.demo import table
from skmeta.demo.cli import main
from skmeta.demo.data import DemoData
from skmeta.evaluation import EditDisplay, GroupRatesDisplay, ParetoFrontDisplay
from skmeta.networks import Architecture
from skmeta.requirements import Custom

NAMES = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://x.invalid/x.png)",
    "https://x.invalid www.x.invalid a@x.invalid",
    "two\nlines\r\n# title",
    "a|b\\|c",
    "`code` **bold** _soft_ __init__ ~~no~~",
    "&lt;b&gt; $x^{$",
    "\x1b[2Jwiped \u202edlo\u2028",
    "$x^{$",
    "$\\frac$ \\$5",
    "_hidden",
    "plain_name",
    "long" * 200,
)
CONTROL = re.compile("[\x00-\x1f\x7f\u2028\u202e]")


def spoken(name):
    """Return a name on one line, with control characters as Python escapes them."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def unescaped(markdown):
    """Return what Markdown without any markup shows."""
    return html.unescape(re.sub(r"\\([!-/:-@[-`{-~])", r"\1", markdown))


def active(markdown):
    """Return what is left in Markdown that could be markup."""
    bare = re.sub(r"\\[!-/:-@[-`{-~]", "", markdown)
    return re.findall(r"[<>\[\]`*~$|\\:@]|&(?!amp;|lt;|gt;)|(?<![^\W_])_|_(?![^\W_])|www\.", bare)


def hostile_task(n_rows=280):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((n_rows, len(NAMES))), columns=NAMES)
    groups = np.resize(NAMES, n_rows)
    labels = np.where(np.arange(n_rows) // len(NAMES) % 2, NAMES[0], NAMES[9])
    return Task(X, labels, sensitive_features=groups)


def networks(n=3):
    return Population.initialize(Architecture.mlp((len(NAMES), 6, 2)), n, random_state=0)


def drawn(figure):
    """Draw a figure, and return the texts as they stand in it."""
    figure.canvas.draw()
    texts = [t.get_text() for t in figure.findobj(Text) if t.get_visible()]
    assert not any(map(is_math_text, texts))
    return [text.replace(r"\$", "$").lstrip(" ") for text in texts]


def short(name):
    """Return the beginning and the end that a picture shows of a name."""
    name = spoken(name)
    return (name, name) if len(name) <= 40 else (name[:20], name[-20:])


def names_in(texts, names=NAMES):
    return all(any(t.startswith(a) and t.endswith(b) for t in texts) for a, b in map(short, names))


@pytest.fixture(scope="module")
def card():
    def hostile(probabilities, labels, groups):
        """Look at <b>this</b>: [x](javascript:alert(1))."""
        return probabilities[..., 1].mean(1)

    hostile.__name__ = "a`b"
    small = {"max_epochs": 1, "hidden_channels": 8, "n_layers": 1, "random_state": 0}
    editor = ComplianceEditor([Custom(hostile), "demographic_parity"], lam=0.1, **small)
    with pytest.warns(UserWarning, match="fewer than 50 rows"):
        return editor.fit(networks(), task=hostile_task()).card()


def test_a_card_shows_the_letters_of_features_labels_and_groups(card):
    shown = unescaped(card)
    features = ", ".join(map(spoken, NAMES))
    assert f"{len(NAMES)} features: {features}." in shown
    assert f"Labels: {', '.join(map(spoken, sorted((NAMES[0], NAMES[9]))))}." in shown


def test_a_card_has_a_column_for_each_group_and_a_row_for_each_label(card):
    lines = [line for line in card.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1] for line in lines]
    assert [len(row) for row in cells] == [1 + len(NAMES)] * 4
    assert [unescaped(c.strip()) for c in cells[0][1:]] == [spoken(name) for name in sorted(NAMES)]


def test_a_name_in_a_card_is_no_markup(card):
    data = card[card.index("## Data of the fit") : card.index("## Measured results")]
    for line in data.splitlines():
        text = line.removeprefix("**Warning:**").removeprefix("## ")
        if line.startswith("|"):
            text = " ".join(re.split(r"(?<!\\)(?:\\\\)*\|", line))
        # The card's own colons stand in front of a space or end the line.
        assert active(re.sub(r":( |$)", " ", text)) == []
    assert CONTROL.sub("", card.replace("\n", "")) == card.replace("\n", "")


def test_a_function_of_the_user_is_no_markup_in_a_card(card):
    (line,) = (line for line in card.splitlines() if "Look at" in line)
    assert line.startswith("- requirement: `` a`b ``, `Custom(function=")
    assert "&lt;b&gt;this&lt;/b&gt;\\: \\[x\\](javascript\\:alert(1))" in line


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_lost_or_active_in_markdown(name):
    from skmeta._text import markdown

    assert unescaped(markdown(name)) == spoken(name)
    assert active(markdown(name)) == []


def test_words_with_an_underscore_stay_readable_in_markdown():
    from skmeta._text import markdown

    assert markdown("education_num of 3.5, 50 % - (x)") == "education_num of 3.5, 50 % - (x)"


def test_group_rates_draw_the_names_of_groups_and_labels():
    rates = pd.DataFrame(
        [
            ("true positive rate", label, group, when, 0.5, 0.4, 0.6)
            for label in ("$x^{$", "a\nb")
            for group in NAMES
            for when in ("before", "after")
        ],
        columns=["rate", "label", "group", "when", "mean", "low", "high"],
    )
    figure = Figure(figsize=(8, 8))
    display = GroupRatesDisplay(rates).plot(figure.add_subplot())
    texts = drawn(figure)
    assert names_in(texts)
    assert "true positive rate\nof $x^{$" in texts and "true positive rate\nof a\\nb" in texts
    assert len(display.ax_.get_legend().get_texts()) == len(NAMES) + 2


def test_an_edit_draws_the_names_of_inputs():
    inputs = pd.DataFrame({"input": NAMES, "before": 1.0, "after": 0.5})
    figure = Figure(figsize=(8, 8), layout="constrained")
    EditDisplay(pd.DataFrame(), inputs).plot(figure.add_subplot(), kind="inputs")
    texts = drawn(figure)
    assert names_in(texts)
    assert figure.axes[0].get_position().width > 0.3  # no name takes the room of the bars


def test_a_front_draws_the_names_of_methods_and_of_the_measure():
    points = pd.DataFrame({"method": NAMES, "lam": 0.1})
    for axis in ("measure", "divergence"):
        points[[axis, f"{axis}_low", f"{axis}_high"]] = 0.1, 0.05, 0.2
    figure = Figure(figsize=(8, 8))
    display = ParetoFrontDisplay(points, measure_name="$x^{$", spread="$y^{$")
    display.plot(figure.add_subplot())
    texts = drawn(figure)
    assert names_in(texts) and "$x^{$" in texts and "mean and $y^{$" in texts
    assert len(display.ax_.get_legend().get_texts()) == len(NAMES)
    assert list(display.lines_) == list(NAMES)


def test_a_label_that_the_caller_wrote_may_be_a_formula():
    points = pd.DataFrame({"method": ["a"], "lam": 0.1})
    for axis in ("measure", "divergence"):
        points[[axis, f"{axis}_low", f"{axis}_high"]] = 0.1, 0.05, 0.2
    display = ParetoFrontDisplay(points).plot(Figure().add_subplot(), xlabel=r"$\Delta$")
    assert is_math_text(display.ax_.get_xlabel())


def test_the_demo_prints_names_without_terminal_codes():
    task = hostile_task()
    data = DemoData("\x1b]0;name\x07", "sens\x1b[2J", task, task, task)
    text = table.introduction(data, 3, 2)
    assert CONTROL.sub("", text.replace("\n", "")) == text.replace("\n", "")
    assert r"\x1b[2Jwiped" in " ".join(text.split())


def test_an_error_of_the_demo_prints_names_without_terminal_codes(tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text("\x1b[2Ja,b\n1,2\n")
    assert main(["demo", "--data", str(path), "--target", "x", "--sensitive", "b"]) == 2
    error = capsys.readouterr().err
    assert r"\x1b[2Ja" in error and CONTROL.sub("", error[:-1]) == error[:-1]
