"""Tables as their owners have them: raw frames, labels and groups, which are no inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmeta.datasets import Task, fetch_adult, fetch_bank, make_biased_classification

MAX_ROWS = 7000


class Table(NamedTuple):
    """Rows of people, their labels (0 or 1) and groups."""

    data: pd.DataFrame
    target: np.ndarray
    groups: np.ndarray


class Source(NamedTuple):
    """Where a table comes from: a file, its target and its group, and columns to leave out."""

    file: str
    target: str
    group: str
    drop: tuple[str, ...] = ()


FILES = {
    "dutch, sex": Source("dutch", "occupation", "sex"),
    "oulad, disability": Source("oulad_clean", "final_result", "disability", ("id_student",)),
    "oulad, gender": Source("oulad_clean", "final_result", "gender", ("id_student",)),
    "student, sex": Source("student_por_new", "class", "sex", ("G1", "G2")),
    "crime, black": Source(
        "communities_crime",
        "class",
        "Black",
        ("state", "communityname", "fold", "ViolentCrimesPerPop", "racepctblack"),
    ),
}
UCI = {
    "adult, sex": (fetch_adult, "sex"),
    "adult, race": (fetch_adult, "race"),
    "bank, age": (fetch_bank, "age"),
    "bank, marital": (fetch_bank, "marital"),
}
GENERATED = ("rare class", "strong proxies", "base rates", "no gap")
NAMES = (*UCI, *FILES, *GENERATED)


def load(name: str, seed: int, data_home: str | None = None) -> Table:
    """Load or draw a table; of a large one, a sample of rows that depends on the seed."""
    if name in GENERATED:
        return _generate(name, seed)
    table = _of_uci(name, data_home) if name in UCI else _of_file(name, data_home)
    rows = np.random.default_rng(seed).permutation(len(table.target))[:MAX_ROWS]
    data = table.data.iloc[rows].reset_index(drop=True)
    return Table(data, table.target[rows], table.groups[rows])


def tasks_of(table: Table, seed: int, test_size: float = 0.3) -> tuple[Task, Task]:
    """Encode a table as an owner would, and hold rows out for the test."""
    cells = [f"{y} {s}" for y, s in zip(table.target, table.groups, strict=True)]
    train, test = train_test_split(
        np.arange(len(cells)), test_size=test_size, random_state=seed, stratify=cells
    )
    encoder = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(
                handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=False
            ),
            make_column_selector(dtype_exclude="number"),
        ),
    ).fit(table.data.iloc[train])
    X = np.asarray(encoder.transform(table.data), dtype=np.float32)
    whole = Task(X, table.target, sensitive_features=table.groups)
    return whole.subset(train), whole.subset(test)


def _of_uci(name: str, data_home: str | None) -> Table:
    fetch, column = UCI[name]
    bunch = fetch(data_home=data_home)
    groups = bunch.sensitive_features[column].astype(str).to_numpy()
    if column == "race":  # the others are a few hundred rows together
        groups = np.where(groups == "White", "White", "other")
    data = bunch.data.drop(columns=column, errors="ignore")
    return Table(data, pd.factorize(bunch.target, sort=True)[0], groups)


def _of_file(name: str, data_home: str | None) -> Table:
    source = FILES[name]
    home = Path(data_home or os.environ.get("SKMETA_DATA_HOME") or "../shared/data")
    frame = pd.read_csv(home / "tables" / f"{source.file}.csv.gz")
    left_out = [c for c in (source.target, source.group, *source.drop) if c in frame]
    data = frame.drop(columns=left_out)
    if source.file == "dutch":  # codes of categories
        codes = [column for column in data if column not in ("age", "edu_level")]
        data[codes] = data[codes].astype(str)
    target = pd.factorize(frame[source.target], sort=True)[0]
    return Table(data, target, frame[source.group].astype(str).to_numpy())


def _generate(name: str, seed: int) -> Table:
    rng = np.random.default_rng(1000 + seed)
    if name in ("strong proxies", "no gap"):
        options = {"gap": 0.0} if name == "no gap" else {"gap": 0.3, "proxy_strength": 4.0}
        bunch = make_biased_classification(4000, random_state=1000 + seed, **options)
        data, group = bunch.data.drop(columns="group"), bunch.data["group"].to_numpy()
        return Table(data, (bunch.target == "yes").astype(int).to_numpy(), group)
    in_b = rng.random(4000) < 0.4
    side, merit = 0.5 - in_b, rng.standard_normal((4000, 8))
    z = merit @ 0.7 ** np.arange(8)
    if name == "rare class":  # 6 % positive
        chance = expit(2 * z / z.std() - 4.6 + 1.6 * side)
    else:  # 60 % of one group, a fifth of the other
        chance = expit(1.5 * z + 2.5 * side - 0.5)
    proxies = rng.standard_normal((4000, 2)) + 1.8 * side[:, None]
    data = pd.DataFrame(np.hstack([proxies, merit])).add_prefix("x")
    return Table(data, (rng.random(4000) < chance).astype(int), np.where(in_b, "b", "a"))
