"""The tabular classifier with a budget of skill: what the owner of a table meets."""

import warnings

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, make_scorer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import EditedClassifier
from skmeta.datasets import fetch_adult, make_biased_classification, split_tasks
from tests.estimators.budgets import NETWORK, copied, fit, people

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The network of EditedClassifier is weak:UserWarning"),
]


@pytest.fixture(scope="module")
def table():
    return people()


@pytest.fixture(scope="module")
def fitted(table):
    return fit(table, max_accuracy_drop=0.02, method="auto")


def test_the_gap_shrinks_within_the_budget_on_new_rows(fitted, table):
    _, X, _, y, _, groups = table
    before, after = (e.predict(X.to_numpy()) for e in (fitted.estimator_, fitted.edited_estimator_))
    gaps = [
        equalized_odds_difference(y == "yes", p == "yes", sensitive_features=groups)
        for p in (before, after)
    ]
    assert gaps[0] > 0.15 and gaps[1] < 0.6 * gaps[0]
    for skill in (accuracy_score, balanced_accuracy_score):
        assert skill(y, after) > skill(y, before) - 0.02
    assert np.array_equal(fitted.predict(X), after)
    assert fitted.choice_["status"] == "reduced"
    assert fitted.choice_["gap_after"] <= fitted.choice_["expected_gap"] < gaps[0]


@pytest.mark.parametrize("method", ["finetune", "posthoc"])
def test_candidates_of_one_kind(method, table, fitted):
    one = fit(table, max_accuracy_drop=0.02, method=method)
    assert set(one.front_["method"]) == {"original", method}
    assert set(fitted.front_["method"]) == {"original", "finetune", "posthoc"}
    same = fitted.front_[fitted.front_["method"] == method]
    np.testing.assert_allclose(one.front_["gap"][1:], same["gap"], atol=0.02)
    first, last = one.edited_estimator_.coefs_, one.estimator_.coefs_
    moved = [not np.array_equal(a, b) for a, b in zip(first, last, strict=True)]
    assert moved == [method == "finetune", True]


def test_the_report_says_what_scikit_learn_says(fitted, table):
    _, X, _, y, _, groups = table
    report = fitted.report(X, y, sensitive_features=groups)
    [row] = report.to_dict("records")
    before, after = (e.predict(X.to_numpy()) for e in (fitted.estimator_, fitted.edited_estimator_))
    assert row["balanced_accuracy_before"] == pytest.approx(balanced_accuracy_score(y, before))
    assert row["balanced_accuracy_after"] == pytest.approx(balanced_accuracy_score(y, after))
    assert row["recall_yes_after"] == pytest.approx(np.mean(after[y == "yes"] == "yes"))
    assert row["changed"] == pytest.approx(np.mean(before != after))
    gap = equalized_odds_difference(y == "yes", after == "yes", sensitive_features=groups)
    assert row["measure_after"] == pytest.approx(gap, abs=1e-5)
    assert row["status"] == "reduced" and report.columns[-1] == "status"
    assert row["expected_gap"] == fitted.choice_["expected_gap"]


def test_the_rates_of_groups_are_those_of_fairlearn(fitted, table):
    _, X, _, y, _, groups = table
    rates = fitted.report_by_group(X, y, sensitive_features=groups)
    assert rates.index.tolist() == ["A", "B", "all"]
    for when, network in (("before", fitted.estimator_), ("after", fitted.edited_estimator_)):
        decided = network.predict(X.to_numpy()) == "yes"
        for group in ("A", "B", "all"):
            rows = np.ones(len(y), bool) if group == "all" else (groups == group).to_numpy()
            truth, chosen = (y == "yes").to_numpy()[rows], decided[rows]
            expected = {
                "selection_rate": chosen.mean(),
                "true_positive_rate": chosen[truth].mean(),
                "false_positive_rate": chosen[~truth].mean(),
                "precision": truth[chosen].mean(),
            }
            for name, value in expected.items():
                assert rates.loc[group, (name, when)] == pytest.approx(value)
    changed = fitted.predict(X) != fitted.estimator_.predict(X.to_numpy())
    assert rates.loc["all", ("changed", "")] == pytest.approx(changed.mean())
    assert rates.loc["B", ("rows", "")] == (groups == "B").sum()


