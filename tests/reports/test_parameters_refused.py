"""Values that no parameter can have are refused by its name, and before anything is trained."""

import math

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from skorch.callbacks import EarlyStopping

from skmeta import (
    ComplianceEditor,
    CurvatureRegressor,
    EditedClassifier,
    WeightSpaceClassifier,
    WeightSpaceRegressor,
    WeightStatistics,
    editing,
)
from skmeta import baselines as rivals
from skmeta import evaluation as ev
from skmeta.datasets import Cells, Task
from skmeta.networks import Architecture
from skmeta.population import Population, run_networks
from skmeta.requirements import (
    Custom,
    DataMinimization,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    Joint,
    Objective,
    Pruning,
)

FAST = {"max_epochs": 1, "hidden_channels": 4, "n_layers": 1, "random_state": 0}
BAD = [math.nan, math.inf, -1, 0, "x", None, True, []]

rng = np.random.default_rng(0)
GROUPS = np.arange(240) % 2
X = rng.normal(size=(240, 4)) + GROUPS[:, None]
Y = (X[:, 0] + rng.normal(size=240) > 0.5).astype(int)
TASK = Task(X, Y, sensitive_features=GROUPS)
NETWORKS = Population.initialize(Architecture.mlp((4, 6, 2)), 6, random_state=0)
LOGITS = run_networks(NETWORKS, TASK)
TARGETS = np.arange(6.0)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*has fewer than 50 rows of label:UserWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:EditedClassifier has edited nothing:UserWarning",
    "ignore:The network of EditedClassifier is weak:UserWarning",
)


def fit_editor(requirement):
    return ComplianceEditor(requirement, **FAST).fit(NETWORKS, task=TASK)


def fit_rival(rival):
    return rival.fit(NETWORKS, task=TASK).predict_logits(NETWORKS, TASK)


# What is called with one bad parameter, and the other parameters.
MLP = MLPClassifier((4,), max_iter=3, random_state=0)
SMALL = {
    "estimator": MLP,
    "method": "editor",
    "lam": 0.1,
    "n_networks": 2,
    "zoo_epochs": 1,
    "max_epochs": 1,
    "random_state": 0,
}
ESTIMATORS = {
    ComplianceEditor: (lambda e: e.fit(NETWORKS, task=TASK).transform(NETWORKS), FAST),
    WeightSpaceRegressor: (lambda e: e.fit(NETWORKS, TARGETS).predict(NETWORKS), FAST),
    WeightSpaceClassifier: (lambda e: e.fit(NETWORKS, TARGETS % 2).predict(NETWORKS), FAST),
    CurvatureRegressor: (
        lambda e: e.fit(NETWORKS, task=TASK).predict(NETWORKS, task=TASK),
        {"n_gradients": 8, "max_epochs": 1, "hidden_channels": 4, "random_state": 0},
    ),
    WeightStatistics: (lambda e: e.fit(NETWORKS).transform(NETWORKS), {}),
    EditedClassifier: (lambda e: e.fit(X, Y, sensitive_features=GROUPS).predict(X), SMALL),
    EqualizedOdds: (fit_editor, {}),
    DemographicParity: (fit_editor, {}),
    EqualOpportunity: (fit_editor, {}),
    Pruning: (fit_editor, {}),
    DataMinimization: (fit_editor, {}),
    Custom: (fit_editor, {}),
    Joint: (fit_editor, {"requirements": [EqualizedOdds()], "weights": [1.0]}),
}
QUICK = {"n_steps": 1, "n_candidates": 2, "n_rounds": 1, "random_state": 0}
for name in rivals.__all__:
    kind = getattr(rivals, name)
    if isinstance(kind, type) and name not in ("Baseline", "Nothing"):
        known = kind._get_param_names()
        ESTIMATORS[kind] = fit_rival, {k: v for k, v in QUICK.items() if k in known}
PARAMETERS = [(kind, name) for kind in ESTIMATORS for name in kind._get_param_names()]


def assert_works_or_names(call, name):
    for bad in BAD:
        try:
            call(bad)
        except (TypeError, ValueError) as error:
            assert any(f"{name}{end}" in str(error) for end in "'[="), (bad, error)


