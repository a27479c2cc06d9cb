"""The model card, and the warning of small groups."""

import re
from importlib.metadata import version

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skmeta import ComplianceEditor, Population, Task
from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.editing.checks import cell_counts
from skmeta.networks import Architecture
from skmeta.requirements import Pruning

FAST = {"max_epochs": 1, "hidden_channels": 8, "n_layers": 1, "random_state": 0}
SMALL = "fewer than 50 rows of"


@pytest.fixture(scope="module")
def tasks():
    return split_tasks(make_biased_classification(3000, gap=0.3, random_state=0), "group")


@pytest.fixture(scope="module")
def networks(tasks):
    return Population.initialize(Architecture.mlp((tasks[0].n_features, 8, 2)), 4, random_state=0)


@pytest.fixture(scope="module")
def editor(networks, tasks):
    guard = {"max_divergence": 1e-4, "max_accuracy_drop": 0.5}
    editor = ComplianceEditor(lam=0.3, lam_range=(0.02, 0.5), guard=guard, **FAST)
    return editor.fit(networks, task=tasks[1])


def with_few_rows(task, n):
    """Leave n rows of the first label in the first group."""
    cell = np.flatnonzero(task.cells() == 0)
    return task.subset(np.setdiff1d(np.arange(task.n_samples), cell[n:]))


