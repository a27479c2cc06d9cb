"""Edit networks towards a requirement in one forward pass: :class:`ComplianceEditor`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED

from skmeta._checks import (
    check_in_range,
    check_option,
    check_rng,
    params_now,
)
from skmeta._modes import in_own_modes
from skmeta._plain import StablePickle
from skmeta.datasets import Cells, Task
from skmeta.datasets.checks import check_task
from skmeta.editing.checks import check_lam_range, refuse_lam_of_mask, warn_of_small_cells
from skmeta.editing.editor import Editor
from skmeta.editing.features import FEATURES
from skmeta.editing.guard import check_guard
from skmeta.editing.reference import Reference, reference_rows
from skmeta.editing.teaching import check_teacher, seeded
from skmeta.editing.training import train_metanet
from skmeta.estimators.fitted_editor import FittedEditor
from skmeta.learning.settings import TrainingSettings
from skmeta.metanets.templates import template
from skmeta.population.checks import check_classifiers, check_population
from skmeta.population.running import check_no_images
from skmeta.requirements import split_requirements
from skmeta.requirements.resolve import Plan
from skmeta.training import keep_freed_memory
from skmeta.zoo.checks import warn_of_few_networks


class ComplianceEditor(StablePickle, FittedEditor, TransformerMixin, BaseEstimator):
    """Learn to edit classifiers so that a measured gap shrinks, in one forward pass.

    A metanetwork is trained on a population of networks to minimise ``divergence(original,
    edited) + lam * violation(edited)`` (eqs. 12 and 14 of the paper on learned editing
    [1]_); afterwards it edits networks that it has never seen. The edit reduces a measured
    gap on the data of the task; it guarantees nothing about other data.

    Parameters
    ----------
    requirement : str, Requirement, MaskRequirement, callable or list, default="equalized_odds"
        What the edit must bring about: "equalized_odds", "demographic_parity",
        "equal_opportunity", "data_minimization", "pruning", or an instance with parameters,
        as ``Pruning(budget=0.25)``; a function of probabilities, labels and groups (see
        :class:`~skmeta.requirements.Custom`); or a list for several at once, of which one
        may be a mask. One fit serves all budgets: ``set_params(requirement__budget=...)``
        holds for the next :meth:`transform`.
    lam : float or dict of str to float, default=0.1
        Weight of the violation, or of each requirement by name, as in
        ``{"equalized_odds": 0.1}``; within ``lam_range`` if that is given, which is of the
        largest. A mask with a budget needs none. The default score
        depends on it, so that a grid over ``lam`` needs a scorer of its own. Two networks
        trained alike differ by some .005 to .01 nats: a lam whose edits exceed that is
        better served by handing back another network.
    lam_range : (float, float), optional
        Train one editor for all lam in this range; ``lam`` then selects the point in
        :meth:`transform`, without refitting.
    metanet : str or Trunk class, default="neuron"
        What looks at the networks: "neuron" (states on neurons only), "graph" (on every weight,
        as in the paper), "nfn-hnp", "nfn-np", "nfn-pointwise" or "monomial" (NF-layers, which
        edit networks of the depths in ``fit``); see ``skmeta.metanets.TRUNKS``.
    features : {"gradients", "cells", "probes", "weights"}, default="gradients"
        What the metanetwork sees beside the weights: mean states of each (label, group)
        cell and gradients of the requirement; mean states; the states on 64 unlabelled
        rows; nothing (an edit looks at no data, as in the paper). A mask needs "gradients".
    hidden_channels : int, default=64
        Width of the metanetwork's states.
    n_layers : int, default=3
        Rounds of messages.
    net : skorch.NeuralNet, optional
        Template whose settings are used; its module and criterion are replaced. ``max_epochs``,
        ``lr``, ``batch_size``, ``callbacks`` and ``verbose`` below must then have their defaults.
    max_epochs : int, default=60
        Passes over the population.
    lr : float, default=1.5e-3
        Peak learning rate of AdamW; a cosine takes it to zero.
    batch_size : int, default=32
        Networks per step; those of a step have one depth.
    callbacks : list, optional
        Further skorch callbacks.
    guard : dict, optional
        Bounds for every edit, ``max_divergence`` in nats and ``max_accuracy_drop`` as a
        share of rows, on the rows of ``fit``: an edit beyond is rolled back to the original
        bit by bit, and :meth:`report` says so.
    refine_steps : int, default=0
        Gradient steps on the same objective that follow each edit.
    teacher : FairTeacher, optional
        Whose decisions edited networks follow, in place of staying close to their own
        predictions: the divergence is then Kullback and Leibler's from its soft labels. It is
        cloned and fitted to the rows that an edit looks at, their labels and groups, and may keep
        skill where the predictions of the original networks cost it; ``lam=0.5`` goes with it. A
        search over its parameters needs a scorer, such as
        :class:`~skmeta.evaluation.EditScorer`: the default score depends on them.
    device : str, default="cpu"
        Where to compute.
    verbose : int, default=0
        1 shows a progress bar, 2 skorch's table of losses.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.history`` has the losses. None if nothing was trained: a
        mask without compensation, or an editor from a file.
    metanet_ : Module or None
        The trained metanetwork.
    plan_ : Plan
        The resolved requirements and their lam.
    requirement_ : Requirement or MaskRequirement
        The one on predictions if there is one, else the mask.
    task_ : Task or None
        The task of ``fit`` with its sensitive features, for scorers and ``refine_steps``:
        treat a fitted editor like the data, whatever its ``features``. None in an editor
        from a file without rows, see :meth:`save`.
    n_networks_ : int
        Number of networks that the metanetwork was trained on.
    templates_ : tuple of Architecture
        What the metanetwork was built for: the architectures of the training networks, with one
        neuron per hidden layer.
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
    __metadata_request__transform = {"lam": UNUSED, "task": UNUSED}

    def __init__(
        self,
        requirement: Any = "equalized_odds",
        *,
        lam: Any = 0.1,
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
        guard: dict | None = None,
        refine_steps: int = 0,
        teacher: Any = None,
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
        self.guard = guard
        self.refine_steps = refine_steps
        self.teacher = teacher
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @in_own_modes
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
        started, owner = time.process_time(), "ComplianceEditor"
        settings = self._check_params()
        self._params_of_fit = params_now(self)
        population, task = check_population(networks, owner), check_task(task, owner)
        plan = split_requirements(self.requirement, self.lam, owner)
        lam_range = self._range_of_lam(plan)
        check_no_images(population.architectures, owner)
        check_classifiers(population, task, owner)
        requirement, mask = plan.requirement, plan.mask
        if requirement is not None and requirement.needs_sensitive:
            task.require_sensitive(owner)
            requirement.check_cells(Cells.of(task))
        if mask is not None:
            check_option("features", self.features, ["gradients"], owner=f"{owner} with a mask")
        if plan.needs_sensitive:
            warn_of_small_cells(task, owner)
        check_teacher(self.teacher, requirement, owner)
        population = population.to(settings.device, torch.float32)
        seeds = check_rng(self.random_state).integers(2**62, size=4).tolist()
        rows = reference_rows(
            self.features, requirement, task, population=population, seed=seeds[0]
        )
        editor = Editor(
            *(plan, lam_range, self.features, Reference.of(task, rows), task),
            *(settings.device, len(population), check_guard(self.guard, owner), self.refine_steps),
            teacher=seeded(self.teacher, seeds[0]),
            templates=tuple(dict.fromkeys(map(template, population.architectures))),
        )
        keep_freed_memory()
        self.net_ = None
        if mask is None or mask.compensate:
            warn_of_few_networks(population, owner)
            self.net_, metanet = train_metanet(
                editor,
                population,
                task,
                metanet=self.metanet,
                hidden_channels=self.hidden_channels,
                n_layers=self.n_layers,
                settings=settings,
                seeds=seeds[1:],
            )
            editor = replace(editor, metanet=metanet)
        self.editor_ = editor.with_cost(population, task, started)
        return self

    def _check_params(self) -> TrainingSettings:
        owner = "ComplianceEditor"
        check_option("features", self.features, FEATURES, owner=owner)
        for name in ("hidden_channels", "n_layers"):
            check_in_range(name, getattr(self, name), owner=owner, low=1, kind="int")
        check_in_range("refine_steps", self.refine_steps, owner=owner, low=0, kind="int")
        check_guard(self.guard, owner)
        return TrainingSettings.of(self)

    def _range_of_lam(self, plan: Plan) -> tuple[float, float]:
        owner = "ComplianceEditor"
        if self.lam_range is None:
            return plan.lam, plan.lam
        refuse_lam_of_mask(plan, f"'lam_range' parameter of {owner}", self.lam_range)
        return check_lam_range(self.lam_range, plan.lam, owner)
