"""What all rivals have in common, and what each of them promises."""

from inspect import isabstract

import numpy as np
import pytest
import torch
from fairlearn.postprocessing import ThresholdOptimizer as FairlearnOptimizer
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

from skmeta import baselines
from skmeta.baselines import (
    AdditiveCorrection,
    BlindOptimum,
    CalibratedEqOdds,
    FineTune,
    GroupShift,
    GroupThresholds,
    LayerwiseOptimization,
    LinearPost,
    Nothing,
    RandomPerturbation,
    RejectOption,
    Swap,
    ThresholdOptimizer,
)
from skmeta.baselines.base import RANGES
from skmeta.baselines.labels import move_just_past
from skmeta.baselines.threshold_optimizer import _GivenScores
from skmeta.datasets import Cells, Task
from skmeta.population import Population, run_networks
from skmeta.population.checks import check_population
from skmeta.requirements import (
    EqualizedOdds,
    FairTeacher,
    Objective,
    jensen_shannon,
)

RIVALS = [
    Nothing(),
    Swap(random_state=0),
    FineTune(n_steps=20, random_state=0),
    FineTune(lam=0.5, n_steps=20, teacher=FairTeacher(random_state=0), random_state=0),
    GroupShift(random_state=0),
    GroupShift(predicted=True, random_state=0),
    GroupThresholds(random_state=0),
    RejectOption(),
    ThresholdOptimizer(random_state=0),
    ThresholdOptimizer(scores="hard", random_state=0),
    AdditiveCorrection(n_steps=50, random_state=0),
    CalibratedEqOdds(random_state=0),
    CalibratedEqOdds(mixing="mean"),
    BlindOptimum(random_state=0),
    BlindOptimum(randomised=True, scores="hard", random_state=0),
    LinearPost(random_state=0),
    LinearPost(aware=True, random_state=0),
    LinearPost(scores="hard", random_state=0),
    RandomPerturbation(n_candidates=40, n_per_cell=300, random_state=0),
    LayerwiseOptimization(n_candidates=8, n_rounds=3, n_per_cell=300, random_state=0),
]
NEED_GROUPS = [rival for rival in RIVALS if rival.needs_sensitive_at_prediction]
NEED_NO_GROUPS = [rival for rival in RIVALS[1:] if not rival.needs_sensitive_at_prediction]
LEARNING = [r for r in RIVALS[2:] if hasattr(r, "lam")]
OTHERS_IRRELEVANT = [rival for rival in RIVALS if not isinstance(rival, Swap)]


def objective_of(original, edited, task, lam=0.1):
    lams = torch.full((len(original),), lam)
    return Objective(EqualizedOdds()).exact(original, edited, Cells.of(task), lams)


@pytest.mark.parametrize("rival", RIVALS, ids=str)
def test_common_method(rival, zoo, tasks):
    _, reference, test = tasks
    rival = clone(rival).fit(zoo, task=reference)
    logits = rival.predict_logits(zoo, test)
    assert logits.shape == (len(zoo), test.n_samples, 2)
    assert logits.isfinite().all() and not logits.requires_grad
    assert torch.equal(logits, rival.predict_logits(zoo, test))  # random only in fit


