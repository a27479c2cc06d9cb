"""Predict a number from the weights of a network: :class:`WeightSpaceRegressor`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit
from sklearn.base import RegressorMixin

from skmeta._checks import check_option
from skmeta._modes import in_own_modes
from skmeta.datasets import Task
from skmeta.estimators.weight_space import WeightSpaceEstimator
from skmeta.networks import Architecture
from skmeta.reading.losses import LOSSES, line, standard


class WeightSpaceRegressor(RegressorMixin, WeightSpaceEstimator):
    """Predict a number, for instance a test accuracy, from the weights of networks alone.

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
    loss : {"mse", "bce", "ranking"}, default="mse"
        Squared error of standardised targets; cross-entropy of targets between 0 and 1, such as
        accuracies; or that of the order of pairs, after which predictions are mapped to the
        targets' scale by least squares.
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
    net_ : skorch.NeuralNet
        The trained net; ``net_.history`` has the losses.
    metanet_ : Module
        The trained metanetwork.
    templates_ : tuple of Architecture
        What the metanetwork was built for: the architectures of the training networks, with one
        neuron in each hidden layer.
    architecture_ : Architecture or None
        Of rows, None after a fit on networks.
    offset_, scale_ : float
        Predictions are ``offset_ + scale_ * output``; with "bce" the sigmoid of the output.
    n_features_in_, feature_names_in_ : int, ndarray of str
        As everywhere in scikit-learn, after a fit on rows.

    See Also
    --------
    WeightStatistics : With gradient boosting behind it, the rival to show.
    skmeta.evaluation.kendall_tau : Scores the order of predictions.

    References
    ----------
    .. [1] Zhou et al., "Permutation equivariant neural functionals", 2023.
    .. [2] "Quasi-equivariant metanetworks", appendix B.1.

    Examples
    --------
    >>> from skmeta import WeightSpaceRegressor, make_zoo
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> train, _, _ = split_tasks(make_biased_classification(2000, random_state=0), "group")
    >>> zoo = make_zoo(train, 10, epochs=3, progress=False, random_state=0)
    >>> model = WeightSpaceRegressor(metanet="statistics", max_epochs=5, random_state=0)
    >>> model.fit(zoo, zoo.metadata["validation_accuracy"]).predict(zoo[:4]).shape
    (4,)
    """

    _saved: ClassVar[dict[str, Any]] = {
        **WeightSpaceEstimator._saved,
        "offset_": float,
        "scale_": float,
    }

    def __init__(
        self,
        *,
        metanet: str = "nfn-hnp",
        quasi: bool = False,
        augment: str = "none",
        loss: str = "mse",
        hidden_channels: int = 16,
        n_layers: int = 3,
        architecture: Architecture | None = None,
        net: Any = None,
        max_epochs: int = 60,
        lr: float = 1e-3,
        batch_size: int = 32,
        callbacks: list | None = None,
        device: str = "cpu",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            metanet=metanet,
            quasi=quasi,
            augment=augment,
            hidden_channels=hidden_channels,
            n_layers=n_layers,
            architecture=architecture,
            net=net,
            max_epochs=max_epochs,
            lr=lr,
            batch_size=batch_size,
            callbacks=callbacks,
            device=device,
            verbose=verbose,
            random_state=random_state,
        )
        self.loss = loss

    @property
    def _n_outputs(self) -> int:
        return 1

    def _check_params(self) -> None:
        super()._check_params()
        check_option("loss", self.loss, list(LOSSES), owner="WeightSpaceRegressor")

    @in_own_modes
    def fit(
        self,
        networks: Any,
        y: Any,
        *,
        task: Task | None = None,
        sample_weight: Any = None,
    ) -> WeightSpaceRegressor:
        """Train the metanetwork.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks, or rows of flattened ones.
        y : array-like of shape (n,)
            A number for each network.
        task : None
            Ignored: only weights are read.
        sample_weight : array-like of shape (n,), optional
            Weights of the networks in the loss: one of weight 2 counts as two, one of weight 0
            is not there.

        Returns
        -------
        WeightSpaceRegressor
            Itself.
        """
        population, y, weights = self._read(networks, y, sample_weight, numeric=True)
        y = y.astype(np.float64)
        self.offset_, self.scale_ = 0.0, 1.0
        if self.loss == "mse":
            self.offset_, self.scale_ = standard(y, weights)
        elif self.loss == "bce" and not (y.min() >= 0 and y.max() <= 1):
            raise ValueError(
                "The 'loss' parameter of WeightSpaceRegressor may be 'bce' for targets between 0 "
                f"and 1 only. Got targets from {y.min():g} to {y.max():g}. Use loss='mse'."
            )
        targets = ((y - self.offset_) / self.scale_).astype(np.float32)
        self._train(population, targets[:, None], LOSSES[self.loss], weights)
        if self.loss == "ranking":
            self.offset_, self.scale_ = line(self._outputs(population)[:, 0], y, weights)
        return self

    def predict(self, networks: Any) -> np.ndarray:
        """Return the prediction for each network.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks like those of ``fit``, or rows.

        Returns
        -------
        ndarray of shape (n,)
            On the scale of the targets; between 0 and 1 with ``loss="bce"``.
        """
        outputs = self._outputs(networks)[:, 0]
        return expit(outputs) if self.loss == "bce" else self.offset_ + self.scale_ * outputs

    def score(self, networks: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R^2; see also ``kendall_tau``.

        Parameters
        ----------
        networks : Population, sequence of networks, or array-like of shape (n, n_numbers)
            Networks like those of ``fit``, or rows.
        y : array-like of shape (n,)
            True numbers.
        sample_weight : array-like of shape (n,), optional
            Weights of the networks.

        Returns
        -------
        float
            At most 1.
        """
        return super().score(networks, y, sample_weight)
