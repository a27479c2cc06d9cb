"""Raw tables: encoders are kept, copies of the target are left out, messages name columns."""

import pickle

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from skmeta.datasets import make_biased_classification, split_tasks
from skmeta.demo.data import InputError, load_data


def people():
    """Return a table with numbers, categories and booleans in turns."""
    bunch = make_biased_classification(1000, random_state=0)
    rng = np.random.default_rng(0)
    bunch.data.insert(2, "job", rng.choice(["baker", "miller", "smith"], 1000))
    bunch.data["member"] = rng.random(1000) < 0.5
    bunch.data["year"] = rng.integers(1950, 2000, 1000)
    return bunch


def test_split_tasks_keeps_an_encoder_for_new_rows():
    bunch = people()
    train, reference, test = split_tasks(bunch, "group")
    assert train.encoder is reference.encoder is test.encoder
    every = train.encoder.transform(bunch.data)
    assert every.shape == (1000, train.n_features)
    assert train.encoder.get_feature_names_out().tolist() == train.feature_names
    assert train.feature_names == bunch.data.columns.tolist()
    places = {row.tobytes() for row in every.astype(np.float32)}
    assert all(row.tobytes() in places for row in test.X)


def test_the_encoder_finds_columns_by_name_in_any_frame():
    bunch = people()
    encoder = split_tasks(bunch, "group")[0].encoder
    expected = encoder.transform(bunch.data)
    for frame in (
        bunch.data[bunch.data.columns[::-1]].assign(more=0),
        bunch.data.convert_dtypes(),
        polars.DataFrame(bunch.data.to_dict("list")),
    ):
        assert np.array_equal(encoder.transform(frame), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).transform(bunch.data), expected)
    with pytest.raises(ValueError, match="Got none named 'job'. Pass raw rows with the columns"):
        encoder.transform(bunch.data.drop(columns="job"))
    with pytest.raises(TypeError, match="Got ndarray instead. Pass pandas.DataFrame"):
        encoder.transform(bunch.data.to_numpy())
    with pytest.raises(ValueError, match="The column 'job' has values .* had not: 'king'"):
        encoder.transform(bunch.data.assign(job="king"))


def test_truth_values_may_come_as_numbers():
    bunch = people()
    bunch.data["member"] = np.arange(len(bunch.data)) % 3 == 0
    encoder = split_tasks(bunch, "group")[0].encoder
    for dtype in (int, float, "Int64"):
        rows = bunch.data.assign(member=bunch.data["member"].astype(dtype))
        assert np.array_equal(encoder.transform(rows), encoder.transform(bunch.data))
    with pytest.raises(ValueError, match="'member' has values .* had not: '2"):
        encoder.transform(bunch.data.assign(member=2))


def test_an_encoder_and_a_network_predict_raw_rows():
    bunch = people()
    train, *_ = split_tasks(bunch, "group", drop_sensitive=True)
    network = MLPClassifier((8,), early_stopping=True, learning_rate_init=0.05, random_state=0)
    network.fit(train.X, train.classes[train.y])
    model = make_pipeline(train.encoder, network)
    assert model.score(bunch.data, bunch.target) > 0.6
    assert "group" not in train.encoder.feature_names_in_


def test_images_have_an_encoder_too():
    rng = np.random.default_rng(0)
    images, labels = rng.random((100, 2, 3, 3)), np.arange(100) % 2
    train, _, test = split_tasks(Bunch(data=images, target=labels))
    rows = train.encoder.transform(images).astype(np.float32)
    assert rows.shape == (100, 18)
    assert {row.tobytes() for row in rows} >= {row.tobytes() for row in test.X}


def test_missing_features_are_named_with_a_way_out_or_filled_in():
    bunch = people()
    bunch.data["job"] = bunch.data["job"].astype(object)
    bunch.data.loc[:9, "job"], bunch.data.loc[5, "year"] = None, np.nan
    message = r"missing values in 'job' \(10 of 1000 rows\), 'year' \(1 of 1000 rows\).*impute=True"
    with pytest.raises(ValueError, match=message):
        split_tasks(bunch, "group")
    train, *_ = split_tasks(bunch, "group", impute=True)
    assert np.isfinite(train.X).all()
    imputer = train.encoder["columntransformer"].named_transformers_["categories-2"][0]
    filled = bunch.data.fillna({"job": imputer.statistics_[0]})
    rows, expected = map(train.encoder.transform, (bunch.data, filled))
    assert np.array_equal(rows[:, 2], expected[:, 2])
    bunch.data["nothing"] = np.nan
    with pytest.raises(ValueError, match="Got none there in 'nothing'. Drop these columns"):
        split_tasks(bunch, "group", impute=True)


