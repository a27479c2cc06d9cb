"""Edit networks towards a requirement in one forward pass: :class:`ComplianceEditor`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from skmeta._validation import check_in_range, check_option, check_rng
from skmeta.baselines import fine_tune, run_networks
from skmeta.baselines.checks import check_classifiers, check_population, check_task
from skmeta.datasets import Task
from skmeta.estimators.checks import (
    check_device,
    check_finite_edits,
    check_finite_training,
    check_lam_range,
)
from skmeta.estimators.cost import measure_cost
from skmeta.estimators.fitting import build_metanet, build_net
from skmeta.estimators.graphs import FEATURES, make_builder
from skmeta.estimators.reporting import edit_report
from skmeta.estimators.training_module import EditingLoss
from skmeta.population import Population
from skmeta.population.blocks import Block
from skmeta.requirements import Cells, Objective, resolve_requirement
from skmeta.training import StratifiedRows, keep_freed_memory

_EDIT_CHUNK = 256
_TRAINING_ROWS_PER_CELL = 192
# A continuation wants smaller steps than fine-tuning from the original.
_REFINE_LR = 3e-3


class ComplianceEditor(TransformerMixin, BaseEstimator):
    """Learn to edit classifiers so that a measured gap shrinks, in one forward pass.

    A metanetwork is trained on a population of networks to minimise ``divergence(original,
    edited) + lam * violation(edited)`` (eqs. 12 and 14 of the paper on learned editing
    [1]_); afterwards it edits networks that it has never seen. The edit reduces a measured
    gap on the data of the task; it guarantees nothing about other data.

    Parameters
    ----------
    requirement : str or Requirement, default="equalized_odds"
        What the edit must bring about.
    lam : float, default=0.1
        Weight of the violation; within ``lam_range`` if that is given. The default score
        depends on it, so that a grid over ``lam`` needs a scorer of its own. Two networks
        trained alike differ by some .005 to .01 nats: a lam whose edits exceed that is
        better served by handing back another network.
    lam_range : (float, float), optional
        Train one editor for all lam in this range; ``lam`` then selects the point in
        :meth:`transform`, without refitting.
    metanet : {"neuron", "graph"} or EditingMetanet class, default="neuron"
        States on neurons only, or on every weight as in the paper.
    features : {"gradients", "cells", "probes", "weights"}, default="gradients"
        What the metanetwork sees beside the weights: mean states of each (label, group)
        cell and gradients of the requirement; mean states; the states on 64 unlabelled
        rows; nothing (an edit looks at no data, as in the paper).
    hidden_channels : int, default=64
        Width of the metanetwork's states.
    n_layers : int, default=3
        Rounds of messages.
    net : skorch.NeuralNet, optional
        Template whose settings are used; its module and criterion are replaced, and
        ``max_epochs``, ``lr``, ``batch_size`` and ``callbacks`` below are ignored.
    max_epochs : int, default=60
        Passes over the population.
    lr : float, default=1.5e-3
        Peak learning rate of AdamW; a cosine takes it to zero.
    batch_size : int, default=32
        Networks per step.
    callbacks : list, optional
        Further skorch callbacks.
    refine_steps : int, default=0
        Gradient steps on the same objective that follow each edit.
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
    requirement_ : Requirement
        The resolved requirement.
    task_ : Task
        The task of ``fit`` with its sensitive features, for scorers and ``refine_steps``:
        treat a fitted editor like the data, whatever its ``features``.
    cost_ : dict
        CPU seconds: ``zoo_seconds`` (nan if the population does not say), ``fit_seconds``,
        ``edit_seconds`` per network, ``fine_tune_seconds`` per network for 40 batched
        steps, and ``break_even``, the number of edits after which zoo and fit have paid off
        against that.

    References
    ----------
    .. [1] "Metanetworks as regulatory operators: learning to edit for requirement
       compliance", sections 3 to 5.

    Examples
    --------
    >>> from skmeta import ComplianceEditor, make_zoo
    >>> from skmeta.datasets import make_biased_classification, split_tasks
    >>> bunch = make_biased_classification(3000, random_state=0)
    >>> train, reference, test = split_tasks(bunch, "group")
    >>> zoo = make_zoo(train, 6, epochs=3, progress=False, random_state=0)
    >>> editor = ComplianceEditor(max_epochs=2, random_state=0).fit(zoo, task=reference)
    >>> editor.transform(zoo[:2])
    Population of 2 networks, 10 inputs, 2 outputs...
    """

    __metadata_request__fit = {"task": True}
    # Pipeline.score always routes a sample_weight, and refuses estimators that never heard of it.
    __metadata_request__score = {"task": True, "sample_weight": None}
    __metadata_request__transform = {"lam": UNUSED}

    def __init__(
        self,
        requirement: Any = "equalized_odds",
        *,
        lam: float = 0.1,
        lam_range: tuple[float, float] | None = None,
        metanet: Any = "neuron",
        features: str = "gradients",
        hidden_channels: int = 64,
        n_layers: int = 3,
        net: Any = None,
        max_epochs: int = 60,
        lr: float = 1.5e-3,
        batch_size: int = 32,
        callbacks: list | None = None,
        refine_steps: int = 0,
        device: str = "cpu",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.requirement = requirement
        self.lam = lam
        self.lam_range = lam_range
        self.metanet = metanet
        self.features = features
        self.hidden_channels = hidden_channels
        self.n_layers = n_layers
        self.net = net
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.refine_steps = refine_steps
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, networks: Any, y: Any = None, *, task: Task | None = None) -> ComplianceEditor:
        """Train the metanetwork.

        Parameters
        ----------
        networks : Population or sequence of networks
            Classifiers of the task; some hundred are needed to generalise.
        y : None
            Ignored.
        task : Task
            Rows with labels and sensitive features that the networks were not trained on.

        Returns
        -------
        ComplianceEditor
            Itself.
        """
        started = time.process_time()
        low, high = self._check_params()
        population = check_population(networks, "ComplianceEditor")
        task = check_task(task, "ComplianceEditor")
        self.requirement_ = resolve_requirement(self.requirement, "ComplianceEditor")
        check_classifiers(population, task, "ComplianceEditor")
        task.require_sensitive("ComplianceEditor")
        self.device_ = check_device(self.device, "ComplianceEditor")
        population = population.to(self.device_, torch.float32)
        seeds = check_rng(self.random_state).integers(2**62, size=4).tolist()
        self.task_, self.lam_range_ = task, (low, high)
        self.n_inputs_, self.n_classes_ = task.n_features, task.n_classes
        self.builder_ = make_builder(
            self.features, Objective(self.requirement_), task, population, seeds[0]
        )
        graphs = [(p, self.builder_.build(stack)) for p, stack in population.depth_blocks()]
        X, _, _ = task.tensors(self.device_)
        metanet = build_metanet(
            self.metanet,
            graphs[0][1],
            seed=seeds[1],
            n_inputs=self.n_inputs_,
            n_outputs=self.n_classes_,
            hidden_channels=self.hidden_channels,
            n_layers=self.n_layers,
        )
        module = EditingLoss(
            metanet.to(self.device_),
            graphs,
            self.builder_.objective,
            X,
            Cells.of(task, self.device_),
            StratifiedRows(task.cells(), _TRAINING_ROWS_PER_CELL, 1),
            (low, high),
            torch.Generator().manual_seed(seeds[2]),
        )
        self.net_ = build_net(self, module, len(population), seed=seeds[3])
        keep_freed_memory()
        self.net_.fit(np.arange(len(population)), None)
        module.forget()
        check_finite_training(metanet)
        self.metanet_ = metanet
        self.cost_ = measure_cost(
            population,
            fit_seconds=time.process_time() - started,
            edit=lambda few: self._edit(few, high),
            tune=lambda few, n: fine_tune(
                few, task, self.builder_.objective, lam=high, n_steps=n, random_state=0
            ),
        )
        return self

    def _check_params(self) -> tuple[float, float]:
        owner = "ComplianceEditor"
        check_in_range("lam", self.lam, owner=owner, low=0, closed="neither")
        check_option("features", self.features, FEATURES, owner=owner)
        for name, least in (
            ("hidden_channels", 1),
            ("n_layers", 1),
            ("max_epochs", 1),
            ("batch_size", 1),
            ("refine_steps", 0),
        ):
            check_in_range(name, getattr(self, name), owner=owner, low=least, kind="int")
        check_in_range("lr", self.lr, owner=owner, low=0, closed="neither")
        if self.callbacks is not None and not isinstance(self.callbacks, list):
            raise TypeError(
                "The 'callbacks' parameter of ComplianceEditor must be a list of skorch callbacks. "
                f"Got {self.callbacks!r} instead."
            )
        if self.lam_range is None:
            return float(self.lam), float(self.lam)
        return check_lam_range(self.lam_range, self.lam, "ComplianceEditor")

    def transform(self, networks: Any, *, lam: float | None = None) -> Any:
        """Edit networks.

        Parameters
        ----------
        networks : Population or sequence of networks
            Classifiers of the task that the editor was fitted on.
        lam : float, optional
            Point on the front; the default is the parameter ``lam``. An editor that was
            fitted without ``lam_range`` knows only one.

        Returns
        -------
        Population or list of networks
            Edited copies, of the kind that came in.
        """
        original = self._ready(networks)
        lam = self._check_lam(lam)
        edited = self._edit(original, lam)
        if self.refine_steps:
            edited = fine_tune(
                edited,
                self.task_,
                self.builder_.objective,
                lam=lam,
                n_steps=self.refine_steps,
                lr=_REFINE_LR,
                original=original,
                random_state=0,
            )
        edited = edited.to("cpu")
        return edited if isinstance(networks, Population) else edited.to_networks()

    def _check_lam(self, lam: float | None) -> float:
        """Return lam if the editor was fitted for it."""
        lam = self.lam if lam is None else lam
        check_in_range("lam", lam, owner="transform", low=0, closed="neither")
        low, high = self.lam_range_
        slack = 1 + 1e-9
        if not low / slack <= lam <= high * slack:
            raise ValueError(
                "The 'lam' of an edit must be in the range that the editor was fitted for, "
                f"[{low:g}, {high:g}]. Got {lam:g}. Fit with lam_range=(low, high) to cover it."
            )
        return float(lam)

    def _measuring_task(self, task: Task | None) -> Task:
        """Return the rows to measure on, with the labels that the editor was fitted on."""
        if task is None:
            return self.task_
        task = check_task(task, "ComplianceEditor")
        task.require_sensitive("ComplianceEditor")
        came, known = np.asarray(task.classes).tolist(), np.asarray(self.task_.classes).tolist()
        if came != known:
            raise ValueError(
                "ComplianceEditor measures on rows with the labels that it was fitted on, "
                f"{known}. Got {came}."
            )
        return task

    def _ready(self, networks: Any) -> Population:
        """Return checked networks as float32 on the device of the editor."""
        check_is_fitted(self)
        population = check_population(networks, "ComplianceEditor")
        check_classifiers(population, self.task_, "ComplianceEditor")
        return population.to(self.device_, torch.float32)

    def _edit(self, population: Population, lam: float) -> Population:
        blocks: list[Block] = []
        with torch.no_grad():
            for positions, stack in population.depth_blocks():
                for start in range(0, len(stack), _EDIT_CHUNK):
                    rows = torch.arange(start, min(start + _EDIT_CHUNK, len(stack)))
                    part = stack if len(rows) == len(stack) else stack.select(rows)
                    graph = self.builder_.build(part)
                    lams = graph.context.new_full((len(part),), lam)
                    params = part.params.map(torch.add, self.metanet_(graph, lams))
                    check_finite_edits(params, positions[rows.numpy()])
                    blocks.append((positions[rows.numpy()], part.with_params(params)))
        return population.with_blocks(blocks)

    def score(self, networks: Any, y: Any = None, *, task: Task | None = None) -> float:
        """Return minus the mean objective after an edit, with the exact measure.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to edit.
        y : None
            Ignored.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``.

        Returns
        -------
        float
            At most 0; compare editors of one ``lam`` only.
        """
        population, task = self._ready(networks), self._measuring_task(task)
        before = run_networks(population, task)
        after = run_networks(self.transform(population), task)
        lam = torch.full((len(population),), float(self.lam))
        exact = Objective(self.requirement_).exact(before, after, Cells.of(task), lam)
        return -float(exact.mean())

    def report(
        self,
        networks: Any,
        *,
        task: Task | None = None,
        lam: float | None = None,
        n_bootstrap: int = 500,
    ) -> pd.DataFrame:
        """Edit networks and say what happened to each of them.

        Parameters
        ----------
        networks : Population or sequence of networks
            Networks to edit.
        task : Task, optional
            Rows to measure on; default is the task of ``fit``, on which results look
            better than on new rows.
        lam : float, optional
            See :meth:`transform`.
        n_bootstrap : int, default=500
            Resamples of the rows, within each (label, group) cell, for the intervals.

        Returns
        -------
        DataFrame
            One row per network: divergence (nats), the requirement's measure and the
            accuracy before and after, 95 % intervals (``_low``, ``_high``) that say how
            much is luck of the rows, and ``status``: "reduced" or "raised" if the interval
            of the measure's change excludes zero, else "unclear".
        """
        check_in_range("n_bootstrap", n_bootstrap, owner="report", low=1, kind="int")
        population, task = self._ready(networks), self._measuring_task(task)
        before = run_networks(population, task)
        after = run_networks(self.transform(population, lam=lam), task)
        return edit_report(before, after, task, self.requirement_, n_bootstrap)
