"""The demo from data to report: :func:`run_demo`."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import joblib
import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from skmeta.datasets import Task
from skmeta.demo import table
from skmeta.demo.data import DemoData
from skmeta.demo.methods import EDITOR, FINE_TUNE, compare_methods
from skmeta.editing import measure_edits, network_intervals
from skmeta.editing.cost import cost_of, cpu_seconds
from skmeta.estimators import ComplianceEditor
from skmeta.evaluation import ParetoFrontDisplay
from skmeta.population import Population, run_networks
from skmeta.training import single_thread
from skmeta.zoo import make_zoo


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    lams: tuple[float, ...] = (0.03, 0.1, 0.3)
    n_networks: int = 60
    n_held_out: int = 20
    epochs: int = 4
    max_epochs: int = 8
    output: Path = Path("demo-output")
    random_state: int = 0


def run_demo(data: DemoData, settings: Settings) -> pd.DataFrame:
    """Build a zoo, train an editor, compare, print the report and write the files.

    Parameters
    ----------
    data : DemoData
        The tasks.
    settings : Settings
        Sizes, seeds and the output folder.

    Returns
    -------
    DataFrame
        The measurements of :func:`skmeta.demo.methods.compare_methods`.
    """
    started = time.perf_counter(), time.process_time()
    print(table.introduction(data, settings.n_networks, settings.n_held_out))
    with single_thread():  # small matrices: more threads are slower
        zoo = _zoo(data.train, settings.n_networks, settings, 0)
        held_out = _zoo(data.train, settings.n_held_out, settings, 1)
        held_out = held_out[(held_out.metadata["epoch"] == settings.epochs).to_numpy()]
        editor = _fit_editor(zoo, data.reference, settings)
        frame = compare_methods(
            editor,
            zoo,
            held_out,
            data.test,
            lams=settings.lams,
            random_state=settings.random_state,
        )
        classifier = fit_classifier(data.train, settings.random_state)
        lam = nearest(settings.lams, 0.1)
        [edited] = editor.transform([classifier], lam=lam)
        edit_alone = cpu_seconds(partial(editor.transform, [classifier], lam=lam))
        single = measure_single(classifier, edited, data.test)
    seconds = frame.groupby("method")["seconds"].mean()
    once = editor.cost_["zoo_seconds"], editor.cost_["fit_seconds"]
    cost = cost_of(*once, seconds[EDITOR], seconds[FINE_TUNE])
    model = Pipeline([("encoder", data.train.encoder), ("network", edited)])
    files = _write(settings.output, frame, model)
    print(table.comparison(frame))
    print(table.single(single, lam))
    elapsed, used = time.perf_counter() - started[0], time.process_time() - started[1]
    print(table.costs(cost, edit_alone, elapsed, used, peak_memory()))
    print(table.files(files, data))
    return frame


def fit_classifier(train: Task, random_state: int) -> MLPClassifier:
    """Fit a plain scikit-learn classifier on the rows of a task, with its own labels."""
    assert train.classes is not None
    classifier = MLPClassifier((64, 32), early_stopping=True, random_state=random_state)
    return classifier.fit(train.X, train.classes[train.y])


def measure_single(before: MLPClassifier, after: MLPClassifier, test: Task) -> pd.Series:
    """Measure one edit, with intervals over the rows."""
    logits = run_networks([before], test), run_networks([after], test)
    measured = measure_edits(*logits, test)
    intervals = network_intervals(*logits, test, n_bootstrap=2000, random_state=0)
    return measured.join(intervals).iloc[0]


def nearest(lams: tuple[float, ...], wanted: float) -> float:
    """Return the value that is nearest to the wanted one."""
    return min(lams, key=lambda lam: abs(lam - wanted))


def peak_memory() -> float:
    """Peak memory of this process in MB; nan where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _zoo(train: Task, n_networks: int, settings: Settings, number: int) -> Population:
    # Seeds two apart: the held-out runs of one random state are not the zoo of the next.
    return make_zoo(
        train,
        n_networks,
        epochs=settings.epochs,
        random_state=2 * settings.random_state + number,
    )


def _fit_editor(zoo: Population, reference: Task, settings: Settings) -> ComplianceEditor:
    return ComplianceEditor(
        lam=nearest(settings.lams, 0.1),
        lam_range=(min(settings.lams), max(settings.lams)),
        max_epochs=settings.max_epochs,
        batch_size=16,  # a small zoo: more steps per epoch
        verbose=1,
        random_state=settings.random_state,
    ).fit(zoo, task=reference)


def _write(output: Path, frame: pd.DataFrame, model: Pipeline) -> dict[str, Path]:
    """Write all files, or none: they are moved to their places when all are complete."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        place = Path(folder)
        frame.to_csv(place / "measurements.csv", index=False, float_format="%.6g")
        Population([model["network"]]).save(place / "edited_network.safetensors")
        joblib.dump(model, place / "edited_model.joblib")
        _draw(frame, place / "front.png")
        names = sorted(path.name for path in place.iterdir())
        return {Path(name).stem: (place / name).replace(output / name) for name in names}


def _draw(frame: pd.DataFrame, path: Path) -> None:
    # No pyplot: a demo needs no window, and leaves the user's backend alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained", dpi=130)
    left, right = figure.subplots(1, 2, sharey=True)
    at_half = ParetoFrontDisplay.from_frame(frame)
    at_half.plot(left, xlabel="equalized odds difference at threshold .5")
    over = ParetoFrontDisplay.from_frame(frame, measure="measure_over_thresholds")
    over.plot(right, xlabel="equalized odds difference, mean over thresholds .3 to .7", ylabel="")
    right.get_legend().remove()
    figure.suptitle("Lower left is better: small change, small gap")
    figure.savefig(path)