@pytest.mark.parametrize("rival", OTHERS_IRRELEVANT, ids=str)
def test_result_does_not_depend_on_the_other_networks(rival, zoo, tasks):
    _, reference, test = tasks
    rival = clone(rival).fit(zoo, task=reference)
    together = rival.predict_logits(zoo, test)
    order = [4, 1]
    alone = torch.cat([rival.predict_logits(zoo[[i]], test) for i in order])
    if isinstance(rival, FineTune):  # rounding, which Adam amplifies
        assert (together[order] - alone).abs().mean() < 1e-3
    else:
        torch.testing.assert_close(together[order], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rival", LEARNING, ids=str)
def test_objective_goes_down_on_reference_rows(rival, zoo, tasks):
    _, reference, _ = tasks
    original = run_networks(zoo, reference)
    edited = clone(rival).fit(zoo, task=reference).predict_logits(zoo, reference)
    before = objective_of(original, original, reference)
    after = objective_of(original, edited, reference)
    assert (after < before).all()
    assert after.mean() < 0.75 * before.mean()


@pytest.mark.parametrize("rival", NEED_GROUPS, ids=str)
def test_groups_are_asked_for(rival, zoo, tasks):
    _, reference, test = tasks
    rival = clone(rival).fit(zoo, task=reference)
    named = np.asarray(test.groups)[test.sensitive]
    with pytest.raises(ValueError, match=r"groups \['A', 'B'\] of the task in fit. Got none"):
        rival.predict_logits(zoo, Task(test.X, test.y))
    with pytest.raises(ValueError, match="must have the groups"):
        other = np.where(named == "A", "Z", "B")
        rival.predict_logits(zoo, Task(test.X, test.y, sensitive_features=other))


@pytest.mark.parametrize("rival", NEED_NO_GROUPS, ids=str)
def test_groups_are_not_looked_at(rival, zoo, tasks):
    _, reference, test = tasks
    rival = clone(rival).fit(zoo, task=reference)
    blind = Task(test.X, test.y)
    assert torch.equal(rival.predict_logits(zoo, blind), rival.predict_logits(zoo, test))


@pytest.mark.parametrize("rival", RIVALS[1:], ids=str)
def test_those_who_game_the_threshold_say_so(rival, zoo, tasks):
    _, reference, test = tasks
    original = run_networks(zoo, test)
    edited = clone(rival).fit(zoo, task=reference).predict_logits(zoo, test)
    moved = (edited != original).any(-1)
    other_label = edited.argmax(-1) != original.argmax(-1)
    assert moved.any()
    assert other_label[moved].all() == rival.games_threshold


@pytest.mark.parametrize("rival", RIVALS[1:], ids=str)
def test_bad_tasks_are_refused(rival, zoo, tasks):
    name, train = type(rival).__name__, tasks[0]
    with pytest.raises(TypeError, match=f"{name} needs the networks' data: pass task="):
        clone(rival).fit(zoo)
    with pytest.warns(DataConversionWarning, match="read as the target of a regression"):
        task = Task(train.X, train.y.astype(float), sensitive_features=train.sensitive)
    with pytest.raises(ValueError, match=rf"{name} needs a classification task.*y.astype\(int\)"):
        clone(rival).fit(zoo, task=task)
    with pytest.raises(ValueError, match=f"'task' parameter of {name} must have sensitive"):
        clone(rival).fit(zoo, task=Task(train.X, train.y))
    three = Task(train.X, np.arange(train.n_samples) % 3, sensitive_features=train.sensitive)
    if rival.binary_only:
        with pytest.raises(ValueError, match=f"{name} is defined for two classes only"):
            clone(rival).fit(zoo, task=three)
    else:
        with pytest.raises(ValueError, match="with 10 inputs and 3 classes. Network 0"):
            clone(rival).fit(zoo, task=three).predict_logits(zoo, three)


@pytest.mark.parametrize(
    "rival, message",
    [
        (Swap("equalized_ods"), "Did you mean 'equalized_odds'"),
        (GroupShift(lam=-1), "'lam' parameter of GroupShift"),
        (FineTune("pruning"), "must be one on predictions.* Got 'pruning', one on weights"),
        (FineTune(n_steps=-1), "'n_steps' parameter of FineTune"),
        (FineTune(lr=0), "'lr' parameter of FineTune"),
        (RejectOption(thetas=[0.7]), "'thetas' parameter of RejectOption"),
        (ThresholdOptimizer(scores="soft"), "'scores' parameter of ThresholdOptimizer"),
        (BlindOptimum(randomised=2), "'randomised' parameter of BlindOptimum"),
        (BlindOptimum("pruning"), "'requirement' parameter of FairTeacher must compare rates"),
        (FineTune(teacher=FairTeacher("demographic_parity")), "must teach its requirement"),
        (LinearPost(scores="soft"), "'scores' parameter of LinearPost"),
        (LinearPost(tolerance=2), "'tolerance' parameter of LinearPost"),
        (LinearPost("pruning"), "'requirement' parameter of LinearPost must be 'equalized_odds'"),
        (CalibratedEqOdds(cost="fn"), "'cost' parameter of CalibratedEqOdds"),
        (CalibratedEqOdds(mixing="lot"), "'mixing' parameter of CalibratedEqOdds"),
        (AdditiveCorrection(lr=0), "'lr' parameter of AdditiveCorrection"),
        (AdditiveCorrection(n_steps=-1), "'n_steps' parameter of AdditiveCorrection"),
        (RandomPerturbation(sigma=-1), "'sigma' parameter of RandomPerturbation"),
        (LayerwiseOptimization(n_rounds=0), "'n_rounds' parameter of LayerwiseOptimization"),
    ],
)
def test_bad_parameters_are_refused(rival, message, zoo, tasks):
    with pytest.raises(ValueError, match=message):
        rival.fit(zoo, task=tasks[1])


def test_multi_class_shift_and_fine_tuning():
    rng = np.random.default_rng(0)
    X, s = rng.normal(size=(1500, 4)), rng.integers(3, size=1500)
    y = np.argmax(X[:, :3] + 0.7 * np.eye(3)[s] + rng.gumbel(size=(1500, 3)), axis=1)
    task = Task(np.column_stack([X, np.eye(3)[s]]), y, sensitive_features=s)
    networks = [MLPClassifier((8,), tol=0.1, random_state=i).fit(task.X, y) for i in (0, 1)]
    original = run_networks(networks, task)
    for rival in (GroupShift(lam=0.3, random_state=0), FineTune(lam=0.3, random_state=0)):
        edited = rival.fit(networks, task=task).predict_logits(networks, task)
        before = objective_of(original, original, task, 0.3)
        assert (objective_of(original, edited, task, 0.3) < before).all()


def module(n_outputs):
    return nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, n_outputs))