def test_the_front_and_the_choice_belong_together(fitted):
    front, choice = fitted.front_, fitted.choice_
    assert front.loc[0, "method"] == "original" and choice["candidate"] in front.index
    chosen = front.loc[choice["candidate"]]
    assert choice["gap_after"] == chosen["gap_held"]
    assert choice["gap_before"] == front.loc[0, "gap_held"]
    assert (choice["tolerance"], choice["cost_power"]) == (chosen.tolerance, chosen.cost_power)
    assert chosen["gap"] < front.loc[0, "gap"]
    for skill in ("accuracy", "balanced_accuracy"):
        assert chosen[f"{skill}_loss"] + 1.2 * chosen[f"{skill}_loss_se"] <= 0.02
        assert choice[f"{skill}_change"] == -chosen[f"{skill}_loss"]


def test_a_budget_of_any_scorer_of_labels(fitted, table):
    _, X, _, y, _, groups = table
    scorers = {"f1": make_scorer(f1_score, pos_label="yes")}
    model = copied(fitted).reedit(scoring=scorers)
    chosen = model.front_.loc[model.choice_["candidate"]]
    assert chosen["f1_loss"] + 1.2 * chosen["f1_loss_se"] <= 0.02
    assert model.choice_["f1_change"] == -chosen["f1_loss"]
    assert model.choice_["gap_after"] < 0.7 * model.choice_["gap_before"]
    tight = copied(fitted).reedit(scoring="f1_macro", max_accuracy_drop=0.01)
    assert (
        "f1_macro_loss" in tight.front_ and tight.choice_["gap_after"] >= model.choice_["gap_after"]
    )
    [row] = model.report(X, y, sensitive_features=groups).to_dict("records")
    for when, network in (("before", model.estimator_), ("after", model.edited_estimator_)):
        expected = f1_score(y, network.predict(X.to_numpy()), pos_label="yes")
        assert row[f"f1_{when}"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", [int, float, bool])
def test_a_scorer_sees_labels_as_they_came(table, kind):
    X, X_test, y, y_test, groups, _ = table
    y, y_test = ((part == "yes").astype(kind) for part in (y, y_test))

    def cost(truth, decided, sample_weight):
        misses, alarms = (truth == 1) & (decided == 0), (truth == 0) & (decided == 1)
        return -np.average(misses + 3.0 * alarms, weights=sample_weight)

    scoring = {"f1": make_scorer(f1_score), "cost": make_scorer(cost)}
    model = EditedClassifier(NETWORK, max_accuracy_drop=0.05, scoring=scoring, random_state=0)
    model.fit(X, y, sensitive_features=groups)
    held = model._fitted.held
    before, front = held.decisions[0], model.front_
    assert front.loc[0, "f1"] == pytest.approx(f1_score(held.y, before))
    assert front.loc[0, "cost"] == pytest.approx(cost(held.y, before, np.ones(len(before))))
    assert front["cost_loss"].nunique() > 20


def test_the_rows_held_out_are_new_to_network_and_edit(table):
    X, _, y, _, groups, _ = table
    seen = []

    class Spy(MLPClassifier):
        def fit(self, X, y, **options):
            seen.append(X.copy())
            return super().fit(X, y, **options)

    model = fit(table, Spy((4,), max_iter=5))
    trained = {row.tobytes() for row in seen[-1]}
    held = np.array([row.tobytes() not in trained for row in X.to_numpy()])
    assert held.mean() == pytest.approx(1 / 3, abs=0.01)
    assert len(model._fitted.held.y) == held.sum()
    labels = model.estimator_.predict(X.to_numpy()[held])
    accuracy = np.mean(labels == y.to_numpy()[held])
    assert model.front_.loc[0, "accuracy"] == pytest.approx(accuracy)


def test_few_rows_are_all_trained_on_and_all_held_out(table):
    few = [part[:600] for part in table]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may well edit nothing
        model = fit(few)
    X, y = few[0].to_numpy(), few[2]
    assert len(model._fitted.held.y) == len(model._fitted.seen.y) == 600
    again = MLPClassifier(**model.estimator_.get_params()).fit(X, y)
    assert all(map(np.array_equal, again.coefs_, model.estimator_.coefs_))


def test_without_a_gap_nothing_is_edited_and_it_says_so():
    bunch = make_biased_classification(3000, gap=0.0, random_state=1)
    X = bunch.data.drop(columns="group")
    model = EditedClassifier(NETWORK, random_state=0)
    with pytest.warns(UserWarning, match="edited nothing: the gap of .* could be chance"):
        model.fit(X, bunch.target, sensitive_features=bunch.sensitive_features)
    assert model.edited_estimator_ is model.estimator_
    assert model.choice_["status"] == "kept" and model.choice_["candidate"] == 0
    report = model.report(X, bunch.target, sensitive_features=bunch.sensitive_features)
    assert report.loc[0, "status"] == "kept" and report.loc[0, "changed"] == 0


def test_a_weak_network_is_named():
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(2400, 3)), np.arange(2400) % 2
    y = (rng.random(2400) < 0.06).astype(int)
    with (
        pytest.warns(UserWarning, match="weak before any edit: a constant has .*recall_1 is 0"),
        pytest.warns(UserWarning, match="edited nothing"),
    ):
        EditedClassifier(NETWORK, random_state=0).fit(X, y, sensitive_features=groups)


