"""What the demo notices about the columns of a table: :func:`select_columns`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from skmeta._columns import listed

_DISTINCT = 0.95
"""Share of different values from which a column of texts or whole numbers looks like names."""


_GIVES_AWAY = 0.98
"""Area under the curve of one column beside which no model is needed."""

FREQUENT = 20
"""Rows that a category needs to have a column of its own."""


class InputError(ValueError):
    """An argument or a file of the user is wrong."""


def check_column(option: str, column: str, columns: Sequence[str], where: str) -> None:
    """Raise unless an option names a column, and suggest the nearest one."""
    if column in columns:
        return
    near = get_close_matches(column, columns, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(
        f"{option} must be a column of {where}: {', '.join(columns)}. Got {column!r}.{hint}"
    )


def select_columns(
    data: pd.DataFrame,
    target: pd.Series,
    groups: pd.Series,
    drop: Iterable[str],
) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the columns that must not or cannot be features, and say so.

    Parameters
    ----------
    data : DataFrame
        Features; one may have the name of ``groups``: that is no copy.
    target, groups : Series
        Labels, and the groups.
    drop : iterable of str
        What the user leaves out.

    Returns
    -------
    DataFrame
        The features.
    list of str
        What there is to say about them, a sentence each.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"age": [30, 40, 30], "paid": [1, 0, 0], "sex": ["f", "f", "m"]})
    >>> target = pd.Series(["yes", "no", "no"], name="pays")
    >>> features, notes = select_columns(data, target, data["sex"], drop=[])
    >>> features.columns.tolist()
    ['age', 'sex']
    >>> notes
    ["Left out, because it is the target 'pays' in other words: 'paid'."]
    """
    others = [str(name) for name in data.columns if name != groups.name]
    copies = {
        f"it is {what} {column.name!r} in other words": [
            name for name in others if name not in drop and _says_the_same(data[name], column)
        ]
        for what, column in (("the target", target), ("the group", groups))
    }
    copies["it has no values"] = [name for name in others if data[name].isna().all()]
    left_out = {*drop, *(name for names in copies.values() for name in names)}
    features = data.drop(columns=[name for name in data.columns if name in left_out])
    if not features.shape[1]:
        raise InputError(
            "The table needs a feature beside the target and the groups. Left out are "
            f"{listed(sorted(left_out))}."
        )
    notes = [f"Left out, because {why}: {listed(names)}." for why, names in copies.items() if names]
    return features, [*notes, *_remarks(features, target)]


def remarks_on_encoding(features: pd.DataFrame) -> list[str]:
    """Say which texts an audit learns nothing from, because no value of theirs is frequent.

    Parameters
    ----------
    features : DataFrame
        Raw columns.

    Returns
    -------
    list of str
        A sentence, or none.
    """
    identifiers = _identifiers(features)
    varied = [
        name
        for name in features
        if not pd.api.types.is_numeric_dtype(features[name])
        and features[name].value_counts().max() < FREQUENT
        and name not in identifiers
    ]
    if not varied:
        return []
    return [
        f"These columns are too varied to learn from (no value has {FREQUENT} rows): "
        f"{listed(varied)}. Make numbers of them, of dates for instance, or leave them out with "
        f"{_drop(varied)}."
    ]


def _drop(names: Sequence[str]) -> str:
    return " ".join(f"--drop {shlex.quote(name)}" for name in names)


def _remarks(features: pd.DataFrame, target: pd.Series) -> Iterator[str]:
    """Say which features are kept but want a look."""
    filled = [name for name in features if features[name].isna().any()]
    if filled:
        counts = [f"{name!r} ({features[name].isna().sum()} rows)" for name in filled]
        yield (
            "Missing values become the median of a number, or the most frequent value of a "
            f"category: {', '.join(counts)}."
        )
    for what, names in (
        ("constant", [name for name in features if features[name].nunique() < 2]),
        ("different in nearly every row, as identifiers are", _identifiers(features)),
        (
            "each enough to tell the target, and perhaps what it was made of",
            [name for name in features if _tells(features[name], target)],
        ),
    ):
        if names:
            yield f"These columns are {what}: {listed(names)}. Leave them out with {_drop(names)}."


def _identifiers(features: pd.DataFrame) -> list[str]:
    return [
        name
        for name in features
        if features[name].nunique() > _DISTINCT * len(features)
        and not _is_measured(features[name].dropna())
    ]


def _is_measured(column: pd.Series) -> bool:
    """Whether a column has numbers with fractions."""
    return pd.api.types.is_float_dtype(column) and not np.array_equal(column, np.rint(column))


def _tells(column: pd.Series, target: pd.Series) -> bool:
    """Whether a threshold on a number, or the value of a category, gives the target away.

    Nearly: a copy with a few wrong values does, too.
    """
    known = pd.DataFrame({"value": column, "label": pd.factorize(target)[0]}).dropna()
    if known["label"].nunique() != 2:
        return False
    if not pd.api.types.is_numeric_dtype(column):
        if known["value"].nunique() > len(known) / 2:
            return False
        known["value"] = known.groupby("value")["label"].transform("mean")
    area = roc_auc_score(known["label"], known["value"])
    return bool(max(area, 1 - area) > _GIVES_AWAY)


def _says_the_same(column: pd.Series, known: pd.Series) -> bool:
    """Whether every value of a column stands for one value of the other, and the reverse."""
    there = column.notna().to_numpy()
    codes, values = pd.factorize(column[there])
    known_codes, known_values = pd.factorize(known[there])
    pairs = len(set(zip(codes.tolist(), known_codes.tolist(), strict=True)))
    return pairs == len(values) == len(known_values) == known.nunique()
