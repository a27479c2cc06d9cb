"""Pruning by scores of the weights: :class:`Prune` and :class:`LotteryTicket`."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch

from skmeta.baselines.masking import MaskEditor, sample_rows
from skmeta.baselines.weight_scores import CRITERIA, magnitude
from skmeta.datasets import Task
from skmeta.networks import initial_records
from skmeta.population import Stack
from skmeta.reading import CurvatureReader
from skmeta.requirements import Pruning
from skmeta.requirements.masks import Masks


@dataclass(eq=False, repr=False)
class Prune(MaskEditor):
    """Keep the weights that a classic criterion finds important.

    Biases and normalisations stay. The networks are in evaluation mode.

    Parameters
    ----------
    criterion : str, default="wanda"
        Importance of a weight w:

        * "random": none;
        * "magnitude": ``|w|``, over all layers together (``global_unstructured`` with
          ``L1Unstructured`` in ``torch.nn.utils.prune``);
        * "gradient": ``|dL/dw|``, with L the cross-entropy of the labels;
        * "snip": ``|w * dL/dw|`` [1]_, once and on the trained network;
        * "wanda": ``|w|`` times the Euclidean norm of the weight's input, compared within each
          row of a weight matrix, so that all neurons keep the same share [2]_. Where a share
          is no whole number of weights, the largest scores of a layer stay;
        * "obd": ``w**2`` times the diagonal of the Fisher information: optimal brain damage [3]_;
        * "obs": as far as no others of its matrix can take over what it does, as in optimal brain
          surgery [4]_, in a Kronecker-factored eigenbasis. Here weights go all at once, and it has
          been worse than "obd".
    budget : int or float, default=0.25
        How many weights of a network stay (int), or which share (float in (0, 1]); exactly.
    n_rows : int, default=1024
        Reference rows, drawn at random, that all but "random" and "magnitude" look at.
    curvature : CurvatureRegressor, optional
        A fitted one, which finds the scores of "obd" and "obs" from its own number of rows in place
        of ``n_rows``; see :meth:`skmeta.CurvatureRegressor.saliency`. A search clones what is not a
        ``FrozenEstimator`` of it.
    n_steps : int, default=0
        Steps of :func:`distill` after pruning. With 80, "snip" was the strongest rival on Adult.
    lr : float, default=0.03
        Peak learning rate of the distillation.
    batch_size : int, default=256
        Rows per step of the distillation.
    random_state : int, RandomState or None
        Seed of random pruning, of the rows and of the batches.

    Attributes
    ----------
    task_ : Task
        The reference rows.

    References
    ----------
    .. [1] Lee, Ajanthan and Torr (2019), "SNIP: single-shot network pruning based on connection
       sensitivity".
    .. [2] Sun, Liu, Bair and Kolter (2024), "A simple and effective pruning approach for large
       language models".
    .. [3] LeCun, Denker and Solla (1989), "Optimal brain damage".
    .. [4] Hassibi and Stork (1992), "Second order derivatives for network pruning: optimal brain
       surgeon".

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.baselines import Prune
    >>> from skmeta.datasets import Task
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> rng = np.random.default_rng(0)
    >>> task = Task(rng.normal(size=(100, 3)), np.arange(100) % 2)
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> pruned = Prune("wanda", budget=10).fit(networks, task=task).transform(networks)
    >>> [sum(int((p != 0).sum()) for p in net.parameters() if p.ndim == 2) for net in pruned]
    [10, 10]
    """

    requirement = Pruning
    options = {"criterion": CRITERIA}

    criterion: str = "wanda"
    _: KW_ONLY
    budget: int | float = 0.25
    n_rows: int = 1024
    curvature: Any = None
    n_steps: int = 0
    lr: float = 0.03
    batch_size: int = 256
    random_state: Any = None

    def _fit(self, networks: Any, task: Task) -> None:
        super()._fit(networks, task)
        n_rows = self.n_rows
        self._reader: CurvatureReader | None = None
        if self.curvature is not None:
            # A copy: the one that was given may be fitted anew.
            self._reader = copy.deepcopy(self._reader_of(self.curvature))
            n_rows = self._reader.n_gradients
            if task.n_samples < n_rows:
                raise ValueError(
                    f"The 'curvature' parameter of Prune looks at {n_rows} rows, and must have as "
                    f"many. Got a task of {task.n_samples}."
                )
        self._sample = sample_rows(task, n_rows, self._seed)

    def _reader_of(self, curvature: Any) -> CurvatureReader:
        reader = getattr(curvature, "reader_", None)
        if not isinstance(reader, CurvatureReader):
            raise TypeError(
                "The 'curvature' parameter of Prune must be a fitted CurvatureRegressor or None. "
                f"Got {curvature!r}. Call its fit, and in a search wrap it in a FrozenEstimator."
            )
        if self.criterion not in ("obd", "obs"):
            raise ValueError(
                "The 'curvature' parameter of Prune is for criterion='obd' and criterion='obs'. "
                f"Got criterion={self.criterion!r}."
            )
        now = (curvature.method, curvature.n_gradients)
        if now != (reader.method, reader.n_gradients):
            raise ValueError(
                "The 'curvature' parameter of Prune was changed after fit: its method and "
                f"n_gradients are {now}, fitted were {(reader.method, reader.n_gradients)}. Call "
                "its fit again."
            )
        return reader

    def _scores(self, stack: Stack, seeds: list[int]) -> Masks:
        if self._reader is not None:
            X, _, _ = self._sample.tensors(stack.device, stack.dtype)
            reader = self._reader.to(stack.device, stack.dtype)
            with torch.no_grad():
                costs = reader.saliency(stack, X, self.criterion)
            return tuple(costs.of_field("weight"))
        return CRITERIA[self.criterion](stack, self._sample, seeds)

    def _count_steps(self) -> int:
        return self.n_steps


@dataclass(eq=False, repr=False)
class LotteryTicket(MaskEditor):
    """Prune by magnitude and train what is left from fresh weights: one round, one shot.

    The paper on lottery tickets [1]_ goes back to the weights before training. A trained
    network does not tell them, so they are drawn anew, as for a network that is not yet
    trained; the mask is what remains of the ticket. Training is distillation from the
    original network, with batch normalisation at its initial statistics (mean 0, variance 1).

    Parameters
    ----------
    budget : int or float, default=0.25
        How many weights of a network stay (int), or which share (float in (0, 1]); exactly.
    n_steps : int, default=640
        Steps of :func:`distill`.
    lr : float, default=0.01
        Peak learning rate.
    batch_size : int, default=256
        Rows per step.
    random_state : int, RandomState or None
        Seed of the fresh weights and of the batches.

    Attributes
    ----------
    task_ : Task
        The reference rows.

    References
    ----------
    .. [1] Frankle and Carbin (2019), "The lottery ticket hypothesis: finding sparse, trainable
       neural networks".

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta.baselines import LotteryTicket
    >>> from skmeta.datasets import Task
    >>> from skmeta.networks import Architecture
    >>> from skmeta.population import Population
    >>> rng = np.random.default_rng(0)
    >>> task = Task(rng.normal(size=(100, 3)), np.arange(100) % 2)
    >>> networks = Population.initialize(Architecture.mlp((3, 8, 2)), 2, random_state=0)
    >>> LotteryTicket(budget=0.5, n_steps=9).fit(networks, task=task).transform(networks)
    Population of 2 networks, 3 inputs, 2 outputs, 50 parameters each
    """

    requirement = Pruning

    _: KW_ONLY
    budget: int | float = 0.25
    n_steps: int = 640
    lr: float = 0.01
    batch_size: int = 256
    random_state: Any = None

    def _scores(self, stack: Stack, seeds: list[int]) -> Masks:
        return magnitude(stack, self.task_, seeds)

    def _count_steps(self) -> int:
        return self.n_steps

    def _start(self, stack: Stack, seeds: list[int]) -> Stack:
        fresh = initial_records(stack.architectures, seeds=seeds)
        parts = [Stack.from_records([record]) for record in fresh]
        return Stack.merge(parts).padded(stack.widths).to(stack.device, stack.dtype)