def test_a_network_far_behind_boosted_trees_is_named(table):
    X, _, y, _, groups, _ = table
    stump = MLPClassifier((1,), solver="lbfgs", max_iter=15)
    X = X.assign(merit_0=np.sign(X["merit_0"]) * (X["merit_0"].abs() > 0.7), noise=X["merit_0"])
    y = np.where((X["noise"].abs() > 0.9) ^ (np.arange(len(X)) % 9 == 0), "yes", "no")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        EditedClassifier(stump, random_state=0).fit(X, y, sensitive_features=groups)
    said = [str(w.message) for w in caught if "is weak" in str(w.message)]
    assert len(said) == 1 and "HistGradientBoostingClassifier()" in said[0]


def test_any_classifier_teaches_a_network_first(table, tmp_path):
    X, X_test, y, y_test, groups, groups_test = table
    model = fit(table, HistGradientBoostingClassifier(max_iter=50), max_accuracy_drop=0.02)
    assert type(model.source_) is HistGradientBoostingClassifier
    assert type(model.estimator_) is type(model.edited_estimator_) is MLPClassifier
    source, network = (e.predict(X_test.to_numpy()) for e in (model.source_, model.estimator_))
    assert np.mean(source == network) > 0.88
    report = model.report(X_test, y_test, sensitive_features=groups_test).iloc[0]
    assert report["accuracy_before"] == pytest.approx(np.mean(source == y_test))
    assert report["student_accuracy"] == pytest.approx(np.mean(network == y_test))
    assert report["changed"] == np.mean(source != model.predict(X_test))
    assert model.choice_["student_balanced_accuracy"] > 0.6
    assert model.front_["method"][:2].tolist() == ["source", "original"]
    assert report["measure_after"] < 0.6 * report["measure_before"]
    again = fit(table, HistGradientBoostingClassifier(max_iter=50), max_accuracy_drop=0.02)
    np.testing.assert_array_equal(again.predict_proba(X_test), model.predict_proba(X_test))
    with pytest.raises(ValueError, match="'estimator' of EditedClassifier .*HistGradientBoosting"):
        skmeta.save(model, tmp_path / "file")
    rates = model.report_by_group(X_test, y_test, sensitive_features=groups_test)
    assert rates.loc["all", ("selection_rate", "before")] == pytest.approx(np.mean(source == "yes"))
    skmeta.save(skmeta.Population([model.edited_estimator_]), tmp_path / "file")
    [loaded] = skmeta.load(tmp_path / "file")
    assert loaded.predict(X_test.to_numpy()).tolist() == model.predict(X_test).tolist()


