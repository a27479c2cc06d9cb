"""Skills of candidates: closed forms and scorers of scikit-learn, by slow resampling."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, get_scorer, make_scorer, roc_auc_score

from skmeta.datasets import Cells, Task
from skmeta.editing.front import Observed
from skmeta.editing.skills import score_of_counts, skill_columns

N = 1200


@pytest.fixture(scope="module", params=[2, 3], ids=["binary", "three"])
def observed(request):
    """Three candidates; the second is a little worse than the first, the third much."""
    rng, k = np.random.default_rng(0), request.param
    y = (rng.random(N) ** 2 * k).astype(int)
    wrong = rng.random(N)
    decisions = [np.where(wrong < share, (y + 1) % k, y) for share in (0.2, 0.25, 0.5)]
    task = Task(np.zeros((N, 1)), np.array(["u", "v", "w"])[y], sensitive_features=np.arange(N) % 2)
    return Observed(np.array(decisions, np.int16), np.zeros(3), y, Cells.of(task))


def scored(observed, **scorers):
    labels = np.asarray(observed.cells.labels)
    scores = {name: score_of_counts(name, get_scorer(s), labels) for name, s in scorers.items()}
    return skill_columns(observed, scores)


def test_the_jackknife_of_an_accuracy_is_its_closed_form(observed):
    columns = scored(observed, my_accuracy="accuracy", my_balanced_accuracy="balanced_accuracy")
    for name in ("accuracy", "balanced_accuracy"):
        np.testing.assert_allclose(columns[f"my_{name}"], columns[name])
        np.testing.assert_allclose(columns[f"my_{name}_loss"], columns[f"{name}_loss"], atol=1e-12)
        slow, fast = columns[f"my_{name}_loss_se"], columns[f"{name}_loss_se"]
        np.testing.assert_allclose(slow, fast, rtol=0.01)
        assert (fast[1:] > 0.001).all()


def test_the_error_of_a_lost_f1_is_that_of_resampling_rows(observed):
    labels = np.asarray(observed.cells.labels)
    columns = scored(observed, f1="f1_macro")
    y, decisions = labels[observed.y], labels[observed.decisions]
    scores = [f1_score(y, decided, average="macro") for decided in decisions]
    np.testing.assert_allclose(columns["f1"], scores)
    np.testing.assert_allclose(columns["f1_loss"], scores[0] - np.array(scores))
    rng, lost = np.random.default_rng(0), []
    members = [np.flatnonzero(observed.y == k) for k in np.unique(observed.y)]
    for _ in range(300):
        rows = np.concatenate([rng.choice(of_class, len(of_class)) for of_class in members])
        again = [f1_score(y[rows], d[rows], average="macro") for d in decisions]
        lost.append(again[0] - np.array(again))
    np.testing.assert_allclose(columns["f1_loss_se"][1:], np.std(lost, axis=0)[1:], rtol=0.12)


def test_a_skill_that_rises_by_more_is_a_loss_below_zero(observed):
    columns = scored(observed, cost=make_scorer(_errors, greater_is_better=False))
    assert columns["cost_loss"][2] > columns["cost_loss"][1] > 0 == columns["cost_loss"][0]


def _errors(y, decided, sample_weight):
    return float(((y != decided) * sample_weight).sum())


@pytest.mark.parametrize(
    "scorer, message",
    [
        (make_scorer(roc_auc_score, response_method="predict_proba"), "has none of the following"),
        (make_scorer(f1_score, pos_label="yes"), "pos_label|average"),
        (make_scorer(lambda y, decided: 0.0), "sample_weight"),
    ],
)
def test_scorers_of_anything_else_are_refused(observed, scorer, message):
    with pytest.raises(
        ValueError, match=f"(?s)'scoring' parameter.*Got 'mine'.*({message}).*Pass m"
    ):
        scored(observed, mine=scorer)
