"""Choosers and hypervolumes against obvious references."""

import pickle

import numpy as np
import pytest

from skmeta.evaluation import hypervolume, least_divergence, least_violation


def table(divergence, measure):
    return {
        "params": [{"lam": i} for i in range(len(measure))],
        "mean_test_neg_divergence": -np.asarray(divergence, float),
        "mean_test_neg_measure": -np.asarray(measure, float),
    }


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    # Few distinct values, so that there are ties; some candidates failed.
    divergence, measure = rng.integers(0, 5, (2, 30)) / 10
    divergence[rng.integers(30)] = measure[rng.integers(30)] = np.nan
    by_divergence = least_divergence(max_violation=0.2)(table(divergence, measure))
    by_measure = least_violation(max_divergence=0.2)(table(divergence, measure))
    for best, limited, value in (
        (by_divergence, measure, divergence),
        (by_measure, divergence, measure),
    ):
        kept = [(v, m, i) for i, (v, m) in enumerate(zip(value, limited, strict=True)) if m <= 0.2]
        assert best == min(candidate for candidate in kept if not np.isnan(candidate[0]))[2]


def test_other_scores():
    results = table([0.1, 0.2], [0.3, 0.4])
    results["mean_test_neg_measure_soft"] = np.array([-0.5, -0.1])
    assert least_divergence(max_violation=0.3)(results) == 0
    assert least_divergence(max_violation=0.3, measure="neg_measure_soft")(results) == 1
    with pytest.raises(ValueError, match=r"no score 'x' in cv_results. It has \['neg_divergence'"):
        least_violation(max_divergence=1, divergence="x")(results)


def test_errors_say_what_is_reachable():
    results = table([0.1, np.nan, 0.4], [0.3, 0.0, 0.2])
    with pytest.raises(ValueError, match=r"'neg_measure' is 0.2, with {'lam': 2}.*larger lam"):
        least_divergence(max_violation=0.1)(results)
    with pytest.raises(ValueError, match=r"'neg_divergence' is 0.1, with {'lam': 0}.*smaller lam"):
        least_violation(max_divergence=0.01)(results)
    with pytest.raises(ValueError, match="Every candidate .* error_score='raise'"):
        least_violation(max_divergence=1)(table([np.nan], [0.1]))
    with pytest.raises(ValueError, match="'max_violation' parameter of least_divergence"):
        least_divergence(max_violation=-0.1)


def test_choosers_are_picklable():
    choose = pickle.loads(pickle.dumps(least_divergence(max_violation=0.3)))
    assert choose(table([0.2, 0.1], [0.1, 0.2])) == 1


@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_equals_a_share_of_random_points(seed):
    rng = np.random.default_rng(seed)
    points, reference = rng.uniform(-0.2, 1.3, (12, 2)), np.array([1.0, 0.8])
    points[0] = np.nan
    corner = np.nanmin(points, axis=0)
    sample = rng.uniform(corner, reference, (200_000, 2))
    dominated = (points[:, None] <= sample).all(-1).any(0)
    expected = dominated.mean() * np.prod(reference - corner)
    assert hypervolume(points, reference) == pytest.approx(expected, rel=0.01)


def test_hypervolume_of_what_is_not_below_the_reference_is_zero():
    assert hypervolume([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], [1.0, 1.0]) == 0
    assert hypervolume(np.empty((0, 2)), [1.0, 1.0]) == 0
    assert hypervolume([[0.0, 0.0], [0.0, 0.0], [0.5, 0.5]], [1.0, 1.0]) == 1
    with pytest.raises(ValueError, match=r"two axes.*Got \(1, 3\) and \(2,\)"):
        hypervolume([[0.0, 0.0, 0.0]], [1.0, 1.0])