@pytest.mark.filterwarnings("ignore:EditedClassifier has edited nothing:UserWarning")
def test_without_an_edit_what_taught_the_network_predicts(table):
    X, X_test, y, y_test, groups, groups_test = table
    trees = HistGradientBoostingClassifier(max_iter=50)
    model = fit(table, trees, max_gap=0.0)
    assert model.choice_["candidate"] == 0 and model.choice_["method"] == "source"
    assert model.edited_estimator_ is model.source_
    expected = model.source_.predict_proba(X_test.to_numpy())
    np.testing.assert_array_equal(model.predict_proba(X_test), expected)
    [row] = model.report(X_test, y_test, sensitive_features=groups_test).to_dict("records")
    assert row["status"] == "kept" and row["changed"] == 0 and row["accuracy_change"] == 0
    student = np.mean(model.estimator_.predict(X_test.to_numpy()) == y_test)
    assert row["student_accuracy"] == pytest.approx(student)
    rates = model.report_by_group(X_test, y_test, sensitive_features=groups_test)
    assert rates.loc["all", ("changed", "")] == 0
    with pytest.warns(UserWarning, match="sensitive_features"):
        blind = EditedClassifier(trees, random_state=0).fit(X, y)
    assert blind.edited_estimator_ is blind.source_
    one = fit(table, trees, lam=0.3)
    assert one.choice_["candidate"] == 2 and len(one.front_) == 3


@pytest.mark.filterwarnings("ignore:The estimator of EditedClassifier is weak:UserWarning")
def test_parts_of_what_teaches_are_seeded_too(table):
    source = make_pipeline(StandardScaler(), RandomForestClassifier(10, max_depth=4))
    fronts = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        fronts.append(fit(table, source, max_accuracy_drop=0.05).front_)
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    pd.testing.assert_frame_equal(*fronts)


def test_lam_makes_one_edit_and_no_choice(table):
    gaps = {}
    for lam in (0.03, 1.0):
        model = fit(table, lam=lam)
        assert model.lam_ == lam and model.choice_["candidate"] == 1
        assert len(model.front_) == 2
        gaps[lam] = model.choice_["gap_after"]
    assert gaps[1.0] < gaps[0.03]
    with pytest.raises(ValueError, match="'lam' parameter .* changed after fit"):
        model.reedit(lam=0.5)


def test_several_requirements_have_a_lam_each(table):
    both = ["equalized_odds", "demographic_parity"]
    model = fit(table, requirement=both, lam={"equalized_odds": 0.1, "demographic_parity": 1.0})
    assert model.lam_ == {"equalized_odds": 0.1, "demographic_parity": 1.0}
    assert model.choice_["gap_after"] < model.choice_["gap_before"]


def test_an_editor_gives_candidates_too(table):
    small = {"n_networks": 8, "zoo_epochs": 3, "max_epochs": 10}
    model = fit(table, max_accuracy_drop=0.03, method="editor", lam_range=(0.03, 0.5), **small)
    assert set(model.front_["method"][1:]) == {"editor"}
    assert model.front_["lam"].dropna().nunique() == 5
    assert model.lam_ is None and model.editor_ is not None
    # Reference rows, training rows and rows held out are three parts.
    sizes = [len(model._fitted.held.y), len(model._fitted.seen.y), model.editor_.task_.n_samples]
    assert sum(sizes) == len(table[0])