def test_infinite_features_are_named():
    bunch = people()
    bunch.data.loc[3, "merit_0"] = -np.inf
    with pytest.raises(ValueError, match=r"infinity in 'merit_0' \(1 of 1000 rows\). Replace"):
        split_tasks(bunch, "group")


def test_two_columns_of_one_name_are_refused():
    bunch = people()
    bunch.data = pd.concat([bunch.data, bunch.data[["job"]]], axis=1)
    with pytest.raises(ValueError, match="columns with different names. Got more than one .*'job'"):
        split_tasks(bunch, "group")


# -- the demo -----------------------------------------------------------------------------------


def write(tmp_path, **columns):
    frame = make_biased_classification(1000, random_state=0).frame.assign(**columns)
    path = tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    return str(path), frame


def load(path, **options):
    return load_data(path, target="decision", sensitive="group", **options)


def test_the_demo_leaves_copies_of_the_target_and_the_group_out(tmp_path):
    frame = make_biased_classification(1000, random_state=0).frame
    frame = frame.assign(
        granted=frame["decision"].map({"yes": 1, "no": 0}),
        party=frame["group"].map({"A": "left", "B": "right"}),
    )
    frame.insert(0, "decision ", frame["decision"])
    path = tmp_path / "people.csv"
    # A header that names a column twice: pandas calls the second "decision.1".
    path.write_text(frame.to_csv(index=False).replace("decision ,", "decision,", 1))
    data = load(str(path))
    assert not {"decision.1", "granted", "party"} & set(data.train.feature_names)
    assert "group" in data.train.feature_names
    notes = " ".join(data.notes)
    assert "the target 'decision' in other words: 'decision.1', 'granted'" in notes
    assert "the group 'group' in other words: 'party'" in notes


def test_the_demo_refuses_groups_that_are_the_target(tmp_path):
    path, frame = write(tmp_path)
    frame["group"] = frame["decision"].map({"yes": "A", "no": "B"})
    frame.to_csv(path, index=False)
    with pytest.raises(InputError, match="'decision' and 'group' say the same in other words"):
        load(path)


def test_the_demo_drops_what_it_is_told_to(tmp_path):
    path, frame = write(tmp_path, key=range(1000))
    names = load(path, drop=["key", "merit_0"]).train.feature_names
    assert not {"key", "merit_0"} & set(names)
    with pytest.raises(InputError, match="--drop must be a column .*Did you mean 'merit_0'"):
        load(path, drop=["merit0"])
    with pytest.raises(InputError, match="needs a feature beside the target and the groups"):
        load(path, drop=frame.columns.drop("decision").tolist())


def test_the_demo_names_constant_and_identifier_like_columns(tmp_path):
    key = [f"p{i}" for i in range(1000)]
    path, _ = write(tmp_path, key=key, number=range(1000), country="X", empty=None)
    data = load(path)
    assert {"key", "country"} < set(data.train.feature_names)
    notes = " ".join(data.notes)
    assert "are constant: 'country'" in notes and "has no values: 'empty'" in notes
    assert "as identifiers are: 'key', 'number'. Leave them out with --drop key --drop number" in (
        notes
    )
    assert "merit" not in notes  # measurements are different in every row, too
    assert load_data("embedded").notes == ()


def test_the_demo_names_columns_that_the_target_was_made_of(tmp_path):
    frame = make_biased_classification(1000, random_state=0).frame
    granted, odd = frame["decision"] == "yes", np.arange(1000) % 2 == 0
    score = np.where(granted, 2.0, 1.0) + np.linspace(0, 0.5, 1000)
    grade = np.where(granted, np.where(odd, "A", "B"), np.where(odd, "C", "D"))
    path, _ = write(tmp_path, score=score, grade=grade)
    [note] = load(path).notes
    assert (
        "each enough to tell the target, and perhaps what it was made of: 'score', 'grade'." in note
    )
    assert "--drop score --drop grade" in note


def test_the_demo_fills_missing_values_in(tmp_path):
    job = [None if i % 9 == 0 else "ab"[i % 2] for i in range(1000)]
    path, _ = write(tmp_path, job=job)
    data = load(path)
    assert np.isfinite(data.test.X).all()
    assert "most frequent value of a category: 'job' (112 rows)" in " ".join(data.notes)


def test_a_category_that_the_table_had_not_is_named_with_its_column():
    bunch = people()
    encoder = split_tasks(bunch, "group")[0].encoder
    rows = bunch.data.head(3)
    rows = rows.assign(job=["zz", *rows["job"][1:]])
    with pytest.raises(ValueError, match=r"The column 'job' has values .*: 'zz', .* in row 0. Kno"):
        encoder.transform(rows)
