"""From a raw table, or raw images, to rows of numbers: the transformer that `split_tasks` fits."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skmeta._columns import listed
from skmeta.datasets._coding import plain_frame


class ColumnsByName(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Take the columns of `fit` out of a frame, whatever their order and the frame's library.

    A FunctionTransformer would give columns in another order the names of those in ``fit``.

    Parameters
    ----------
    categories : dict of str to ndarray, optional
        The values that columns of categories may have; others are refused by name. An
        encoder behind it would only know the number of the column.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        The columns.
    n_features_in_ : int
        Their number.
    categories_in_ : list of str
        Those that held something else than numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> columns = ColumnsByName().fit(pd.DataFrame({"a": [1.0], "b": ["x"]}))
    >>> columns.transform(pd.DataFrame({"b": ["y"], "more": [0], "a": [2]}))
         a  b
    0  2.0  y
    """

    def __init__(self, categories: dict[str, np.ndarray] | None = None) -> None:
        self.categories = categories

    def fit(self, X: Any, y: Any = None) -> ColumnsByName:
        """Remember the columns of a frame.

        Parameters
        ----------
        X : frame of pandas, polars or Arrow
            A table.
        y : None
            Ignored.

        Returns
        -------
        ColumnsByName
            Itself.
        """
        table = plain_frame(X)
        self.feature_names_in_ = np.array(table.columns, dtype=object)
        self.categories_in_ = [name for name in table if table[name].dtype == object]
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Take the columns out of a frame.

        Parameters
        ----------
        X : frame of pandas, polars or Arrow
            A table with these columns; others are left out.

        Returns
        -------
        DataFrame
            Floats, and objects with NaN where a value is missing.
        """
        check_is_fitted(self)
        table = plain_frame(X)
        missing = [name for name in self.feature_names_in_ if name not in table.columns]
        if missing:
            raise ValueError(
                "An encoder of split_tasks takes tables with the columns of the table that it was "
                f"fitted on. Got none named {listed(missing)}. Pass raw rows with "
                f"the columns {listed(self.feature_names_in_)}."
            )
        # Ones for True, or a column without any value, are of numbers to a frame.
        table = table.astype(dict.fromkeys(self.categories_in_, object))
        for name, known in (self.categories or {}).items():
            values = table[name]
            strange = values[values.notna() & ~values.isin(known)]
            if len(strange):
                raise ValueError(
                    f"The column {name!r} has values that the table of split_tasks had not: "
                    f"{listed(strange.unique()[:5])}, the first in row {strange.index[0]}. Known "
                    f"are {listed(known[:20])}. Replace them, or split a table that has them."
                )
        return table[list(self.feature_names_in_)]


def table_encoder(data: pd.DataFrame, train: np.ndarray, *, impute: bool) -> Pipeline:
    """Fit what encodes and standardises a table.

    Parameters
    ----------
    data : DataFrame
        All rows: they say which categories there are.
    train : ndarray of int
        The rows that means, deviations and fillings are computed on.
    impute : bool
        Fill missing values in: the median of numbers, the most frequent of categories. Else
        there must be none.

    Returns
    -------
    Pipeline
        Takes frames of pandas, polars or Arrow, finds their columns by name, and gives one
        column for each, in the order of ``data``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> table = pd.DataFrame({"size": [1.0, None, 3.0], "kind": ["a", "b", "a"]})
    >>> encoder = table_encoder(table, np.arange(3), impute=True)
    >>> encoder.transform(table[["kind", "size"]]).round(2)
    array([[-1.22, -0.71],
           [ 0.  ,  1.41],
           [ 1.22, -0.71]])
    """
    table = plain_frame(data)
    _check_table(table, train, impute)
    steps: list[tuple[str, Any, list[str]]] = []
    # All rows know the categories, so that those of the other rows are no strangers.
    known = {name: _values(table[name]) for name in table if table[name].dtype == object}
    # Neighbours of one kind together: the columns stay in their order.
    for is_category, group in groupby(table.columns, lambda name: table[name].dtype == object):
        names = list(group)
        step = (
            _categories([known[name] for name in names], impute)
            if is_category
            else _numbers(impute)
        )
        steps.append((f"{'categories' if is_category else 'numbers'}-{len(steps)}", step, names))
    encoder = make_pipeline(
        ColumnsByName(known),
        ColumnTransformer(steps, verbose_feature_names_out=False),
        StandardScaler(),
    )
    return encoder.fit(table.iloc[train])


def _numbers(impute: bool) -> Any:
    return SimpleImputer(strategy="median") if impute else "passthrough"


def _values(column: pd.Series) -> np.ndarray:
    return OrdinalEncoder().fit(column.to_frame()).categories_[0]


def _categories(known: list[np.ndarray], impute: bool) -> Any:
    codes = OrdinalEncoder(categories=known)
    return make_pipeline(SimpleImputer(strategy="most_frequent"), codes) if impute else codes


def image_encoder(images: np.ndarray, train: np.ndarray) -> FunctionTransformer:
    """Fit what standardises images and makes rows of them, channel by channel.

    Parameters
    ----------
    images : ndarray of shape (n_samples, channels, height, width)
        All images.
    train : ndarray of int
        The images that the mean and the deviation of a channel are computed on.

    Returns
    -------
    FunctionTransformer
        From images to rows of their pixels.

    Examples
    --------
    >>> import numpy as np
    >>> image_encoder(np.arange(8.0).reshape(2, 1, 2, 2), np.arange(2)).transform(
    ...     np.zeros((1, 1, 2, 2))
    ... ).shape
    (1, 4)
    """
    mean, deviation = (
        function(images[train], axis=(0, 2, 3), keepdims=True) for function in (np.mean, np.std)
    )
    settings = {"mean": mean, "deviation": np.where(deviation > 0, deviation, 1)}
    return FunctionTransformer(_standardised_images, kw_args=settings).fit(images)


def _standardised_images(
    images: np.ndarray, *, mean: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    return ((images - mean) / deviation).reshape(len(images), -1)


def _check_table(table: pd.DataFrame, train: np.ndarray, impute: bool) -> None:
    """Raise unless every value is there, or can be filled in, and is finite."""
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()].unique()
        raise ValueError(
            "split_tasks needs columns with different names. Got more than one named "
            f"{listed(twice)}. Rename or drop them."
        )
    missing = table.isna().sum()
    if missing.any() and not impute:
        raise ValueError(
            "split_tasks needs a value in every row and column. Got missing values in "
            f"{_counted(missing, len(table))}. Fill them in, leave out the rows (dropna) or the "
            "columns, or pass impute=True, which fills in the median or the most frequent value of "
            "the train rows."
        )
    empty = table.columns[table.iloc[train].isna().all()]
    if len(empty):
        raise ValueError(
            f"split_tasks fills missing values in from the train rows. Got none there in "
            f"{listed(empty)}. Drop these columns."
        )
    infinite = np.isinf(table.select_dtypes("number")).sum()
    if infinite.any():
        raise ValueError(
            f"split_tasks needs finite numbers. Got infinity in {_counted(infinite, len(table))}. "
            "Replace it, for instance by the largest value that makes sense, or leave these rows "
            "out."
        )


def _counted(numbers: pd.Series, n_rows: int) -> str:
    found = numbers[numbers > 0]
    return ", ".join(f"{name!r} ({count} of {n_rows} rows)" for name, count in found.items())