def test_an_editor_that_does_not_follow_lam_is_named(table):
    options = {"n_networks": 4, "zoo_epochs": 1, "max_epochs": 1, "lam_range": (0.001, 0.002)}
    with (
        pytest.warns(UserWarning, match=r"do not follow lam: .* left at lam=0.001 .*lam=0.002"),
        pytest.warns(UserWarning, match="edited nothing"),
    ):
        fit(table, method="editor", max_accuracy_drop=0.0, **options)


def test_several_requirements_are_tested_for_luck_too(table):
    both = ["equalized_odds", "demographic_parity"]
    model = fit(table, requirement=both, max_accuracy_drop=0.05)
    assert model.choice_["status"] in ("reduced", "levelled down")
    X, X_test, y, y_test, groups, groups_test = table
    lot = groups.sample(frac=1, random_state=0).to_numpy()
    with pytest.warns(UserWarning, match="edited nothing: the gap .* could be chance"):
        fit((X, X_test, y, y_test, lot, groups_test), requirement=both, max_accuracy_drop=0.05)


def test_a_budget_that_keeps_the_network_is_no_work_of_the_guard(table):
    options = {"n_networks": 4, "zoo_epochs": 1, "max_epochs": 1, "guard": {"max_divergence": 1.0}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit(
            table, method="editor", max_accuracy_drop=0.0, lam_range=(1e-3, 2e-3), **options
        )
    report = model.report(table[1], table[3], sensitive_features=table[5], n_bootstrap=20)
    assert report.loc[0, "status"] == model.choice_["status"] == "kept"


@pytest.mark.parametrize("requirement", ["demographic_parity", "equal_opportunity"])
def test_other_requirements(table, requirement):
    model = fit(table, requirement=requirement, max_accuracy_drop=0.05)
    assert model.choice_["gap_after"] < 0.7 * model.choice_["gap_before"]


def false_alarms(probabilities, labels, groups):
    return probabilities[..., 1].mean(-1)


def test_a_requirement_of_ones_own_is_fine_tuned(table):
    model = fit(table, requirement=false_alarms, max_accuracy_drop=0.05)
    assert set(model.front_["lam"].dropna()) == {0.03, 0.1, 0.3, 1.0, 3.0}
    assert model.choice_["gap_after"] < model.choice_["gap_before"]


def test_three_classes_three_groups():
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c"], size=4000, p=[0.5, 0.3, 0.2])
    X = rng.normal(size=(4000, 4))
    X[:, 3] += 2 * np.searchsorted(["a", "b", "c"], groups)
    scores = X[:, :3] + rng.gumbel(size=(4000, 3))
    scores[:, 2] += 2.0 * (groups == "a")
    y = np.array(["x", "y", "z"])[scores.argmax(1)]
    model = EditedClassifier(NETWORK, max_accuracy_drop=0.05, random_state=0)
    model.fit(X, y, sensitive_features=groups)
    assert model.choice_["gap_after"] < model.choice_["gap_before"]
    assert {"recall_x", "recall_y", "recall_z"} <= set(model.front_.columns)
    assert set(model.predict(X)) == {"x", "y", "z"}


def test_adult(data_home):
    bunch = fetch_adult(data_home=data_home)
    train, _, test = split_tasks(bunch, "sex", sizes=(0.3, 0.1, 0.3), drop_sensitive=True)
    model = EditedClassifier(NETWORK, max_accuracy_drop=0.02, random_state=0)
    model.fit(train.X, train.y, sensitive_features=train.groups[train.sensitive])
    [row] = model.report(test.X, test.y, sensitive_features=test.groups[test.sensitive]).to_dict(
        "records"
    )
    assert row["measure_after"] < 0.7 * row["measure_before"]
    assert row["accuracy_change"] > -0.02
    assert row["balanced_accuracy_after"] > row["balanced_accuracy_before"] - 0.02
    assert row["status"] not in ("skill lost", "raised", "kept")