@pytest.mark.parametrize("kind, name", PARAMETERS, ids=lambda v: getattr(v, "__name__", v))
def test_a_bad_value_works_or_names_its_parameter(kind, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # memory="x" is a folder
    use, others = ESTIMATORS[kind]
    assert_works_or_names(lambda bad: use(kind(**{**others, name: bad})), name)


FUNCTIONS = {
    editing.measure_edits: {
        "original": LOGITS,
        "edited": LOGITS,
        "task": TASK,
        "requirement": None,
    },
    ev.compare: {
        **{"methods": {"nothing": rivals.Nothing()}, "networks": NETWORKS, "task": TASK},
        **{"lam": 0.1, "groups": None, "n_bootstrap": 3},
    },
    editing.network_intervals: {
        **{"original_logits": LOGITS, "edited_logits": LOGITS, "task": TASK},
        **{"n_bootstrap": 3, "level": 0.9},
    },
    editing.bootstrap_interval: {"values": TARGETS, "n_bootstrap": 3, "groups": None, "level": 0.9},
    rivals.distill: {
        **{"start": NETWORKS, "original": NETWORKS, "task": TASK},
        **{"n_steps": 1, "lr": 0.1, "batch_size": 8},
    },
    editing.fine_tune: {
        **{"start": NETWORKS, "task": TASK, "objective": Objective(EqualizedOdds())},
        **{"lam": 0.1, "n_steps": 1, "lr": 0.1, "n_per_cell": 3},
    },
}
NETWORK_ARGUMENTS = ("original", "edited", "networks", "start", "original_logits", "edited_logits")
ARGUMENTS = [
    (f, name)
    for f, params in FUNCTIONS.items()
    for name in params
    # What is no network is refused by Population, as "networks"; one text is no number.
    if name not in NETWORK_ARGUMENTS and (f, name) != (editing.bootstrap_interval, "values")
]


@pytest.mark.parametrize("function, name", ARGUMENTS, ids=lambda v: getattr(v, "__name__", v))
def test_a_bad_argument_works_or_is_named(function, name):
    params = FUNCTIONS[function]
    assert_works_or_names(lambda bad: function(**{**params, name: bad}), name)


@pytest.mark.parametrize("temperature", [-1, 0, math.nan, math.inf])
def test_a_temperature_that_is_not_positive(temperature):
    requirement = EqualizedOdds(temperature=temperature)
    for call in (
        lambda: fit_editor(requirement),
        lambda: requirement.measure(LOGITS, Cells.of(TASK)),
        lambda: rivals.Swap(requirement).fit(NETWORKS, task=TASK),
    ):
        with pytest.raises(ValueError, match="'temperature' parameter of EqualizedOdds.* Got"):
            call()


@pytest.mark.parametrize("kind", [WeightSpaceRegressor, ComplianceEditor])
def test_callbacks_that_are_none(kind):
    use, others = ESTIMATORS[kind]
    with pytest.raises(TypeError, match=r"'callbacks' parameter .* skorch callbacks.* Got \[3\]"):
        use(kind(**others, callbacks=[3]))
    use(kind(**others, callbacks=[("stop", EarlyStopping("train_loss", patience=9))]))


def test_a_group_without_a_label_is_named_by_threshold_optimizer():
    groups = np.array(["f", "m"])[GROUPS]
    lacking = Task(X, np.where(GROUPS == 0, 0, Y), sensitive_features=groups)
    for rival in (rivals.ThresholdOptimizer(random_state=0), rivals.CalibratedEqOdds()):
        with pytest.raises(ValueError, match="label '1' in group 'f'"):
            rival.fit(NETWORKS, task=lacking).predict_logits(NETWORKS, lacking)


def log_of_zero(probabilities, labels, groups):
    return probabilities[..., 1].mean(1) * 0 + math.nan


def decisions(probabilities, labels, groups):
    return (probabilities[..., 1] > 0.5).float().mean(1)


def root_of_zero(probabilities, labels, groups):
    return (probabilities[..., 1] * 0).sum(1).sqrt()


def negative(probabilities, labels, groups):
    return -probabilities[..., 1].mean(1)


@pytest.mark.parametrize(
    "function, message",
    [
        (log_of_zero, "must return numbers of at least 0.* Got nan"),
        (decisions, "must be differentiable .* without a gradient"),
        (root_of_zero, "gradient of the function of a Custom requirement must be finite"),
        (negative, "must return numbers of at least 0.* Got -0"),
    ],
)
@pytest.mark.parametrize("features", ["gradients", "weights"])
def test_a_custom_requirement_that_cannot_be_followed(function, message, features):
    editor = ComplianceEditor(function, features=features, **FAST)
    with pytest.raises(ValueError, match=message):
        editor.fit(NETWORKS, task=TASK)


def test_an_empty_joint_and_the_same_requirement_twice():
    with pytest.raises(TypeError, match="'requirements' parameter of Joint .* one or more"):
        fit_editor(Joint([], []))
    for twice in (["equalized_odds", EqualizedOdds()], [decisions, Custom(decisions)]):
        with pytest.raises(ValueError, match="every requirement once. Got '.*' twice"):
            fit_editor(twice)


def test_more_inputs_than_there_are():
    with pytest.raises(ValueError, match="'budget' parameter of DataMinimization .*, 4. Got 99"):
        fit_editor(DataMinimization(budget=99))


@pytest.mark.parametrize("methods", [{}, []])
def test_nothing_to_compare(methods):
    with pytest.raises(TypeError, match="'methods' parameter of compare must be a dict with one"):
        ev.compare(methods, NETWORKS, TASK)


def test_measuring_without_a_task():
    with pytest.raises(TypeError, match="measure_edits needs the networks' data.* Got NoneType"):
        editing.measure_edits(LOGITS, LOGITS, None)


def test_a_score_that_does_not_exist():
    for names in ("x", ["neg_divergence", "x"]):
        with pytest.raises(ValueError, match="'names' parameter of EditScorer must be one of"):
            ev.EditScorer(names)
    with pytest.raises(TypeError, match="'names' parameter of EditScorer must be a name"):
        ev.EditScorer([])


@pytest.mark.parametrize("reference", [[math.nan, 1.0], [1.0, math.inf]])
def test_a_reference_that_is_not_finite(reference):
    with pytest.raises(ValueError, match="'reference' of hypervolume must be finite"):
        ev.hypervolume([[0.1, 0.1]], reference)


def test_scores_of_networks_that_are_not_finite_are_not_numbers():
    logits = torch.tensor([[[math.nan, math.nan]] * 240, [[1.0, math.inf]] * 240])
    frame = editing.measure_edits(LOGITS[:2], logits, TASK)
    assert frame[["divergence", "measure", "accuracy"]].isna().all(axis=None)
    intervals = editing.network_intervals(LOGITS[:2], logits, TASK, n_bootstrap=3)
    assert intervals.isna().all(axis=None)
