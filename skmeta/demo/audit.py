"""From a raw table to a classifier and its verdict: :func:`run_audit`."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch.nn.functional import one_hot

from skmeta.baselines import LinearPost, ThresholdOptimizer
from skmeta.datasets import Cells, Task
from skmeta.datasets.encoding import ColumnsByName
from skmeta.demo.columns import FREQUENT, InputError
from skmeta.demo.data import OwnedTable
from skmeta.demo.page import Page
from skmeta.editing.checks import MIN_CELL_ROWS, cell_counts, small_cells
from skmeta.editing.verdict import STATUSES
from skmeta.estimators import EditedClassifier
from skmeta.estimators.classifier_rows import train_network
from skmeta.estimators.saving import save
from skmeta.evaluation import GroupRatesDisplay
from skmeta.requirements import EqualizedOdds
from skmeta.training import single_thread

_TEST_SHARE = 0.3
_RATES = {
    "selection_rate": "selected",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "precision": "precision",
}
LIMITS = (
    "An edit reduces a measured gap on this data. It does not make a classifier fair or lawful, "
    "and it does not remove the causes of a gap.",
    "Nothing here is said about groups that were not named, about subgroups, or about people who "
    "differ from those in the data.",
    "Whether a gap should be reduced, by which criterion and at whose cost, is for the people to "
    "decide who answer for the decisions.",
    "A gap is a maximum of absolute values: biased upwards, never exactly zero on a sample, and "
    'noisy in small groups. "unclear" is a result.',
)


@dataclass(frozen=True)
class AuditSettings:
    """What the command line says."""

    max_drop: float = 0.01
    output: Path = Path("audit-output")
    form: str = "md"
    random_state: int = 0


@dataclass(frozen=True)
class Audit:
    """A fitted pipeline, and the rows that it has not seen."""

    pipeline: Pipeline
    train: Task
    test: Task
    reason: str

    @property
    def classifier(self) -> EditedClassifier:
        """The last step."""
        return self.pipeline["classifier"]

    def groups(self, task: Task) -> np.ndarray:
        """Names of the groups of some rows."""
        return np.asarray(task.groups)[task.sensitive]


def run_audit(table: OwnedTable, settings: AuditSettings) -> Audit:
    """Fit a pipeline, print the verdict and write the files.

    Parameters
    ----------
    table : OwnedTable
        Rows, labels and groups.
    settings : AuditSettings
        The budget and the output folder.

    Returns
    -------
    Audit
        What was fitted.
    """
    started = time.process_time()
    with single_thread():
        audit = fit_audit(table, settings)
        page = write_page(audit, table, settings)
        names = _write(audit, page, settings)
    print(page.to_text(sections=3))
    seconds = time.process_time() - started
    print(f"\nWritten in {seconds:.0f} CPU s:\n" + "\n".join(f"  {name}" for name in names))
    model = settings.output / "model.joblib"
    print(
        "\nThe model takes raw rows and asks for no group:\n\n"
        "    import joblib  # as every pickle, load it only if you trust where it comes from\n"
        f"    joblib.load({str(model)!r}).predict(frame)"
    )
    return audit


def fit_audit(table: OwnedTable, settings: AuditSettings) -> Audit:
    """Split a table, and fit encoders, a network and its edit."""
    cells = table.target.astype(str) + "\0" + table.groups.astype(str)
    if (few := cells.value_counts()).min() < 10:
        label, group = few.idxmin().split("\0")
        raise InputError(
            f"There must be at least 10 rows of every label in every group. Got {few.min()} of "
            f"label {label!r} in group {group!r}. Merge rare groups with --min-rows 100, or leave "
            "their rows out."
        )
    train, test = train_test_split(
        np.arange(len(cells)),
        test_size=_TEST_SHARE,
        stratify=cells,
        random_state=settings.random_state,
    )
    model = EditedClassifier(
        MLPClassifier((64, 32), early_stopping=True),
        max_accuracy_drop=settings.max_drop,
        random_state=settings.random_state,
    )
    pipeline = Pipeline([("encoder", _encoder()), ("classifier", model)])
    data, target, groups = table.features, table.target.to_numpy(), table.groups.to_numpy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            fit_params = {"classifier__sensitive_features": groups[train]}
            pipeline.fit(data.iloc[train], target[train], **fit_params)
        except ValueError as error:  # infinity, too few rows in a cell
            raise InputError(str(error)) from error
    said = [str(w.message) for w in caught if "EditedClassifier" in str(w.message)]
    rows = pipeline["encoder"].transform(data)
    whole = Task(rows, target, sensitive_features=groups)
    return Audit(pipeline, whole.subset(train), whole.subset(test), " ".join(said))


def _encoder() -> Pipeline:
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"),
                OneHotEncoder(
                    handle_unknown="infrequent_if_exist",
                    min_frequency=FREQUENT,
                    sparse_output=False,
                ),
            ),
            make_column_selector(dtype_exclude="number"),
        ),
        verbose_feature_names_out=False,
    )
    return make_pipeline(ColumnsByName(), columns)


def write_page(audit: Audit, table: OwnedTable, settings: AuditSettings) -> Page:
    """Say what was asked, what was done, and what that does not say."""
    test, model = audit.test, audit.classifier
    groups = audit.groups(test)
    report = model.report(test.X, _labels(test), sensitive_features=groups).iloc[0]
    page = Page(f"Audit of {table.name}: {table.target.name} by {table.groups.name}")
    page.head("Verdict")
    page.say(f"{report['status']}: {STATUSES[report['status']]}.")
    if audit.reason:
        page.say(audit.reason)
    page.say(
        f"Asked for: the smallest equalized odds difference between groups that costs at most "
        f"{settings.max_drop:g} of accuracy and of balanced accuracy. Measured on "
        f"{test.n_samples} rows that neither the network nor the edit has seen."
    )
    page.table(_skills(report))
    page.say(
        f"On new rows, expect a gap of about {report['expected_gap']:.3f}. "
        f"{100 * report['changed']:.1f} % of the decisions have changed."
    )
    page.head("By group")
    page.table(_rates(model.report_by_group(test.X, _labels(test), sensitive_features=groups)))
    page.say(f"Positive is {table.target.name} = {model.classes_[1]}. Arrows: before and after.")
    page.head("Beside it, on the same rows")
    page.table(pd.DataFrame(dict(_rivals(audit))).T)
    page.say(
        "The three rivals got all rows to fit. The network got two thirds of them, and its edit "
        "was chosen on the others; of fewer than 2,000 rows it got all."
    )
    page.head("The data")
    page.say(
        f"{audit.train.n_samples} rows to fit (a part of them held out for the choice), "
        f"{test.n_samples} to measure; {table.features.shape[1]} columns: "
        f"{', '.join(map(str, table.features.columns))}. The group is no input."
    )
    for note in table.notes:
        page.point(note)
    counts = cell_counts(test)
    page.table(counts.rename(index=lambda label: f"{table.target.name} = {label}"))
    if small := small_cells(counts):
        page.say(
            f"Fewer than {MIN_CELL_ROWS} rows to measure of {', '.join(small)}. Rates there are "
            "uncertain."
        )
    page.head("What this does not say")
    for limit in LIMITS:
        page.point(limit)
    page.head("Versions")
    names = ("skmeta", "torch", "scikit-learn", "numpy")
    page.say(", ".join(f"{name} {version(name)}" for name in names))
    return page


def _labels(task: Task) -> np.ndarray:
    return np.asarray(task.classes)[task.y]


def _skills(report: pd.Series) -> pd.DataFrame:
    names = {"measure": "gap", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
    names |= {
        str(name).removesuffix("_before"): str(name).removesuffix("_before").replace("_", " of ", 1)
        for name in report.index
        if str(name).startswith("recall_") and str(name).endswith("_before")
    }
    rows = {}
    for name, shown in names.items():
        before, after = report[f"{name}_before"], report[f"{name}_after"]
        interval = ""
        if f"{name}_change_low" in report:
            low, high = report[f"{name}_change_low"], report[f"{name}_change_high"]
            interval = f"{low:+.3f} to {high:+.3f}"
        rows[shown] = [f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}", interval]
    columns = ["before", "after", "change", "95 % interval"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _rates(rates: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, list[str]] = {"rows": [f"{n:.0f}" for n in rates[("rows", "")]]}
    for name, shown in _RATES.items():
        pairs = zip(rates[(name, "before")], rates[(name, "after")], strict=True)
        columns[shown] = [f"{before:.2f} → {after:.2f}" for before, after in pairs]
    columns["changed"] = [f"{100 * share:.1f} %" for share in rates[("changed", "")]]
    return pd.DataFrame(columns, index=rates.index)


def _rivals(audit: Audit) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the network, its edit and what others get from the same rows, a line each."""
    model, train, test = audit.classifier, audit.train, audit.test
    labels = {"the network": (model.estimator_.predict(test.X), "nothing")}
    labels["its edit"] = (model.predict(test.X), "nothing")
    for name, rival, needs in (
        ("ThresholdOptimizer", ThresholdOptimizer(random_state=0), "the group of every new row"),
        ("LinearPost", LinearPost(random_state=0), "boosted trees beside the network"),
    ):
        logits = rival.fit([model.estimator_], task=train).predict_logits([model.estimator_], test)
        labels[name] = (model.classes_[logits[0].argmax(-1).numpy()], needs)
    cells = Cells.of(train)
    shares = cells.frequencies.numpy()
    weights = (shares.sum(1, keepdims=True) * shares.sum(0) / shares).ravel()[cells.codes]
    again = train_network(
        clone(model.estimator_), train.X, _labels(train), model.classes_, weights, 0
    )
    labels["reweighting"] = (again.predict(test.X), "nothing (label and group made independent)")
    for name, (decided, needs) in labels.items():
        yield name, {**_measured(decided, test), "needs to predict": needs}


