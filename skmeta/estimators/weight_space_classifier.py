"""Predict a class from the weights of a network: :class:`WeightSpaceClassifier`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from torch import nn

from skmeta._modes import in_own_modes
from skmeta.datasets import Task
from skmeta.estimators.weight_space import WeightSpaceEstimator


class WeightSpaceClassifier(ClassifierMixin, WeightSpaceEstimator):
    """Predict a class, for instance what an implicit representation shows, from weights alone.

    It is trained with cross-entropy. All parameters but ``loss`` are those of
    :class:`WeightSpaceRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    net_, metanet_, templates_, architecture_, n_features_in_, feature_names_in_
        As of :class:`WeightSpaceRegressor`.

    Examples
    --------
    >>> from skmeta import WeightSpaceClassifier, make_zoo
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> train, _, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
    >>> zoo = make_zoo(train, 10, epochs=3, progress=False, random_state=0)
    >>> model = WeightSpaceClassifier(metanet="statistics", max_epochs=5, random_state=0)
    >>> model = model.fit(zoo, zoo.metadata["activation"])
    >>> model.predict_proba(zoo[:4]).shape == (4, len(model.classes_))
    True
    """

    _saved: ClassVar[dict[str, tuple[Any, bool]]] = {
        **WeightSpaceEstimator._saved,
        "classes_": (np.ndarray, False),
    }

    @property
    def _n_outputs(self) -> int:
        return len(self.classes_)

    @in_own_modes
    def fit(
        self,
        networks: Any,
        y: Any,
        *,
        task: Task | None = None,
        sample_weight: Any = None,
    ) -> WeightSpaceClassifier:
        """Train the metanetwork.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks, or rows of flattened ones.
        y : array-like of shape (n,)
            A label for each network.
        task : None
            Ignored: only weights are read.
        sample_weight : array-like of shape (n,), optional
            Weights of the networks in the loss: one of weight 2 counts as two, one of weight 0
            is not there.

        Returns
        -------
        WeightSpaceClassifier
            Itself.
        """
        population, y, weights = self._read(networks, y, sample_weight, numeric=False)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._train(population, codes, nn.CrossEntropyLoss, weights)
        return self

    def predict_proba(self, networks: Any) -> np.ndarray:
        """Return the probability of each class, ``(n, n_classes)``.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks like those of ``fit``, or rows.
        """
        return softmax(self._outputs(networks), axis=1)

    def predict(self, networks: Any) -> np.ndarray:
        """Return the most probable label of each network, ``(n,)``.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks like those of ``fit``, or rows.
        """
        best = self._outputs(networks).argmax(1)
        return self.classes_[best]
