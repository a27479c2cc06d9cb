"""Networks as a table of weight statistics: :class:`WeightStatistics`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skmeta.datasets import Task
from skmeta.estimators.networks_or_rows import NetworksOrRows
from skmeta.metanets import statistic_names
from skmeta.networks import Architecture
from skmeta.reading.statistics import statistics_table


class WeightStatistics(TransformerMixin, NetworksOrRows):
    """Describe networks by statistics of the weights and biases of each layer.

    Mean, variance, minimum, quartiles and maximum per layer: with gradient boosting behind
    it, the baseline that any reader of weights must beat.

    Parameters
    ----------
    architecture : Architecture, optional
        What rows of numbers are the weights of; without it, a row is one layer. Not used for
        networks.

    Attributes
    ----------
    depth_ : int
        Largest number of layers of the networks of ``fit``.
    statistics_ : list of str
        Names of the columns: those that some network of ``fit`` has.
    architecture_ : Architecture or None
        Of rows, None after a fit on networks.
    n_features_in_, feature_names_in_ : int, ndarray of str
        As everywhere in scikit-learn, after a fit on rows.

    See Also
    --------
    skmeta.metanets.weight_statistics : The same as tensors.

    Notes
    -----
    Hidden layers are counted from the first, and the output layer always has the last
    columns, so that networks of several depths can be compared; a layer that a network
    does not have is NaN, which gradient boosting takes as it is.

    References
    ----------
    .. [1] Unterthiner et al., "Predicting neural network accuracy from weights", 2020.

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmeta import WeightStatistics, make_zoo
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> train, _, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
    >>> zoo = make_zoo(train, 10, epochs=3, progress=False, random_state=0)
    >>> WeightStatistics().set_output(transform="pandas").fit_transform(zoo).shape
    (30, 70)
    >>> model = make_pipeline(WeightStatistics(), HistGradientBoostingRegressor())
    >>> model.fit(zoo, zoo.metadata["validation_accuracy"]).predict(zoo).shape
    (30,)
    """

    __metadata_request__fit = {"task": True}

    def __init__(self, *, architecture: Architecture | None = None) -> None:
        self.architecture = architecture

    def fit(self, networks: Any, y: Any = None, *, task: Task | None = None) -> WeightStatistics:
        """Learn how deep the networks are and what they have.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks, or rows of flattened ones.
        y, task : None
            Ignored.

        Returns
        -------
        WeightStatistics
            Itself.
        """
        population = self._networks(networks, fitting=True)
        self.depth_ = max(a.depth for a in population.architectures)
        there = ~np.isnan(statistics_table(population, self.depth_)).all(0)
        names = np.array(statistic_names(self.depth_), dtype=object)
        self.statistics_ = names[there].tolist()
        return self

    def transform(self, networks: Any) -> np.ndarray:
        """Return the statistics of each network.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks or rows. Hidden layers beyond those of ``fit`` are left out.

        Returns
        -------
        ndarray or DataFrame of shape (n, n_statistics)
            NaN for what a network does not have.
        """
        check_is_fitted(self)
        table = statistics_table(self._networks(networks, fitting=False), self.depth_)
        kept = [name in set(self.statistics_) for name in statistic_names(self.depth_)]
        return table[:, kept]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns, for instance ``hidden_1_weight_mean``.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str of shape (n_statistics,)
            In the order of the columns.
        """
        check_is_fitted(self)
        return np.array(self.statistics_, dtype=object)