def _measured(decided: Any, test: Task) -> dict[str, str]:
    codes = np.searchsorted(np.asarray(test.classes), decided)
    recalls = [np.mean(codes[test.y == k] == k) for k in range(test.n_classes)]
    gap = (
        EqualizedOdds()
        .measure(one_hot(torch.from_numpy(codes), test.n_classes)[None].double(), Cells.of(test))
        .item()
    )
    values = {
        "gap": gap,
        "accuracy": np.mean(codes == test.y),
        "balanced accuracy": np.mean(recalls),
    }
    return {name: f"{value:.3f}" for name, value in values.items()}


def _write(audit: Audit, page: Page, settings: AuditSettings) -> list[Path]:
    """Write all files, or none: they are moved to their places when all are complete."""
    output, model = settings.output, audit.classifier
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        place = Path(folder)
        assert model.front_ is not None
        model.front_.to_csv(place / "candidates.csv", float_format="%.6g")
        groups = audit.groups(audit.test)
        rates = model.report_by_group(audit.test.X, _labels(audit.test), sensitive_features=groups)
        rates.columns = [" ".join(filter(None, pair)) for pair in rates.columns]
        rates.to_csv(place / "rates.csv", float_format="%.6g")
        _draw(audit, place)
        page.head("Pictures")
        page.picture(place / "candidates.png", "Balanced accuracy and gap of all candidates")
        page.picture(place / "rates.png", "Rates of each group before and after")
        shown = page.to_html() if settings.form == "html" else page.to_markdown()
        (place / f"card.{settings.form}").write_text(shown, encoding="utf-8")
        joblib.dump(audit.pipeline, place / "model.joblib")
        save(model, place / "classifier.safetensors")
        names = sorted(path.name for path in place.iterdir())
        return [(place / name).replace(output / name) for name in names]