def tables(card):
    """Return the tables of a card as lists of rows of cells."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", card, re.MULTILINE)
    return [
        [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in block.splitlines()]
        for block in blocks
    ]


def test_results_are_those_of_the_report(editor, networks, tasks):
    card = editor.card(networks, task=tasks[2])
    _, (header, _, *rows) = tables(card)
    assert [row[0] for row in rows] == ["0.02", "0.1", "0.3", "0.5"]
    for row in rows:
        report = editor.report(networks, task=tasks[2], lam=float(row[0]))
        cells = dict(zip(header, row, strict=True))
        for title, name in (
            ("divergence (nats)", "divergence"),
            ("measure before", "measure_before"),
            ("measure after", "measure_after"),
            ("accuracy change", "accuracy_change"),
        ):
            assert float(cells[title]) == pytest.approx(report[name].mean(), abs=6e-5)
        for status in ("reduced", "unclear", "raised", "rolled back"):
            assert int(cells[status]) == (report["status"] == status).sum()
    assert f"Means over 4 networks on {tasks[2].n_samples} rows" in card


def test_rolled_back_edits_are_counted(networks, tasks):
    editor = ComplianceEditor(lam=0.3, guard={"max_divergence": 0.0}, **FAST)
    card = editor.fit(networks, task=tasks[1]).card(networks, task=tasks[2])
    _, (header, _, row) = tables(card)
    assert row[header.index("rolled back")] == "4"
    assert "- max_divergence = 0\n" in card


def test_what_a_card_says(editor, tasks):
    card = editor.card()
    for title in (
        "What it is",
        "Data of the fit",
        "Measured results",
        "Guard",
        "Costs",
        "What this does not say",
        "Versions",
    ):
        assert card.count(f"\n## {title}\n\n") == 1
    assert "`equalized_odds`, `EqualizedOdds()`. Equalized odds difference" in card
    assert "`P(prediction = k | y = k)`" in card and "[1]_" not in card
    assert "lam, the weight of the violation: 0.3, of a range from 0.02 to 0.5" in card
    assert "trained on 4 networks" in card and "features beside the weights: gradients" in card
    assert f"{tasks[1].n_samples} rows, 10 features: {tasks[1].feature_names[0]}" in card
    assert "made without networks" in card
    assert "max_divergence = 0.0001" in card and "max_accuracy_drop = 0.5" in card
    assert "training the networks: unknown" in card and "break-even" in card
    for package in ("skmeta", "torch", "scikit-learn"):
        assert f"{package} {version(package)}" in card
    assert "reduces a measured gap on this data" in card
    assert not re.search("compliant|certif|guarantee|bias-free", card, re.IGNORECASE)


def test_rows_of_each_label_in_each_group(editor, tasks):
    ((header, _, *rows),) = tables(editor.card())
    task = tasks[1]
    assert header == ["label", *map(str, task.groups)]
    for label, row in enumerate(rows):
        expected = [((task.y == label) & (task.sensitive == g)).sum() for g in range(2)]
        assert row == [str(task.classes[label]), *map(str, expected)]
    assert SMALL not in editor.card()


def test_rows_of_the_fit_are_named_as_such(editor, networks):
    assert "the rows of the fit, on which results look better" in editor.card(networks[:1])


def test_small_groups_are_named(editor, networks, tasks):
    few = with_few_rows(tasks[1], 49)
    label, group = tasks[1].classes[0], tasks[1].groups[0]
    cell = re.escape(f"label {str(label)!r} in group {str(group)!r} (49 rows)")
    with pytest.warns(UserWarning, match=f"{SMALL} {cell}. Rates there are uncertain") as caught:
        fitted = ComplianceEditor(**FAST).fit(networks, task=few)
    (warned,) = (w for w in caught if w.category is UserWarning)  # a zoo of four warns, too
    assert warned.filename == __file__
    assert re.search(rf"\*\*Warning:\*\* {SMALL} {cell}", fitted.card())
    # Rows to measure on can be few, too.
    assert re.search(rf"Measured[^#]*{SMALL} {cell}", editor.card(networks, task=few))
    ComplianceEditor(**FAST).fit(networks, task=with_few_rows(tasks[1], 50))


def test_counts_without_groups():
    counts = cell_counts(Task(np.zeros((3, 1)), ["a", "b", "b"]))
    assert counts.to_dict() == {"all": {"a": 1, "b": 2}}


def test_a_mask_alone(networks, tasks):
    few = with_few_rows(tasks[1], 10)  # masks compare no groups: no warning
    pruner = ComplianceEditor(Pruning(budget=0.25, compensate=False), **FAST)
    card = pruner.fit(networks, task=few).card(networks, task=tasks[2])
    _, (header, _, row) = tables(card)
    assert "lam" not in header and "measure after" not in header
    assert float(row[header.index("share kept")]) == pytest.approx(0.25, abs=0.01)
    assert "`Pruning(budget=0.25, compensate=False)`. Use fewer weights" in card
    assert "not trained: a mask alone" in card and "No bounds were set" in card
    assert "violation" not in card


def test_joint_and_own_requirements(networks, tasks):
    def too_many(probabilities, labels, groups):
        """Share of positives above a quarter."""
        return (probabilities[..., 1].mean(1) - 0.25).relu()

    lam = {"equalized_odds": 0.2, "too_many": 0.1, "pruning": 0.01}
    joint = ComplianceEditor(["equalized_odds", too_many, "pruning"], lam=lam, **FAST)
    card = joint.fit(networks, task=tasks[1]).card()
    assert "requirement: `too_many`" in card and "Share of positives above a quarter." in card
    assert "requirement: `pruning`, `Pruning()`" in card
    assert "lam of `equalized_odds`: 0.2\n- lam of `too_many`: 0.1\n" in card
    assert "lam of `pruning`, for the share that stays: 0.01" in card


def test_a_bar_in_a_name_does_not_end_a_cell(networks, tasks):
    task = tasks[1]
    groups = np.array(["a|b", "c"])[task.sensitive]
    piped = Task(task.X, task.y, sensitive_features=groups)
    editor = ComplianceEditor(**FAST).fit(networks, task=piped)
    assert tables(editor.card())[0][0] == ["label", "a\\|b", "c"]


def test_errors(editor, tasks):
    with pytest.raises(ValueError, match=r"got none. Pass card\(networks, task=task\)"):
        editor.card(task=tasks[2])
    with pytest.raises(NotFittedError):
        ComplianceEditor().card()