@pytest.mark.parametrize(
    "network, message",
    [
        (lambda t: module(3), "Network 1 has 10 inputs and 3 outputs"),
        (lambda t: module(1), r"a regressor \(a classifier with one logit: append nn.Sigmoid"),
        (lambda t: nn.Sequential(module(2), nn.Sigmoid()), "a multilabel classifier"),
        (
            lambda t: MLPClassifier((4,), tol=1.0).fit(t.X, np.array(["a", "b"])[t.y]),
            r"classes of the task, \['no', 'yes'\]. Network 1 has \['a', 'b'\]",
        ),
    ],
)
def test_networks_of_another_task_are_refused(network, message, tasks):
    networks = [module(2), network(tasks[0])]
    with pytest.raises(ValueError, match=f"run_networks needs .*{message}"):
        run_networks(networks, tasks[1])
    tune = FineTune(n_steps=1).fit([], task=tasks[1])
    with pytest.raises(ValueError, match=f"FineTune needs .*{message}"):
        tune.transform(networks)


def test_no_networks_are_refused(tasks):
    with pytest.raises(ValueError, match="run_networks needs at least one network"):
        run_networks([], tasks[1])


def test_shared_checks_find_weights_that_are_not_finite():
    population = Population([module(2), module(3)])
    [first, (positions, stack)] = population.blocks
    broken = stack.with_weights(stack.weights.map(lambda t: t * torch.nan))
    with pytest.raises(ValueError, match="X needs networks with finite weights. Network 1"):
        check_population(population.with_blocks([first, (positions, broken)]), "X")


# -- each by itself ----------------------------------------------------------------------


def test_editors_keep_the_kind_of_the_networks(zoo, tasks):
    train, reference, test = tasks
    classifier = MLPClassifier((8,), tol=1.0, random_state=0)
    classifier.fit(train.X, train.y)
    for rival in (Nothing(), FineTune(n_steps=5, random_state=0), Swap(random_state=0)):
        rival.fit([classifier], task=reference)
        (edited,) = rival.transform([classifier])
        assert isinstance(edited, MLPClassifier) and edited is not classifier
        same = np.array_equal(edited.predict_proba(test.X), classifier.predict_proba(test.X))
        assert same == (not isinstance(rival, FineTune))
        assert isinstance(rival.transform(Population([classifier])), Population)


def test_nothing_changes_nothing(zoo, tasks):
    logits = Nothing().fit(zoo).predict_logits(zoo, tasks[2])
    assert torch.equal(logits, run_networks(zoo, tasks[2]))


def test_swap_gives_the_best_network_to_all(zoo, tasks):
    _, reference, test = tasks
    swap = Swap(n_per_cell=10**6, random_state=0).fit(zoo, task=reference)
    logits = swap.predict_logits(zoo, test)
    assert (logits == logits[:1]).all()

    original, expected = run_networks(zoo, reference), []
    for candidate in original:
        edited = candidate.expand_as(original)
        expected.append(objective_of(original, edited, reference).mean().item())
    np.testing.assert_allclose(swap.objective_, expected, atol=1e-6)
    best = run_networks(zoo, test)[int(np.argmin(expected))]
    torch.testing.assert_close(logits[0], best)


def test_more_steps_are_better(zoo, tasks):
    _, reference, _ = tasks
    original, values = run_networks(zoo, reference), []
    for n_steps in (0, 5, 30):
        rival = FineTune(n_steps=n_steps, random_state=0).fit(zoo, task=reference)
        edited = rival.predict_logits(zoo, reference)
        values.append(objective_of(original, edited, reference).mean())
    assert values[0] > values[1] > values[2]


