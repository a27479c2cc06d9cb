"""The curvature of networks from a few gradients: :class:`CurvatureRegressor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skmeta._checks import (
    check_device,
    check_in_range,
    check_option,
    check_rng,
    check_unchanged,
    params_now,
)
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta.datasets import Task
from skmeta.datasets.checks import check_task
from skmeta.estimators.files import write_estimator
from skmeta.files.checks import expect, fields_of, load_weights
from skmeta.learning.settings import TrainingSettings
from skmeta.population import Population, Stack
from skmeta.population.checks import (
    check_classifiers,
    check_columns,
    check_not_empty,
    check_population,
)
from skmeta.population.running import check_no_images
from skmeta.reading import CurvatureReader, train_curvature
from skmeta.reading.curvature import LEARNED, METHODS, model_for, relative_error, targets_of
from skmeta.zoo.checks import warn_of_few_networks

_PARAMS_OF_FIT = ("method", "n_gradients", "hidden_channels", "n_layers")


class CurvatureRegressor(StablePickle, BaseEstimator):
    """Predict the diagonal of the Fisher information of networks from a few gradients.

    The Fisher information says how much the predictions of a network depend on each of its
    weights; its diagonal is what pruning, Laplace approximations and preconditioners use. It is
    a mean over all rows. From a few rows it is noisy; what kinds of networks and rows have in
    common can be learned from a population (paper on learning on gradients [1]_, section 7.1).

    Parameters
    ----------
    method : str, default="sample-weights"
        The first three learn from the networks; untrained they are "standard".

        * "sample-weights": attention over the rows gives each of them a weight in the mean, and
          says how far to shrink each stage;
        * "gradmetanet", "gradmetanet++": a network over the set of gradients [1]_ says how much
          each row counts, and on it each neuron, and how far to shrink each stage. The second
          one is attention over rows and neurons, which takes long;
        * "standard": the mean over the rows;
        * "kfac": the Kronecker-factored diagonal; "ekfac": in its eigenbasis, with second moments
          that are measured there [2]_;
        * "shrunk": from "standard" towards "kfac", as far as a closed form says.
    n_gradients : int, default=128
        Rows to look at, drawn from those of the task.
    n_target : int, default=2048
        At most so many rows of the task say what is to be predicted, in ``fit`` and ``score``.
    hidden_channels : int, default=32
        Width of the states.
    n_layers : int, default=2
        Layers, or rounds of attention.
    net : skorch.NeuralNet, optional
        Template whose settings are used; its module and criterion are replaced. ``max_epochs``,
        ``lr``, ``batch_size``, ``callbacks`` and ``verbose`` below must then have their defaults.
    max_epochs : int, default=40
        Passes over the networks, each with fresh rows.
    lr : float, default=2e-3
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
    net_ : skorch.NeuralNet or None
        The trained net; ``net_.history`` has the losses. None if nothing is learned.
    reader_ : CurvatureReader
        What reads curvature off rows.
    task_ : Task or None
        The task of ``fit``; None in one from a file.

    References
    ----------
    .. [1] "GradMetaNet: an equivariant architecture for learning on gradients".
    .. [2] George, Laurent, Bouthillier, Ballas and Vincent (2018), "Fast approximate natural
       gradient descent in a Kronecker factored eigenbasis".

    Examples
    --------
    >>> from skmeta import CurvatureRegressor, make_zoo
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> from skmeta.population import to_rows
    >>> bunch = make_biased_classification(3000, random_state=0)
    >>> train, other, _ = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 6, epochs=3, progress=False, random_state=0)
    >>> model = CurvatureRegressor(n_gradients=32, max_epochs=2, random_state=0)
    >>> curvature = model.fit(zoo, task=other).predict(zoo[:1], task=other)
    >>> bool((to_rows(curvature) >= 0).all())
    True
    """

    __metadata_request__fit = {"task": True}
    __metadata_request__score = {"task": True}
    __metadata_request__predict = {"task": True}

    def __init__(
        self,
        method: str = "sample-weights",
        *,
        n_gradients: int = 128,
        n_target: int = 2048,
        hidden_channels: int = 32,
        n_layers: int = 2,
        net: Any = None,
        max_epochs: int = 40,
        lr: float = 2e-3,
        batch_size: int = 32,
        callbacks: list | None = None,
        device: str = "cpu",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.n_gradients = n_gradients
        self.n_target = n_target
        self.hidden_channels = hidden_channels
        self.n_layers = n_layers
        self.net = net
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @in_own_modes
    def fit(self, networks: Any, y: Any = None, *, task: Task | None = None) -> CurvatureRegressor:
        """Learn what curvature on many rows looks like on a few.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks of the task whose outputs are logits, or values; some hundred are needed.
        y : None
            Ignored: what is to be predicted is measured.
        task : Task
            Rows; labels are not looked at.

        Returns
        -------
        CurvatureRegressor
            Itself.
        """
        settings = self._check_params()
        self._params_of_fit = params_now(self)
        population, task = self._checked(networks, task, settings.device)
        seeds = check_rng(self.random_state).integers(2**62, size=4).tolist()
        self._seed = seeds[0]
        reader = CurvatureReader(self.method, self.n_gradients)
        self.net_ = None
        if self.method in LEARNED:
            warn_of_few_networks(population, type(self).__name__)
            self.net_ = train_curvature(
                reader,
                population,
                task,
                settings,
                n_target=self.n_target,
                seeds=seeds[1:],
                hidden_channels=self.hidden_channels,
                n_layers=self.n_layers,
            )
        self.reader_ = reader
        self.task_: Task | None = task
        return self

    def _check_params(self) -> TrainingSettings:
        owner = type(self).__name__
        check_option("method", self.method, METHODS, owner=owner)
        for name, low in (("hidden_channels", 1), ("n_layers", 1), ("n_gradients", 2)):
            check_in_range(name, getattr(self, name), owner=owner, low=low, kind="int")
        check_in_range("n_target", self.n_target, owner=owner, low=self.n_gradients, kind="int")
        return TrainingSettings.of(self)

    def _checked(self, networks: Any, task: Any, device: torch.device) -> tuple[Population, Task]:
        owner = type(self).__name__
        population = check_not_empty(check_population(networks, owner), owner)
        task = check_task(task, owner, labels=False)
        check_no_images(population.architectures, owner)
        if task.classes is not None and {a.output for a in population.architectures} == {"logits"}:
            check_classifiers(population, task, owner)
        for number, architecture in enumerate(population.architectures):
            if architecture.n_inputs != task.n_features:
                raise ValueError(
                    f"The rows of {owner} must be those of the networks. Network {number} has "
                    f"{architecture.n_inputs} inputs, the task {task.n_features} features."
                )
        check_columns(population, task, owner)
        if task.n_samples < self.n_gradients:
            raise ValueError(
                f"The 'n_gradients' parameter of {owner} must not exceed the number of rows of the "
                f"task, {task.n_samples}. Got {self.n_gradients}."
            )
        return population.to(device, torch.float32), task

    def _rows(self, task: Task, device: torch.device, n: int, stream: int) -> Tensor:
        """Draw rows of a task; they do not depend on the networks."""
        rng = np.random.default_rng([self._seed % 2**32, stream])
        some = np.sort(rng.permutation(task.n_samples)[:n])
        return task.tensors(device)[0][torch.from_numpy(some).to(device)]

    @in_own_modes
    def predict(self, networks: Any, *, task: Task | None = None) -> Population:
        """Return the diagonals of the Fisher information.

        Parameters
        ----------
        networks : Population or sequence of networks
            Like those of ``fit``; their widths, and what they were trained on, may be others.
        task : Task, optional
            Rows, of which ``n_gradients`` are looked at, the same for all networks; by default
            those of ``fit``.

        Returns
        -------
        Population
            Of the shapes of the networks: each number is the curvature along the weight in its
            place, 0 or more (running statistics have none); :func:`~skmeta.population.to_rows`
            makes a table of it.
        """
        return self._mapped("predict", networks, task)

    def _mapped(self, method: str, networks: Any, task: Task | None, *kind: str) -> Population:
        """Put what the reader says of networks in the places of their weights."""
        reader, population, task = self._ready(method, networks, task)
        X = self._rows(task, population.device, self.n_gradients, 0)
        function = reader.saliency if kind else reader.read

        def read(stack: Stack) -> Stack:
            with torch.no_grad():
                return stack.holding(function(stack, X, *kind))

        return population.map(read, numbers=reader.numbers).to("cpu")

    @in_own_modes
    def saliency(self, networks: Any, *, task: Task | None = None, kind: str = "obd") -> Population:
        """Return what setting each weight to zero costs: scores for pruning.

        In nats of divergence (Jensen-Shannon, which for a small change ``d`` is ``d F d / 8``).

        Parameters
        ----------
        networks : Population or sequence of networks
            Like those of ``predict``.
        task : Task, optional
            Rows, of which ``n_gradients`` are looked at; by default those of ``fit``.
        kind : {"obd", "obs"}, default="obd"
            "obd": ``w**2 F / 8``, optimal brain damage [1]_. "obs": as far as no others of its
            matrix can take over what it does, as in optimal brain surgery [2]_. They can for one
            weight at a time: where many go at once, "obd" has been better.

        Returns
        -------
        Population
            Of the shapes of the networks: each number is the cost of the weight in its place.

        References
        ----------
        .. [1] LeCun, Denker and Solla (1989), "Optimal brain damage".
        .. [2] Hassibi and Stork (1992), "Second order derivatives for network pruning: optimal
           brain surgeon".
        """
        check_option("kind", kind, ("obd", "obs"), owner=f"{type(self).__name__}.saliency")
        return self._mapped("saliency", networks, task, kind)

    @in_own_modes
    def score(self, networks: Any, y: Any = None, *, task: Task | None = None) -> float:
        """Return minus the mean relative squared error.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to predict for.
        y : None
            Ignored.
        task : Task, optional
            Rows: ``n_gradients`` to look at, and ``n_target`` that say what is right; by default
            those of ``fit``.

        Returns
        -------
        float
            At most 0; -1 is what a prediction of zeros gets.
        """
        reader, population, task = self._ready("score", networks, task)
        few = self._rows(task, population.device, self.n_gradients, 0)
        many = self._rows(task, population.device, self.n_target, 1)

        def error(stack: Stack) -> Tensor:
            with torch.no_grad():
                return relative_error(reader.read(stack, few), targets_of(stack, many))

        errors = population.map(error, numbers=reader.numbers, empty=torch.empty(0))
        return -float(errors.double().mean())

    def _ready(
        self, method: str, networks: Any, task: Any
    ) -> tuple[CurvatureReader, Population, Task]:
        check_is_fitted(self, "reader_")
        check_unchanged(self, method, _PARAMS_OF_FIT)
        device = check_device(self.device, type(self).__name__)
        if self.reader_.model is not None:
            self.reader_.model.to(device)
        task = self.task_ if task is None else task
        return self.reader_, *self._checked(networks, task, device)

    def save(self, path: str | Path) -> None:
        """Write what was learned to a file for :func:`skmeta.load`; see :func:`skmeta.save`.

        Parameters
        ----------
        path : str or Path
            The file; one that is there already is replaced.
        """
        check_is_fitted(self, "reader_")
        check_unchanged(self, "save", _PARAMS_OF_FIT)
        write_estimator(self, path)

    def _contents(self, *, include_task: bool) -> dict[str, Any]:
        model = self.reader_.model
        return {"seed": self._seed, "model": None if model is None else dict(model.state_dict())}

    def _restore(self, fitted: dict[str, Any]) -> None:
        seed, state = fields_of(
            fitted, "what was learned", seed=int, model=dict[str, Tensor] | None
        )
        expect(seed >= 0, "the seed is negative")
        learned = self.method in LEARNED
        expect(learned == (state is not None), "there is a model too many, or none")
        model = None
        if learned:
            with torch.device("meta"):  # without numbers no claim of a file takes memory
                model = model_for(self.method, self.hidden_channels, self.n_layers)
            load_weights(model, state)
            model.eval()
        self.reader_ = CurvatureReader(self.method, self.n_gradients, model)
        self.net_, self.task_, self._seed = None, None, seed
        self._params_of_fit = params_now(self)
