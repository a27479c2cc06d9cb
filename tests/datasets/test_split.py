"""split_tasks: three comparable tasks, encoded and standardised on the train rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from skmeta.datasets import make_biased_classification, split_tasks


@pytest.fixture
def bunch():
    bunch = make_biased_classification(2000, random_state=0)
    bunch.sensitive_features = bunch.sensitive_features.assign(
        region=np.where(np.arange(2000) % 4 == 0, "north", "south")
    )
    return bunch


def shares(task):
    return np.bincount(task.cells(), minlength=4) / task.n_samples


def test_sizes_codes_and_strata(bunch):
    tasks = split_tasks(bunch, "group")
    assert [task.n_samples for task in tasks] == [800, 600, 600]
    for task in tasks:
        assert task.classes.tolist() == ["no", "yes"] and task.groups.tolist() == ["A", "B"]
        np.testing.assert_allclose(shares(task), shares(tasks[0]), atol=3e-3)


def test_every_row_lands_in_one_split(bunch):
    bunch.data["row"] = np.arange(2000.0)
    column = np.concatenate([task.X[:, -1] for task in split_tasks(bunch, "group")])
    assert len(np.unique(column)) == 2000


def test_the_target_and_the_groups_stay_with_their_rows(bunch):
    bunch.data = pd.DataFrame(
        {"label": bunch.target == "yes", "in_b": bunch.sensitive_features["group"] == "B"}
    )
    for task in split_tasks(bunch, "group"):
        assert np.array_equal(task.X[:, 0] > 0, task.y == 1)
        assert np.array_equal(task.X[:, 1] > 0, task.sensitive == 1)


def test_standardised_on_train_only(bunch):
    train, reference, _ = split_tasks(bunch, "group")
    np.testing.assert_allclose(train.X.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.X.std(axis=0), 1, atol=1e-5)
    assert np.abs(reference.X.mean(axis=0)).max() > 1e-3
    assert len(np.unique(train.X[:, 0])) == 2  # the group, as an ordinal code


def test_leftover_rows_are_not_used(bunch):
    tasks = split_tasks(bunch, "group", sizes=(0.2, 0.1, 0.1))
    assert [task.n_samples for task in tasks] == [400, 200, 200]


def test_drop_sensitive(bunch):
    before = bunch.data.copy()
    train, _, _ = split_tasks(bunch, "group", drop_sensitive=True)
    assert "group" not in train.feature_names and train.n_features == 9
    assert train.n_groups == 2
    assert split_tasks(bunch, "region", drop_sensitive=True)[0].n_features == 10  # not in data
    pd.testing.assert_frame_equal(bunch.data, before)


def test_intersections(bunch):
    train, _, test = split_tasks(bunch, ["group", "region"])
    expected = ["A, north", "A, south", "B, north", "B, south"]
    assert train.groups.tolist() == test.groups.tolist() == expected
    assert np.all(np.bincount(test.cells(), minlength=8) > 0)


def test_seeds_repeat(bunch):
    first, again, other = (split_tasks(bunch, "group", random_state=i)[2].X for i in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_rare_cell_reaches_every_split():
    rng = np.random.default_rng(0)
    rare = np.arange(1000) < 7
    bunch = Bunch(
        data=pd.DataFrame({"a": rng.normal(size=1000)}),
        target=rare.astype(int),
        sensitive_features=pd.DataFrame({"sex": rng.choice(["f", "m"], 1000)}),
    )
    bunch.sensitive_features.loc[rare, "sex"] = "f"
    for seed in range(20):
        for task in split_tasks(bunch, random_state=seed):
            assert (task.y == 1).any()


def test_the_default_is_sex_or_the_only_column(bunch):
    only = make_biased_classification(2000, random_state=0)
    assert split_tasks(only)[0].groups.tolist() == ["A", "B"]
    with pytest.raises(ValueError, match="one of 'group', 'region'. Got 'sex' instead"):
        split_tasks(bunch)
    bunch.sensitive_features["sex"] = np.where(np.arange(2000) % 3 == 0, "f", "m")
    assert split_tasks(bunch)[0].groups.tolist() == ["f", "m"]


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda b: b.frame, TypeError, "must be a Bunch with .* Got DataFrame without 'data'"),
        (lambda b: (b.data, b.target), TypeError, "Got tuple without 'data'"),
        (lambda b: Bunch(**{**b, "data": b.data.to_numpy()}), TypeError, "'data' .* Got ndarray"),
        (lambda b: Bunch(**{**b, "target": b.target[:-1]}), ValueError, "2000, 1999, 2000 rows"),
        (
            lambda b: Bunch(**{**b, "sensitive_features": b.sensitive_features.replace("A", None)}),
            ValueError,
            r"sensitive features in every row. Got missing values in \d+ row",
        ),
        (
            lambda b: Bunch(
                **{
                    **b,
                    "sensitive_features": b.sensitive_features.assign(
                        group=np.array([1, "A"] * 1000, dtype=object)
                    ),
                }
            ),
            ValueError,
            "values of one type in a column. Got int and str",
        ),
    ],
)
def test_other_bunches_are_refused(bunch, change, error, message):
    with pytest.raises(error, match=message):
        split_tasks(change(bunch), "group")


@pytest.mark.parametrize("sensitive", [[], 3])
def test_no_column(bunch, sensitive):
    with pytest.raises(ValueError, match="The 'sensitive' parameter of split_tasks must"):
        split_tasks(bunch, sensitive)


def test_unknown_column(bunch):
    with pytest.raises(
        ValueError,
        match="The 'sensitive' parameter of split_tasks must be one of 'group', 'region'. "
        "Got 'gruop' instead. Did you mean 'group'?",
    ):
        split_tasks(bunch, "gruop")


@pytest.mark.parametrize(
    "sizes, message",
    [
        ((0.5, 0.5), "must be three shares: train, reference, test. Got"),
        (0.5, "must be three shares"),
        ((0.5, 0.5, 0.5), "must sum to at most 1. Got .* sum to 1.5"),
        ((0.5, 0.5, 0), r"in the range \(0, 1\). Got 0 instead."),
    ],
)
def test_bad_sizes(bunch, sizes, message):
    with pytest.raises(ValueError, match=f"The 'sizes' parameter of split_tasks .*{message}"):
        split_tasks(bunch, "group", sizes=sizes)


def test_a_cell_with_too_few_rows(bunch):
    bunch.sensitive_features.loc[:4, "group"] = "C"
    with pytest.raises(
        ValueError, match=r"at least 7 rows of each label and group.*Got [1-4] for \('.*', 'C'\)"
    ):
        split_tasks(bunch, "group")