def _draw(audit: Audit, place: Path) -> None:
    # No pyplot: an audit needs no window, and leaves the user's backend alone.
    from matplotlib.figure import Figure

    model = audit.classifier
    front, choice = model.front_, model.choice_
    assert front is not None and choice is not None
    figure = Figure(figsize=(7, 4.4), layout="constrained", dpi=110)
    ax = figure.subplots()
    sound = front[~front["degenerate"]]
    ax.plot(sound["balanced_accuracy"], sound["gap_held"], ".", color="0.75", label="candidates")
    for number, label, style in ((0, "the network", "ks"), (choice["candidate"], "chosen", "o")):
        point = front.loc[number]
        ax.plot(point["balanced_accuracy"], point["gap_held"], style, label=label, markersize=8)
    ax.set(xlabel="balanced accuracy", ylabel="equalized odds difference", ylim=(0, None))
    ax.set_title("Candidates, on rows held out for the choice", fontsize=11)
    ax.legend(frameon=False)
    figure.savefig(place / "candidates.png")
    figure = Figure(figsize=(8, 4.4), layout="constrained", dpi=110)
    networks = [model.estimator_], [model.edited_estimator_]
    GroupRatesDisplay.from_networks(*networks, audit.test).plot(figure.subplots())
    figure.savefig(place / "rates.png")
