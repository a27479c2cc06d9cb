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

    It is trained with cross-entropy.

    Parameters
    ----------
    metanet : str, default="nfn-hnp"
        What reads the weights: "nfn-hnp" (permutation-equivariant layers that tell inputs and
        outputs apart [1]_), "nfn-np" (that also share over them, for few data), "nfn-pointwise"
        (the ablation without interactions), "monomial" (equivariant to rescaled neurons, too),
        "graph", "neuron", or "statistics" (a multilayer perceptron on weight statistics, the
        simple rival).
    quasi : bool, default=False
        Put a quasi-equivariant layer [2]_ in front; "monomial" sees no difference.
    augment : {"none", "permute", "rescale"}, default="none"
        Begin every epoch with fresh functionally equal copies of the training networks: with
        permuted neurons, or with rescaled ones where the activation allows it.
    hidden_channels : int, default=16
        Numbers that the metanetwork computes for every weight or neuron.
    n_layers : int, default=3
        Number of its layers.
    architecture : Architecture, optional
        If rows of numbers come in place of networks: what they are the weights of, in the order
        of :func:`~skmeta.population.to_rows`. Without it a row counts as the weights of one
        linear map with one output: no hidden neurons, so no symmetry.
    net : skorch.NeuralNet, optional
        Template whose settings are used; its module and criterion are replaced. ``max_epochs``,
        ``lr``, ``batch_size``, ``callbacks`` and ``verbose`` below must then have their defaults.
        With a ``train_split`` it measures ``valid_loss`` for early stopping.
    max_epochs : int, default=60
        Passes over the networks.
    lr : float, default=1e-3
        Peak learning rate of AdamW; a cosine takes it to zero.
    batch_size : int, default=32
        Networks per step; those of a step have one depth.
    callbacks : list, optional
        Further skorch callbacks.
    device : str, default="cpu"
        Where to compute.
    verbose : int, default=0
        1 shows a progress bar, 2 skorch's table of losses.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    net_, metanet_, templates_, architecture_, n_features_in_, feature_names_in_
        As of :class:`WeightSpaceRegressor`.

    References
    ----------
    .. [1] Zhou et al., "Permutation equivariant neural functionals", 2023.
    .. [2] "Quasi-equivariant metanetworks", appendix B.1.

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

    _saved: ClassVar[dict[str, Any]] = {
        **WeightSpaceEstimator._saved,
        "classes_": np.ndarray,
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
        """Return the probability of each class.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks like those of ``fit``, or rows.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Columns are in the order of ``classes_``.
        """
        return softmax(self._outputs(networks), axis=1)

    def predict(self, networks: Any) -> np.ndarray:
        """Return the most probable label of each network.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks like those of ``fit``, or rows.

        Returns
        -------
        ndarray of shape (n,)
            Of ``classes_``.
        """
        best = self._outputs(networks).argmax(1)
        return self.classes_[best]