def test_threshold_optimizer_is_that_of_fairlearn(zoo, tasks):
    _, reference, test = tasks
    scores = [
        run_networks(zoo[[0]], task)[0].double().softmax(-1)[:, 1:].numpy()
        for task in (reference, test)
    ]
    fairlearn = FairlearnOptimizer(
        estimator=_GivenScores(),
        constraints="equalized_odds",
        prefit=True,
        predict_method="predict_proba",
    ).fit(scores[0], reference.y, sensitive_features=reference.sensitive)
    chance = fairlearn._pmf_predict(scores[1], sensitive_features=test.sensitive)[:, 1]
    labels = np.stack(
        [
            ThresholdOptimizer(random_state=seed)
            .fit(zoo, task=reference)
            .predict_logits(zoo[[0]], test)[0]
            .argmax(-1)
            for seed in range(8)
        ]
    )
    certain = (chance == 0) | (chance == 1)
    assert (labels[:, certain] == chance[certain]).all()
    spread = np.sqrt((chance * (1 - chance)).sum() / 8)
    assert abs(labels.mean(0).sum() - chance.sum()) <= 4 * spread + 1e-9


def test_hard_labels_agree_and_cost_more_divergence(zoo, tasks):
    _, reference, test = tasks
    minimal, hard = (
        ThresholdOptimizer(scores=scores, random_state=0)
        .fit(zoo, task=reference)
        .predict_logits(zoo, test)
        for scores in ("minimal", "hard")
    )
    original = run_networks(zoo, test)
    assert torch.equal(minimal.argmax(-1), hard.argmax(-1))
    assert jensen_shannon(original, hard).mean() > 5 * jensen_shannon(original, minimal).mean()
    kept = minimal.argmax(-1) == original.argmax(-1)
    assert torch.equal(minimal[kept], original[kept])


def test_moved_scores_are_just_past_one_half():
    logits = torch.tensor([[[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]]])
    moved = move_just_past(logits, torch.tensor([[True, False, True]]))
    assert moved.argmax(-1).tolist() == [[1, 0, 1]]
    assert (moved.softmax(-1) - 0.5).abs().max() < 1e-3


def test_group_thresholds_game_the_metric(zoo, tasks):
    _, reference, test = tasks
    cells, requirement = Cells.of(test), EqualizedOdds()
    gamed, honest = (
        rival.fit(zoo, task=reference).predict_logits(zoo, test)
        for rival in (GroupThresholds(random_state=0), GroupShift(random_state=0))
    )
    original = run_networks(zoo, test)
    assert objective_of(original, gamed, test).mean() < objective_of(original, honest, test).mean()
    assert (
        requirement.measure_soft(gamed, cells).mean()
        > requirement.measure_soft(honest, cells).mean()
    )


def test_group_shift_is_a_constant_per_group(zoo, tasks):
    _, reference, test = tasks
    logits = GroupShift(random_state=0).fit(zoo, task=reference).predict_logits(zoo, test)
    moved = logits - run_networks(zoo, test)
    for group in (0, 1):
        rows = moved[:, test.sensitive == group]
        torch.testing.assert_close(rows, rows[:, :1].expand_as(rows), atol=1e-5, rtol=0)


def test_reject_option_flips_scores_in_the_critical_region(zoo, tasks):
    _, reference, test = tasks
    original = run_networks(zoo, test)
    logits = RejectOption(thetas=[0.1]).fit(zoo, task=reference).predict_logits(zoo, test)
    score, before = logits.softmax(-1)[..., 1], original.softmax(-1)[..., 1]
    critical = (before - 0.5).abs() < 0.1
    disadvantaged = torch.as_tensor(test.sensitive == 1).expand_as(critical)  # group B
    assert ((score > 0.5) == disadvantaged)[critical].all()
    assert torch.equal(score[~critical], before[~critical])
    torch.testing.assert_close((score - 0.5).abs(), (before - 0.5).abs())


def test_running_in_pieces_changes_nothing(zoo, tasks, monkeypatch):
    whole = run_networks(zoo, tasks[1])
    monkeypatch.setattr("skmeta.population.mapping._ON_CPU", 20_000)
    torch.testing.assert_close(run_networks(zoo, tasks[1]), whole)


def test_every_parameter_of_a_rival_is_checked():
    kinds = [getattr(baselines, name) for name in baselines.__all__]
    for kind in (k for k in kinds if isinstance(k, type) and not isabstract(k)):
        params = kind().get_params(deep=False)
        numbers = {k for k, v in params.items() if type(v) in (int, float)} - {"budget"}
        choices = {k for k, v in params.items() if type(v) in (bool, str)} - {"requirement"}
        assert numbers <= RANGES.keys() and choices == kind.options.keys(), kind
